"""What the landing DAGs decide and show, apart from Airflow."""

from __future__ import annotations

from include.contracts import Contract


def dag_page(contract: Contract) -> str:
    """Return a landed contract in Markdown, for the page of its DAG."""
    lines = [f"### {contract.name}", contract.description, ""]
    if contract.url_setting:
        lines.append(f"Fetched from the URL in the setting `{contract.url_setting}`, to `{contract.path}`.")
    else:
        lines.append(f"Files: `{contract.path}`, plain or `.gz`, below the landing root.")
    lines += [
        f"Rows go to `{contract.schema}.{contract.table}`; those that break "
        f"`include/contracts/{contract.source}/{contract.dataset}.yaml`, to `landing.rejects`. "
        f"A file with more than {contract.max_bad_rows} bad rows, if these are more than "
        f"{contract.max_bad_percent:g} % of it, is held whole.",
        "",
        *(f"* {rule.name}: {rule.description}" for rule in contract.rules),
        "",
        "| column | type | required | what it is |",
        "|---|---|---|---|",
    ]
    for column in contract.columns:
        notes = [f"Personal ({column.personal})."] if column.personal else []
        needed = "key" if column.is_key else "yes" if column.required else "no"
        lines.append(f"| {column.name} | {column.type} | {needed} | {' '.join([column.description, *notes])} |")
    return "\n".join(lines)
