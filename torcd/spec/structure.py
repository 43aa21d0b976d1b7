"""A raw tree becomes a `WorkflowSpec`, or the list of everything that does not fit.

msgspec stops at the first thing that is wrong. So a tree it refuses is walked along the structs'
own types, which finds all of it. What does not fit is left out or replaced by a stand-in, so that
the rules of `expansion` can look at the rest; the paths of stand-ins are `untrusted`, and nothing
is said about them twice.

A raw tree is made of dict (with text keys), list, str, int, float, bool and None, and in
user_data `data` anything, of which `data.encode` knows what is JSON.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import msgspec
from msgspec import inspect

from torcd.spec import data
from torcd.spec.problems import MAX_PROBLEMS, Finding, Path, nearest, quoted
from torcd.spec.schema import ANY_JSON, ANY_JSON_OF_USER_DATA, WorkflowSpec

_NUMBER = re.compile(r"\s*[+-]?[0-9]*\.?[0-9]+\s*\Z")


class Decoded(msgspec.Struct, frozen=True):
    spec: WorkflowSpec
    """All of it if there are no findings, and otherwise what could be made of it."""
    findings: list[Finding]
    untrusted: set[Path]
    """Where `spec` has a stand-in for something that was wrong."""


def decode(tree: object) -> Decoded:
    """The spec of a raw tree. Takes the tree over: `data` in it is replaced by its JSON text."""
    findings = _encode_data(tree)
    if not findings:
        with suppress(msgspec.ValidationError):
            return Decoded(msgspec.convert(tree, WorkflowSpec), [], set())
        with suppress(msgspec.ValidationError, RecursionError):
            plain = _with_plain_numbers(tree)
            return Decoded(msgspec.convert(plain, WorkflowSpec), [], set())
    walk = _Walk()
    walk.findings = findings
    cleaned = walk.value(language(), tree, ())
    return Decoded(msgspec.convert(cleaned, WorkflowSpec), walk.findings, walk.untrusted)


@cache
def language() -> inspect.StructType:
    """The structs of a spec, as msgspec describes them."""
    info = inspect.type_info(WorkflowSpec)
    assert isinstance(info, inspect.StructType)
    return info


def _encode_data(tree: object) -> list[Finding]:
    """Replace what may be any JSON by its text, or leave it out where it is none."""
    findings: list[Finding] = []
    if not isinstance(tree, dict):
        return findings

    def replace(item: object, field: str, path: Path) -> None:
        if not isinstance(item, dict) or field not in item:
            return
        encoded = None if item[field] is None else data.encode(item[field], (*path, field))
        if isinstance(encoded, list):
            findings.extend(encoded)
        if isinstance(encoded, msgspec.Raw):
            item[field] = encoded
        else:
            del item[field]

    for field in ANY_JSON:
        replace(tree, field, ())
    items = tree.get("user_data")
    for n, item in enumerate(items if isinstance(items, list) else ()):
        for field in ANY_JSON_OF_USER_DATA:
            replace(item, field, ("user_data", n))
    return findings


def _with_plain_numbers(tree: object) -> object:
    """A copy in which numbers are only numbers: msgspec takes no `WrittenNumber` for a float."""
    match tree:
        case dict():
            return {key: _with_plain_numbers(item) for key, item in tree.items()}
        case list():
            return [_with_plain_numbers(item) for item in tree]
        case float():
            return float(tree)
        case _:
            return tree


class _Walk:
    """Collects what does not fit while it copies what does."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.untrusted: set[Path] = set()

    def value(self, expected: inspect.Type, value: object, path: Path) -> object:
        """A copy of `value` that fits the type."""
        match expected:
            case inspect.Metadata():
                return self.value(expected.type, value, path)
            case inspect.StructType():
                return self._struct(expected, value, path)
            case inspect.VarTupleType():
                return self._list(expected, value, path)
            case inspect.DictType():
                return self._mapping(expected, value, path)
            case inspect.UnionType():
                return self._union(expected, value, path)
            case inspect.StrType() if isinstance(value, str):
                return value
            case inspect.BoolType() if isinstance(value, bool):
                return value
            case inspect.IntType() if isinstance(value, int) and not isinstance(value, bool):
                if _is_within(value, expected):
                    return value
                return self._wrong_type(expected, value, path)
            case inspect.FloatType() if isinstance(value, int | float):
                if not isinstance(value, bool) and _is_within(value, expected):
                    return float(value)
                return self._wrong_type(expected, value, path)
            case inspect.LiteralType() if isinstance(value, str):
                if value in expected.values:
                    return value
                hint = nearest(value, [str(choice) for choice in expected.values])
                return self._wrong_type(expected, value, path, hint)
            case inspect.RawType():
                return value
            case _:
                return self._wrong_type(expected, value, path)

    def _struct(self, expected: inspect.StructType, value: object, path: Path) -> object:
        if not isinstance(value, dict):
            return self._wrong_type(expected, value, path)
        fields = {field.encode_name: field for field in expected.fields}
        cleaned: dict[str, object] = {}
        for key, item in value.items():
            name = key if isinstance(key, str) else data.written(key)
            place = (*path, name)
            if key in fields:
                if item is not None:
                    cleaned[key] = self.value(fields[key].type, item, place)
            else:
                hint = None
                if len(self.findings) < MAX_PROBLEMS:
                    hint = nearest(name, fields) or _fields_hint(fields)
                self.findings.append(Finding(place, f"unknown field {quoted(name)}", hint))
        for name, field in fields.items():
            if field.required and name not in cleaned:
                self.findings.append(Finding(path, f"`{name}` is missing"))
                self.untrusted.add((*path, name))
                cleaned[name] = _stand_in(field.type)
        return cleaned

    def _list(self, expected: inspect.VarTupleType, value: object, path: Path) -> object:
        if isinstance(value, list):
            return [self.value(expected.item_type, v, (*path, n)) for n, v in enumerate(value)]
        hint = None
        if isinstance(value, str) and _plain_text_expected(expected.item_type):
            hint = f"write a list: [{data.written(value)}]"
        elif isinstance(value, dict) and isinstance(_plain(expected.item_type), inspect.StructType):
            table = ".".join(part for part in path if isinstance(part, str))
            hint = f"write a list: [{{…}}], or in TOML [[{table}]]"
        return self._wrong_type(expected, value, path, hint)

    def _mapping(self, expected: inspect.DictType, value: object, path: Path) -> object:
        if not isinstance(value, dict):
            return self._wrong_type(expected, value, path)
        cleaned = {}
        for key, item in value.items():
            if isinstance(key, str):
                cleaned[key] = self.value(expected.value_type, item, (*path, key))
            else:
                message = f"expected text as the key, found {_kind(key)}"
                name = data.written(key)
                self.findings.append(Finding((*path, name), message, f'write "{name}"'))
        return cleaned

    def _union(self, expected: inspect.UnionType, value: object, path: Path) -> object:
        """By the kind of the value: no two members of our unions are written alike."""
        if value is None and expected.includes_none:
            return None
        members = [t for t in expected.types if not isinstance(t, inspect.NoneType)]
        for member in members:
            if _is_written_as(value, _plain(member)):
                return self.value(member, value, path)
        if len(members) == 1:
            return self.value(members[0], value, path)
        return self._wrong_type(expected, value, path)

    def _wrong_type(
        self, expected: inspect.Type, value: object, path: Path, hint: str | None = None
    ) -> object:
        if (
            hint is None
            and _plain_text_expected(expected)
            and isinstance(value, bool | int | float)
        ):
            hint = f"write it in quotes: {data.written(str(data.written(value)))}"
        if hint is None and isinstance(expected, inspect.BoolType) and isinstance(value, str):
            hint = "write true or false, without quotes"
        is_number = isinstance(expected, inspect.IntType | inspect.FloatType)
        if hint is None and is_number and isinstance(value, str) and _NUMBER.match(value):
            hint = "write the number without quotes"
        message = f"expected {_description(expected)}, found {_kind(value)}"
        return self._refuse(expected, path, message, hint)

    def _refuse(self, expected: inspect.Type, path: Path, message: str, hint: str | None) -> object:
        self.findings.append(Finding(path, message, hint))
        self.untrusted.add(path)
        return _stand_in(expected)


