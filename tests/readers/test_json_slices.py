"""Parts of a JSON text are slices of it: what they are made of is what stood there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.readers.json_slices import elements, member_names, only_value, part_at

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(VALUES, max_size=5), st.dictionaries(st.text(), VALUES, max_size=3), st.sampled_from([None, 1, "\t \r"])
)
def test_elements_and_members_are_the_values_that_were_written(
    values: list[object], others: dict[str, object], indent: int | str | None
) -> None:
    document = {**others, "at": {"the": values}}
    text = only_value(f" \n{json.dumps(document, indent=indent)}\n")
    array = part_at(text, ("at", "the"))
    assert array is not None
    assert [json.loads(each) for each in elements(array)] == values
    assert member_names(text) == list(document)
    assert all(array.count(each) for each in elements(array))


def test_no_sign_of_a_part_is_altered() -> None:
    part = '[ 1E400 , -0.0, "\\u00e9\\/", {"a" : 1, "a": 2} ]'
    assert part_at(f'{{"x": {part}}}', ("x",)) == part
    assert list(elements(part)) == ["1E400", "-0.0", '"\\u00e9\\/"', '{"a" : 1, "a": 2}']


def test_what_is_not_there_is_none_and_what_is_there_twice_is_refused() -> None:
    assert part_at('{"a": [1]}', ("b",)) is part_at('{"a": [1]}', ("a", "0")) is part_at("[]", ("a",)) is None
    with pytest.raises(ValueError, match="names a member twice"):
        part_at('{"a": 1, "a": 2}', ("a",))


@pytest.mark.parametrize("text", ["", " ", "{", "[1,]", '{"a": 1,}', "{} {}", "[1] x", "nul", "[" * 100_000])
def test_what_is_no_json_is_no_value(text: str) -> None:
    with pytest.raises(ValueError):
        only_value(text)
