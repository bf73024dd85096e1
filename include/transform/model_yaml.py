"""YAML in the form of the project's own model files, so that a person can go on writing where a draft ends."""

from __future__ import annotations

from typing import Any

import yaml

_WIDTH = 116  # the linter's 120, less the indentation that PyYAML does not count


class Row(dict[str, Any]):
    """A row of a unit test, which stands on one line: {id: 1, name: a}."""


class Line(list[Any]):
    """A list that stands on one line: [id, day]."""


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their key."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value twice rather than point from one place to another."""
        return True


def _represent_row(dumper: yaml.SafeDumper, row: Row) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", row.items(), flow_style=True)


def _represent_line(dumper: yaml.SafeDumper, line: Line) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", line, flow_style=True)


_Dumper.add_representer(Row, _represent_row)
_Dumper.add_representer(Line, _represent_line)


def dump(document: dict[str, Any]) -> str:
    """Return a document as YAML, an empty line between its parts."""
    return "\n".join(
        yaml.dump({name: part}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
        for name, part in document.items()
    )