_PYTHON_TYPES: dict[type[inspect.Type], type | tuple[type, ...]] = {
    inspect.StrType: str,
    inspect.VarTupleType: list,
    inspect.StructType: dict,
    inspect.DictType: dict,
    inspect.RawType: msgspec.Raw,
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: float,
}


def _is_written_as(value: object, expected: inspect.Type) -> bool:
    if isinstance(value, bool):
        return isinstance(expected, inspect.BoolType)
    return isinstance(value, _PYTHON_TYPES.get(type(expected), ()))


def _is_within(value: float, expected: inspect.IntType | inspect.FloatType) -> bool:
    at_least = expected.ge is None or value >= expected.ge
    at_most = expected.le is None or value <= expected.le
    return at_least and at_most and value == value


def _plain(expected: inspect.Type) -> inspect.Type:
    while isinstance(expected, inspect.Metadata):
        expected = expected.type
    return expected


def _plain_text_expected(expected: inspect.Type) -> bool:
    plain = _plain(expected)
    if isinstance(plain, inspect.UnionType):
        return any(isinstance(_plain(t), inspect.StrType) for t in plain.types)
    return isinstance(plain, inspect.StrType)


def _stand_in(expected: inspect.Type) -> object:
    """The least that fits a type."""
    match expected:
        case inspect.Metadata():
            return _stand_in(expected.type)
        case inspect.UnionType():
            return None if expected.includes_none else _stand_in(expected.types[0])
        case inspect.StructType():
            return {f.encode_name: _stand_in(f.type) for f in expected.fields if f.required}
        case inspect.LiteralType():
            return expected.values[0]
        case inspect.IntType() | inspect.FloatType():
            return expected.ge or 0
        case _:
            least: dict[type, Callable[[], object]] = {
                inspect.VarTupleType: list,
                inspect.DictType: dict,
                inspect.BoolType: bool,
            }
            return least.get(type(expected), str)()


