"""First dbt models of a dataset, drafted from its contract, which a person then reads and completes.

A staging model of every column, and on request a mart with an enforced contract and a unit test. What is drafted
parses, lints and builds as it stands. `TODO` marks what only a person knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from include import settings
from include.contracts import Contract, dbt_sources, holds_personal, read_all
from include.errors import FinalError
from include.names import without_jinja
from include.transform.columns import Column, identifier, model_columns
from include.transform.model_yaml import Line, Row, dump


class ModelError(FinalError):
    """A model can't be drafted; the message says why and what to do."""


# Templates with $names, because braces are dbt's. A landed table's rows are chosen before anything is renamed or cast,
# so a value in an old version that can't be cast does no harm.
STAGING = Template("""\
with

source as (

    select * from {{ source($raw, $table) }}

),

${newest}final as (

    select
        $columns
    from $rows

)

select * from final
""")
NEWEST = Template("""\
newest as (

    {{ $macro }}

),

""")
MART = Template("""\
with

$rows as (

    select * from {{ ref($staging) }}

),

final as (

    select
        $columns
    from $rows$grouped

)

select * from final
""")
GROUPED = Template("\n    group by $column")


@dataclass(frozen=True)
class Grain:
    """What one row of a mart is: the columns of its key, and whether it counts the dataset's rows for each."""

    key: list[Column]
    is_counted: bool


def write_models(
    name: str,
    *,
    mart: str | None = None,
    domain: str | None = None,
    folder: Path = settings.CONTRACTS,
    project: Path = settings.DBT_PROJECT,
) -> list[Path]:
    """Write the models of a dataset and return their paths. Raises ModelError, and then nothing was written.

    No file that is there is touched. A staging model that stands as it would be drafted may get its mart later.

    `mart` is the name of a mart to draft too, `domain` the folder of dbt/models/marts that it goes to; by default the
    folder has the name of the source.
    """
    known = read_all(folder)
    contracts = {contract.name: contract for contract in known.readable}
    for broken in known.broken:
        if broken.name == name:
            raise ModelError(broken.problem)
    if name not in contracts:
        raise ModelError(f"{name}: no contract describes such a dataset; there are {', '.join(contracts) or 'none'}")
    contract = contracts[name]
    for part in filter(None, (mart, domain)):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", part):
            raise ModelError(f"{part}: a mart and its domain are named in small letters, digits and _")
    drafts = draft_staging(contract, project)
    if mart:
        if all(path.is_file() and path.read_text(encoding="utf-8") == text for path, text in drafts.items()):
            drafts = {}
        drafts |= draft_mart(contract, mart, domain or contract.source, project)
    names = {path.name for path in drafts}  # dbt wants each model's name once, in whatever folder
    there = sorted(path for path in (project / "models").rglob("*") if path.name in names)
    if there:
        raise ModelError(
            f"{', '.join(map(str, there))}: there already, so nothing was written: "
            "change what is there, or move it away"
        )
    source = project / "models" / "staging" / contract.source / f"_{contract.source}__sources.yml"
    if source in dbt_sources.differing(folder, project):
        raise ModelError(f"{source}: does not say what the contracts say: run `warehouse contract sources --write`")
    for path, text in drafts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(drafts)


def staging_name(contract: Contract) -> str:
    """Return the name of a dataset's staging model: stg_<source>__<table>."""
    return f"stg_{contract.source}__{re.sub('[^a-z0-9_]+', '_', contract.dbt_name.lower())}"


def draft_staging(contract: Contract, project: Path) -> dict[Path, str]:
    """Return the text of the staging model and of its yml, by their paths."""
    columns = _columns(contract)
    key = [column for column in columns if column.source in contract.key]
    name = staging_name(contract)
    newest = _newest(contract)
    text = STAGING.substitute(
        raw=repr(settings.RAW_PREFIX + contract.source),
        table=repr(contract.dbt_name),
        newest=NEWEST.substitute(macro=newest) if newest else "",
        columns=_select([column.renamed for column in columns]),
        rows="newest" if newest else "source",
    )
    model: dict[str, Any] = {"name": name, "description": _staging_description(contract, key), **_owned(contract)}
    model["columns"] = [_staging_column(column, is_key=[column] == key) for column in columns]
    if len(key) > 1:
        names = [column.quoted for column in key]
        model["data_tests"] = [{"unique_together": {"name": f"unique_{name}", "arguments": {"columns": Line(names)}}}]
    path = project / "models" / "staging" / contract.source / f"{name}.sql"
    return {path: text, path.with_suffix(".yml"): dump({"version": 2, "models": [model]})}


def _newest(contract: Contract) -> str:
    """Return the call of the macro that picks a landed table's newest rows; nothing where every row counts."""
    if contract.is_landed and contract.key:
        return f"newest_version('source', [{', '.join(repr(identifier(column)) for column in contract.key)}])"
    return "newest_file_version('source')" if contract.without_key == "replaceFile" else ""


