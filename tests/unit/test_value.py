"""What a value may be, and when two are equal, against a naive model."""

import contextlib
import hashlib
import json
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from torcd.errors import InvalidValue, TooLarge
from torcd.value import MAX_DEPTH, MAX_VALUE_BYTES, parse


def identity(text: bytes | str) -> str:
    return parse(text.encode() if isinstance(text, str) else text, name="x").sha256


def problem_of(text: bytes) -> str:
    with pytest.raises(InvalidValue) as caught:
        parse(text, name="x")
    assert caught.value.facts["name"] == "x"
    problem = caught.value.facts["problem"]
    assert isinstance(problem, str)
    assert problem in caught.value.message
    return problem


def model(text: str) -> Any:
    """What the text means, in types whose equality is ours. For modest exponents."""
    return tagged(
        json.loads(
            text,
            parse_int=lambda digits: Fraction(Decimal(digits)),
            parse_float=lambda digits: Fraction(Decimal(digits)),
        )
    )


def tagged(value: Any) -> Any:
    if isinstance(value, dict):
        return ("object", frozenset((key, tagged(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(tagged, value)))
    return (type(value).__name__, value)


# Few digits, so that different texts of one number come up often.
digits = st.text("0015", min_size=1, max_size=4)
number_texts = st.builds(
    lambda sign, whole, fraction, power: (
        sign
        + (whole.lstrip("0") or "0")
        + ("" if fraction is None else f".{fraction}")
        + ("" if power is None else f"e{power}")
    ),
    st.sampled_from(["", "-"]),
    digits,
    st.none() | digits,
    st.none() | st.integers(-45, 0),
) | st.builds(
    lambda digit, zeros, power, mark: f"{digit}{'0' * zeros}{mark}{power}",
    st.sampled_from(["1", "-1", "2"]),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from(["e", "E", "e+", "E+0"]),
)
string_texts = st.builds(
    lambda text, ascii_only: json.dumps(text, ensure_ascii=ascii_only),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
    | st.sampled_from(["a", "é", "1"]),
    st.booleans(),
)
white_space = st.sampled_from(["", "", " ", "\n\t\r "])


def arrays(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda space, inner: f"[{space}{(space + ',').join(inner)}{space}]",
        white_space,
        st.lists(items, max_size=3),
    )


def objects(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda space, pairs: "{" + space + ",".join(f"{k}{space}:{v}" for k, v in pairs) + "}",
        white_space,
        st.lists(st.tuples(string_texts, items), max_size=3),
    )


texts = st.recursive(
    number_texts | string_texts | st.sampled_from(["null", "true", "false", "0", "1", '"1"']),
    lambda items: arrays(items) | objects(items),
    max_leaves=6,
)


@given(texts, texts)
@example("1", "true")
@example("0", "false")
@example("1.0", "1")
@example("1e2", "100")
@example("10.50", "10.5")
@example("-0.0", "0")
@example("-0", "0")
@example("-0e9", "0")
@example("1" + "0" * 39, "1e39")
@example("1" + "0" * 40, "1e40")
@example("1" + "0" * 41, "10E+40")
@example("-" + "1" * 41, "-" + "1" * 41 + ".0")
@example("1" * 41, "1" * 40 + "2")
@example("0." + "1" * 50, "0." + "1" * 50 + "0")
@example("0." + "1" * 50 + "e50", "1" * 50)
@example("1e-30", "0." + "0" * 29 + "1")
@example("1e-31", "0." + "0" * 30 + "1")
@example("9007199254740993", "9007199254740992.0")
@example('"\\u00e9"', '"é"')
@example('"\\ud83d\\ude00"', '"😀"')
@example('"e\\u0301"', '"é"')
@example('{"b":1,"a":2}', '{"a":2.0,"b":1e0}')
@example('{"a":1,"a":2}', '{"a":2}')
@example('["1e2"]', '["100"]')
@example('["' + "1" * 60 + '"]', '["' + "1" * 60 + 'e0"]')
@example(
    "[" + "1" * 60 + "," + '"\\"' + "1" * 60 + '"]', "[" + "1" * 60 + '.0,"\\"' + "1" * 60 + '"]'
)
def test_two_values_have_one_hash_exactly_when_they_are_equal(one: str, other: str) -> None:
    assert (identity(one) == identity(other)) == (model(one) == model(other))


@given(texts, white_space, white_space)
def test_white_space_at_the_ends_is_taken_away_and_the_rest_kept(
    text: str, before: str, after: str
) -> None:
    value = parse((before + text + after).encode(), name="x")
    assert value.text == text.encode()
    assert value.sha256 == identity(text)


def test_the_hash_of_a_canonical_text_is_that_of_its_bytes() -> None:
    text = b'{"a":[1,2.5,"x"],"b":null}'
    assert identity(text) == hashlib.sha256(text).hexdigest()


def test_a_string_has_one_hash_however_its_characters_are_written() -> None:
    for code in [*range(0x20, 0x80), 0xE9, 0x2028, 0x1F600]:
        character = chr(code)
        plain = json.dumps(f"a{character}b", ensure_ascii=False)
        coded = "".join(f"\\u{int.from_bytes(unit):04x}" for unit in units(f"a{character}b"))
        expected = hashlib.sha256(plain.encode()).hexdigest()
        assert identity(plain) == identity(f'"{coded}"') == expected, hex(code)


def units(text: str) -> list[bytes]:
    """Of UTF-16."""
    encoded = text.encode("utf-16-be")
    return [encoded[at : at + 2] for at in range(0, len(encoded), 2)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1e1000000000", "10e999999999"),
        ("1e400", "1" + "0" * 400),
        ("1e-400", "0." + "0" * 399 + "1"),
        ("-1e1000000000", "-0.001e1000000003"),
        ("1e" + "9" * 900, "10.0E+" + "9" * 899 + "8"),
        ("0e" + "9" * 900, "0"),
        ("1e" + "0" * 2000 + "5", "100000"),
        ("7" * 10_000, "7" * 10_000 + ".000"),
        ("7" * 10_000, "0." + "7" * 10_000 + "e10000"),
    ],
)
def test_numbers_beyond_any_float_are_compared_by_value(one: str, other: str) -> None:
    assert identity(one) == identity(other)
    assert parse(one.encode(), name="x").text == one.encode()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1e1000000000", "1e1000000001"),
        ("1e400", "-1e400"),
        ("1e400", "1e-400"),
        ("7" * 10_000, "7" * 9_999 + "8"),
        ("0.1", "0.1000000000000000055511151231257827"),
    ],
)
def test_numbers_that_one_float_would_hold_stay_different(one: str, other: str) -> None:
    assert identity(one) != identity(other)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"NaN", "NaN is not JSON (byte 0)"),
        (b'{"a": [1, NaN]}', "NaN is not JSON (byte 10)"),
        (b"-Infinity", "Infinity is not JSON (byte 1)"),
        (b"[Infinity]", "Infinity is not JSON (byte 1)"),
        (b'"\\ud800"', "surrogate"),
        (b'"\\ud800 and more text"', "surrogate"),
        (b'"\\ud800\\u0041 and more"', "surrogate"),
        (b'"\\udc00"', "surrogate"),
        (b'{"\\udc00": 1}', "surrogate"),
        (b'"\xed\xa0\x80"', "not UTF-8: byte 0xed at byte 1"),
        (b'["ok", "\xff"]', "not UTF-8: byte 0xff at byte 8"),
        (b'{"\xff": 1}', "not UTF-8: byte 0xff at byte 2"),
        (b'"\xc0\x80"', "not UTF-8"),
        (b"\xff", "not JSON"),
        (b"1 2", "trailing"),
        (b"{} x", "trailing"),
        (b"[1", "too early"),
        (b'"abc', "too early"),
        (b"[1,]", "trailing comma"),
        (b"{'a': 1}", "byte 1"),
        (b"{1: 2}", "keys must be strings"),
        (b"01", "invalid number"),
        (b"+1", "invalid character"),
        (b".5", "invalid character"),
        (b"1.", "invalid number"),
        (b"0" + b"1" * 60, "invalid number"),
        (b"1" * 60 + b".", "invalid number"),
        (b"1" * 60 + b"e", "invalid number"),
        (b"0x" + b"1" * 60, "trailing"),
        (b'"tab\there"', "invalid character"),
        (b'"\\x41"', "invalid escape"),
        (b"\xef\xbb\xbf1", "byte 0"),
        (b"// no\n1", "byte 0"),
        (b"[" * 100_000, "64 levels"),
        (b"1e" + b"1" * 1001, "exponent"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_reason(text: bytes, said: str) -> None:
    assert said in problem_of(text)


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"[":', b"}")])
def test_depth_is_bounded_and_a_scalar_has_none(brackets: tuple[bytes, bytes]) -> None:
    opening, closing = brackets
    parse(opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH, name="x")
    too_deep = opening * (MAX_DEPTH + 1) + b"1" + closing * (MAX_DEPTH + 1)
    assert problem_of(too_deep) == "arrays and objects are nested more than 64 levels deep"


def test_brackets_side_by_side_and_in_strings_do_not_count_as_depth() -> None:
    parse(b"[" + b"[{}]," * 500 + b'"' + b"[" * 500 + b'\\"' + b"{" * 500 + b'"]', name="x")


def test_a_value_that_is_too_large_is_refused_with_its_size() -> None:
    with pytest.raises(TooLarge) as caught:
        parse(b'"12345"', name="big", max_bytes=6)
    assert caught.value.facts == {"name": "big", "size_bytes": 7, "limit_bytes": 6}
    assert parse(b'  "1234"  ', name="big", max_bytes=6).text == b'"1234"'


@pytest.mark.parametrize(
    "text",
    [
        b"1" * MAX_VALUE_BYTES,
        b"1" * (MAX_VALUE_BYTES - 2) + b".5",
        b'"' + b'\\"' * (MAX_VALUE_BYTES // 2 - 1) + b'"',
        b'["' + b"1" * 50 + b'\\"' * (MAX_VALUE_BYTES // 2 - 30),
        b"1e" + b"1" * (MAX_VALUE_BYTES - 2),
    ],
    ids=["digits", "decimals", "quotes", "never-ending", "exponent"],
)
def test_no_text_takes_more_than_linear_time(text: bytes) -> None:
    # Quadratic time would be hours; this is far from both.
    began = time.process_time()
    with contextlib.suppress(InvalidValue):
        parse(text, name="x")
    assert time.process_time() - began < 20