def _description(expected: inspect.Type) -> str:
    match expected:
        case inspect.Metadata():
            return _description(expected.type)
        case inspect.UnionType():
            members = [t for t in expected.types if not isinstance(t, inspect.NoneType)]
            if any(isinstance(_plain(member), inspect.FloatType) for member in members):
                members = [m for m in members if not isinstance(_plain(m), inspect.IntType)]
            return " or ".join(_description(member) for member in members)
        case inspect.StructType():
            required = [f"`{f.encode_name}`" for f in expected.fields if f.required]
            return "a mapping" + (f" with {' and '.join(required)}" if required else "")
        case inspect.VarTupleType():
            return f"a list of {_plural(_plain(expected.item_type))}"
        case inspect.LiteralType():
            return " or ".join(quoted(str(choice)) for choice in expected.values)
        case inspect.IntType():
            return f"a whole number{_bounds(expected)}"
        case inspect.FloatType():
            return f"a number{_bounds(expected)}"
        case _:
            return _NAMES.get(type(expected), "a value")


def _bounds(expected: inspect.IntType | inspect.FloatType) -> str:
    match expected.ge, expected.le:
        case None, None:
            return ""
        case least, None:
            return f", {least:.0f} or more"
        case least, most:
            return f" from {least:.0f} to {most:.0f}"


def _plural(expected: inspect.Type) -> str:
    if isinstance(expected, inspect.UnionType):
        has_numbers = any(isinstance(_plain(t), inspect.FloatType) for t in expected.types)
        return "such values" if has_numbers else "names"
    return _PLURAL[type(expected)]


_PLURAL: dict[type[inspect.Type], str] = {
    inspect.StrType: "texts",
    inspect.StructType: "mappings",
    inspect.IntType: "whole numbers",
    inspect.LiteralType: "names",
}
_NAMES: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.DictType: "a mapping",
    inspect.BoolType: "true or false",
}


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {data.written(value)}"
        case str():
            return f"the text {quoted(value)}"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a {type(value).__name__}"


def _fields_hint(fields: dict[str, inspect.Field]) -> str | None:
    return f"the fields are {', '.join(fields)}" if len(fields) <= 8 else None
