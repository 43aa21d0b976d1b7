"""Python values to JSON and back."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torcd.errors import InvalidValue
from torcd.json_text import from_json, to_json
from torcd.value import parse

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**6000), 10**6000).map(lambda number: number * 10**3000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda items: st.lists(items) | st.dictionaries(st.text("abé"), items),
    max_leaves=5,
)


@given(values)
def test_what_goes_out_comes_back(value: Any) -> None:
    text = bytes(to_json(value, name="x"))
    assert from_json(text, name="x") == value
    parse(text, name="x")


@pytest.mark.parametrize("digits", [4300, 4301, 8000, 8001, 20_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_integers_at_the_limits_of_python_go_both_ways(digits: int, sign: int) -> None:
    for value in (sign * 10 ** (digits - 1), sign * (10**digits - 1)):
        text = bytes(to_json([value], name="x"))
        assert len(text) == digits + 2 + (sign < 0)
        assert from_json(text, name="x") == [value]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, "nan is not JSON"),
        ([{"a": (None, -math.inf)}], "-inf is not JSON"),
        ([10**5000, math.inf], "inf is not JSON"),
        ("\ud800", "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        (object(), "object"),
        (1j, "complex"),
        ({(1,): 2}, "str-like"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_reason(value: object, said: str) -> None:
    with pytest.raises(InvalidValue, match=said) as caught:
        to_json(value, name="x")
    assert caught.value.facts["name"] == "x"


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidValue, match="holds itself"):
        to_json(value, name="x")


@dataclasses.dataclass
class Point:
    x: float
    y: float | None = None


def test_dataclasses_are_objects_and_their_floats_are_looked_at() -> None:
    assert json.loads(bytes(to_json(Point(1), name="x"))) == {"x": 1, "y": None}
    with pytest.raises(InvalidValue):
        to_json(Point(math.nan), name="x")


def test_a_number_that_no_float_holds_is_an_error_and_not_infinity() -> None:
    with pytest.raises(InvalidValue, match="1e400 is too large for a Python float"):
        from_json(b'{"a": [1e400]}', name="x")
