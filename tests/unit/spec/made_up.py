"""Specs made up from the structs' own types: every field, whatever it is, odd values above all.

They fit the types, and are seldom right beyond that: names are unknown, commands empty.
"""

import json
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from torcd.spec import WorkflowSpec

_ODD_TEXTS = (
    *("", " ", "\n", "a\n", "a\n\nb\n", " a\nb", "a \n b\n\n", "\r\n", "\t", "\0", "\x7f"),
    *("\x85", "\ufeff", "\u2028", "\u200e", "é", "\U0001f600", "'", '"', '\\"', "\\", "\\u{0}"),
    *("#", "# a", "a: b", ": a", "- a", "? a", "!a", "&a", "*a", "%a", "@a", "`a", "[", "{a}"),
    *("---", "...", "<<", "=", "no", "~", "null", "true", "#true", "1", "-0", "1e5", "0x1F"),
    *("1:30", ".nan", "2024-01-01", "//", "/*", '"""', "'''", "{i:03d}", "${files.input.a}"),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(_ODD_TEXTS)
KEYS = TEXTS
INTEGERS = st.integers() | st.integers(-(2**63), 2**64) | st.just(10**299)
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [-0.0, 0.1 + 0.2, 5e-324, 1e16, 1e22, 1.7976931348623157e308]
)

_NUMBERS = st.sampled_from(
    [
        *(
            "0",
            "-0",
            "-0.0",
            "1.10",
            "1E5",
            "1e+05",
            "0.1000000000000000055511151231257827",
            "1e400",
        ),
        *("9" * 40, "-" + "9" * 301, "-1.5e-7", "1e-400"),
    ]
)
_SCALARS = (
    _NUMBERS
    | st.booleans().map(lambda value: "true" if value else "false")
    | st.just("null")
    | st.integers(-(2**70), 2**70).map(str)
    | FLOATS.map(lambda number: msgspec.json.encode(number).decode())
    | TEXTS.map(lambda text: msgspec.json.encode(text).decode())
)


def _array(items: list[str]) -> str:
    return f"[{','.join(items)}]"


def _object(items: dict[str, str]) -> str:
    return "{" + ",".join(f"{msgspec.json.encode(k).decode()}:{v}" for k, v in items.items()) + "}"


DATA = (
    st.recursive(
        _SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3).map(_array)
            | st.dictionaries(KEYS, inner, max_size=3).map(_object)
        ),
        max_leaves=6,
    )
    .filter(lambda text: text != "null")  # at the top it is as good as nothing
    .map(lambda text: msgspec.Raw(text.encode()))
)
"""JSON as the loaders leave it: no white space, no needless escapes."""


def values(expected: inspect.Type) -> st.SearchStrategy[Any]:
    """What may stand in a field of that type."""
    match expected:
        case inspect.Metadata():
            return values(expected.type)
        case inspect.UnionType():
            kinds = [t for t in expected.types if not isinstance(t, inspect.CustomType)]
            return st.one_of([values(kind) for kind in kinds if not _is_unset(kind)])
        case inspect.StructType():
            return structs(expected)
        case inspect.VarTupleType():
            return st.lists(values(expected.item_type), max_size=3).map(tuple)
        case inspect.DictType():
            return st.dictionaries(KEYS, values(expected.value_type), max_size=3)
        case inspect.LiteralType():
            return st.sampled_from(expected.values)
        case inspect.EnumType():
            return st.sampled_from(list(expected.cls))
        case inspect.StrType():
            return TEXTS
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return INTEGERS.filter(lambda n: _within(n, expected))
        case inspect.FloatType():
            return FLOATS.filter(lambda n: _within(n, expected))
        case inspect.RawType():
            return DATA
        case inspect.NoneType():
            return st.none()
    raise AssertionError(f"no values are known of {expected}")


def _is_unset(kind: inspect.Type) -> bool:
    return type(kind).__name__ == "UnsetType"


def _within(number: float, bounds: inspect.IntType | inspect.FloatType) -> bool:
    least = bounds.ge if bounds.ge is not None else number
    most = bounds.le if bounds.le is not None else number
    return least <= number <= most


def structs(info: inspect.StructType) -> st.SearchStrategy[Any]:
    required = {f.name: values(f.type) for f in info.fields if f.required}
    optional = {f.name: values(f.type) for f in info.fields if not f.required}
    fields = st.fixed_dictionaries(required, optional=optional)
    return fields.map(lambda drawn: info.cls(**drawn))


_info = inspect.type_info(WorkflowSpec)
assert isinstance(_info, inspect.StructType)
WORKFLOWS: st.SearchStrategy[WorkflowSpec] = structs(_info)


def plain(spec: WorkflowSpec) -> object:
    """To compare: unlike structs, it tells 1 from 1.0 and 0.0 from -0.0."""
    return json.dumps(json.loads(msgspec.json.encode(spec), parse_float=str, parse_int=str))
