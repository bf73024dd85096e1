"""What the DAG `replay_rejects` does: rejected rows that are valid by now are loaded."""

from __future__ import annotations

from collections.abc import Iterable

from include import landing
from include.contracts import Contract, ContractError

DOC = """
### Replay rejects

Started by hand, after a contract or a rejected row was mended (`warehouse rejects mend`). It judges the rows in
`landing.rejects` again and loads those that are valid now, each as new as its file. The DAG `warehouse` runs after it.

It takes `datasets` (a source or `source.dataset`; all where none is named), `path` and `code`, as
`warehouse rejects replay` does.
"""


def replay_datasets(
    contracts: Iterable[Contract], source_uri: str, *, path: str | None, code: str | None
) -> list[tuple[Contract, landing.ReplayResult]]:
    """Replay the rejects of datasets, and return those of which rows were loaded, with the figures.

    Raises ContractError at the end, for datasets whose tables can't follow their contracts, where no other was loaded.
    """
    loaded, problems = [], []
    for contract in contracts:
        try:
            result = landing.replay(contract, source_uri=source_uri, path=path, code=code)
        except ContractError as error:
            problems.append(str(error))
            continue
        print(result)
        if result.loaded:
            loaded.append((contract, result))
    print("\n".join(problems), end="")
    if problems and not loaded:
        raise ContractError("\n".join(problems))
    return loaded
