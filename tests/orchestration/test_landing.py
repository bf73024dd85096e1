"""What the landing DAGs show."""

from __future__ import annotations

from include.orchestration.landing import dag_page
from tests.landing.conftest import SHOP


def test_every_contract_can_be_described_in_its_dag() -> None:
    text = dag_page(SHOP["retail.transactions"])
    assert "| total_cost | numeric | yes |" in text
    assert "lines_add_up" in text
    assert "SCHOOLS_URL" in dag_page(SHOP["schools.learning_modality"])
