"""The demo's DAGs."""

from __future__ import annotations

from include.contracts import read_contracts
from include.orchestration.landing import landing_dag_id


def test_the_demo_lands_six_datasets() -> None:
    retail = {f"land_retail_{table}" for table in ("customers", "erasure_requests", "products", "transactions")}
    others = {"land_schools_learning_modality", "land_services_events"}
    landed = {landing_dag_id(contract) for contract in read_contracts() if contract.is_landed and contract.is_demo}
    assert landed == retail | others