def draft_mart(contract: Contract, name: str, domain: str, project: Path) -> dict[Path, str]:
    """Return the text of a mart without personal columns and of its yml, by their paths.

    It has a row per key of the dataset. Where the key is personal or may be null, so that no mart can have it, the mart
    counts rows instead. Raises ModelError where every column that could tell its rows apart is personal or may be null.
    """
    columns = [column for column in _columns(contract) if not holds_personal(column.spec)]
    grain = _grain(contract, columns)
    rows = staging_name(contract).removeprefix(f"stg_{contract.source}__")
    if identifier(rows) != rows or rows == "final":
        rows = f"{contract.source}_{rows}"
    shown = grain.key if grain.is_counted else columns
    selected = [column.selected for column in shown]
    text = MART.substitute(
        rows=rows,
        staging=repr(staging_name(contract)),
        columns=_select([*selected, "count(*) as row_count"] if grain.is_counted else selected),
        grouped=GROUPED.substitute(column=grain.key[0].quoted) if grain.is_counted else "",
    )
    described = [_mart_column(column, is_key=column in grain.key) for column in shown]
    if grain.is_counted:
        described.append(
            {
                "name": "row_count",
                "description": f"Rows of {contract.name}.",
                "data_type": "bigint",
                "constraints": [{"type": "not_null"}],
            }
        )
    model = {
        "name": name,
        "description": f"One row per {_listed(grain.key)}. TODO: say which question this mart answers.",
        **_owned(contract),
        "constraints": [{"type": "primary_key", "columns": Line(column.quoted for column in grain.key)}],
        "columns": described,
    }
    document = {"version": 2, "models": [model], "unit_tests": [_unit_test(contract, name, shown, grain)]}
    path = project / "models" / "marts" / domain / f"{name}.sql"
    return {path: text, path.with_suffix(".yml"): dump(document)}


def _owned(contract: Contract) -> dict[str, Any]:
    """Return whose model it is, as dbt's docs show it and the model's task in Airflow has it."""
    return {"config": {"meta": {"owner": without_jinja(contract.owner)}}}


def _columns(contract: Contract) -> list[Column]:
    columns = model_columns(contract)
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"{contract.name}: two columns would be called {name}: write the staging model by hand")
    return columns


def _grain(contract: Contract, columns: list[Column]) -> Grain:
    key = [column for column in columns if column.source in contract.key and column.is_required]
    if key and len(key) == len(contract.key):
        return Grain(sorted(key, key=lambda column: contract.key.index(column.source)), is_counted=False)
    countable = [
        column for column in columns if column.is_required and column.is_comparable and column.quoted == column.name
    ]
    countable.sort(key=lambda column: not column.spec.enum)  # a column of few values first
    if not countable:
        raise ModelError(
            f"{contract.name}: no mart can be drafted: its key is personal or may be null, and so is every other "
            "column that rows could be counted by. Leave out --mart and write the mart by hand"
        )
    return Grain(countable[:1], is_counted=True)


def _select(columns: list[str]) -> str:
    """Return columns, one per line, with the commas before the comments that some end with."""
    lines = [re.sub(r"(?=  -- |$)", ",", column, count=1) for column in columns[:-1]]
    return "\n        ".join([*lines, columns[-1]])


def _listed(columns: list[Column]) -> str:
    names = [column.name for column in columns]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "TODO (the contract names no key)"


def _staging_description(contract: Contract, key: list[Column]) -> str:
    state = "as the newest landed version has it" if contract.is_landed else "as the application has it"
    grain = f"One row per {_listed(key)} of {contract.name}, {state}."
    if contract.without_key == "replaceFile":
        grain = f"One row per row of the newest version of each file of {contract.name}, which has no key."
    elif contract.without_key:
        grain = f"One row per landed row of {contract.name}, which has no key."
    sentences = [grain, without_jinja(contract.description)]
    sentences += ["Holds personal values."] if any(holds_personal(column.spec) for column in contract.columns) else []
    return " ".join(filter(None, sentences))


def _staging_column(column: Column, *, is_key: bool) -> dict[str, Any]:
    made = column.described()
    if column.personal:
        made["config"] = {"meta": {"personal": column.personal}}
    tests: list[Any] = ["unique"] if is_key else []
    tests += ["not_null"] if column.is_key and column.is_required else []
    if column.spec.enum:
        # dbt puts each value between quotes as it is
        values = [str(entry.value).replace("'", "''") for entry in column.spec.enum]
        tests.append({"accepted_values": {"arguments": {"values": Line(values)}}})
    if tests:
        made["data_tests"] = tests
    return made


def _mart_column(column: Column, *, is_key: bool) -> dict[str, Any]:
    made = {**column.described(), "data_type": column.data_type}
    if column.is_required and not is_key:
        made["constraints"] = [{"type": "not_null"}]
    return made


def _unit_test(contract: Contract, mart: str, columns: list[Column], grain: Grain) -> dict[str, Any]:
    given = [Row({column.name: column.example(number) for column in columns}) for number in (0, 1)]
    if grain.is_counted:
        given, expected = [given[0], given[0]], [Row({**given[0], "row_count": 2})]
    else:
        expected = given
    return {
        "name": f"{mart}_follows_its_rule",
        "description": "TODO: rows that the mart's rule is about, and what must come of them.",
        "model": mart,
        "given": [{"input": f"ref('{staging_name(contract)}')", "rows": given}],
        "expect": {"rows": expected},
    }
