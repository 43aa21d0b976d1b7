"""KDL, in the form of torc's examples: a node for each item, its name as the argument.

    job "work" {
        command "python work.py"
        depends_on "first" "second"
        input_file "table" cli_arg="--table"
    }

Fields are properties or nodes; several arguments, or a node again, make a list. What a node means
goes by the field's type, so that a list of one is a list; where the type allows both, and for an
empty one, the node is marked: `(list)command "true"`. Lists may be named in the singular. The
text of `data`, `schema`, `config` and `schedulers` is JSON. ckdl parses; what it does not tell is
found in `kdl_reading`. `kdl_text` writes.
"""

import json
import re
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress

import ckdl
import msgspec
from msgspec import inspect

from torcd.spec.formats import HALF_A_PAIR, TOO_DEEP, SpecSyntaxError, duplicate_key, kdl_reading
from torcd.spec.formats.kdl_reading import visible
from torcd.spec.formats.kdl_text import LIST, dump
from torcd.spec.problems import Path, Position
from torcd.spec.structure import language

__all__ = ["dump", "load", "locate"]

_MAX_DEPTH = 128

_SINGULAR = {
    "job": "jobs",
    "file": "files",
    "failure_handler": "failure_handlers",
    "slurm_scheduler": "slurm_schedulers",
    "action": "actions",
    "depends_on_job": "depends_on",
    "blocked_by_job": "blocked_by",
    "input_file": "input_files",
    "output_file": "output_files",
    "command": "commands",
    "rule": "rules",
    "job_name_regex": "job_name_regexes",
    "depends_on_regex": "depends_on_regexes",
    "blocked_by_regex": "blocked_by_regexes",
}
"""Taken for the field where a struct has that and not the other."""


def load(text: str) -> object:
    kdl_reading.refuse_long_numbers(text)
    try:
        document = ckdl.parse(text, version="detect")
    except ckdl.ParseError:
        raise kdl_reading.syntax_error(text) from None
    except UnicodeDecodeError:
        raise SpecSyntaxError(HALF_A_PAIR) from None
    kdl_reading.refuse_repeated_properties(text, document)
    _correct(document, text)
    tree: dict[str, object] = {}
    for node in document.nodes:
        _add_field(tree, language(), node)
    return tree


def locate(text: str, paths: Set[Path]) -> dict[Path, Position]:
    return {}


_FLOAT = re.compile(r"[+-]?[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]{1,3}(?![0-9_]))?")
_MAX_LENGTH = 40
"""Of the text of a float that ckdl may misread; longer ones it reads exactly."""


def _correct(document: ckdl.Document, text: str) -> None:
    """Put right the floats that ckdl reads a digit off, such as 8.42e-21: short ones with a large
    exponent. A number that stands for both what ckdl makes of a text and for itself is not worth
    telling apart from it."""
    wrong: dict[float, float] = {}
    for word in set(_FLOAT.findall(text)):
        exact = word.replace("_", "")
        if len(word) <= _MAX_LENGTH and not exact.strip("+-").isdigit():
            with suppress(ckdl.ParseError):  # it may stand in a text, and be no number there
                read = ckdl.parse(f"float {word}").nodes[0].args[0]
                if read != float(exact):
                    wrong[read] = float(exact)
    nodes = list(document.nodes) if wrong else []
    while nodes:
        node = nodes.pop()
        node.args = [_corrected(value, wrong) for value in node.args]
        node.properties = {k: _corrected(v, wrong) for k, v in node.properties.items()}
        nodes += node.children


def _corrected(value: object, wrong: dict[float, float]) -> object:
    scalar = _scalar(value)
    return wrong.get(scalar, scalar) if isinstance(scalar, float) else scalar


def _add_field(tree: dict[str, object], struct: inspect.StructType, node: ckdl.Node) -> None:
    fields = {field.encode_name: field.type for field in struct.fields}
    name = node.name
    if name not in fields and _SINGULAR.get(name) in fields:
        name = _SINGULAR[name]
    if name not in fields:
        # Told as an unknown field, whatever else is in it.
        tree[name] = _scalar(node.args[0]) if node.args else None
        return
    expected = _plain(fields[name])
    if isinstance(expected, inspect.VarTupleType):
        if node.type_annotation == LIST and not _has_content(node):
            tree.setdefault(name, [])
            return
        items = tree.setdefault(name, [])
        assert isinstance(items, list)
        with _told_at(name, len(items)):
            items += _items(expected, node)
        return
    with _told_at(name):
        if name in tree:
            raise duplicate_key(name)
        match expected:
            case inspect.RawType():
                tree[name] = _json(node)
            case inspect.StructType():
                tree[name] = _struct(expected, node, named=False)
            case inspect.DictType() if not _has_content(node):
                tree[name] = {}
            case _:
                tree[name] = _value(node, 0)


@contextmanager
def _told_at(*path: str | int) -> Iterator[None]:
    """What is wrong within is below this path."""
    try:
        yield
    except SpecSyntaxError as error:
        error.path = (*path, *error.path)
        raise


def _items(expected: inspect.VarTupleType, node: ckdl.Node) -> list[object]:
    item = _plain(expected.item_type)
    if isinstance(item, inspect.StructType):
        return [_struct(item, node, named=True)]
    values = [_scalar(value) for value in node.args]
    if node.properties and len(values) == 1:
        return [{"name": values[0], **_properties(node)}]
    if node.properties and not values and not node.children:
        return [_properties(node)]
    if not values or node.properties or node.children:
        raise SpecSyntaxError(f"`{node.name}` has no value", hint=f'write {node.name} "…"')
    return list(values)


def _struct(expected: inspect.StructType, node: ckdl.Node, *, named: bool) -> dict[str, object]:
    tree: dict[str, object] = {}
    has_name = any(field.encode_name == "name" for field in expected.fields)
    if node.args and not (named and has_name and len(node.args) == 1):
        hint = "fields are nodes within its braces, or properties"
        raise SpecSyntaxError(f"`{node.name}` has more arguments than a name", hint=hint)
    if node.args:
        tree["name"] = _scalar(node.args[0])
    for name, value in _properties(node).items():
        if name in tree:
            raise duplicate_key(name)
        fields = {field.encode_name: _plain(field.type) for field in expected.fields}
        is_list = isinstance(fields.get(name), inspect.VarTupleType)
        is_json = isinstance(fields.get(name), inspect.RawType) and isinstance(value, str)
        tree[name] = [value] if is_list else _raw(value) if is_json else value
    for child in node.children:
        _add_field(tree, expected, child)
    return tree


def _json(node: ckdl.Node) -> object:
    if len(node.args) == 1 and not node.children and not node.properties:
        value = _scalar(node.args[0])
        return _raw(value) if isinstance(value, str) else value
    return _value(node, 0)


def _raw(text: object) -> msgspec.Raw:
    """What is wrong with the JSON besides is told when it is read as a value."""
    with suppress(ValueError, RecursionError):
        json.loads(str(text), object_pairs_hook=_refuse_repeated_keys, parse_int=str)
    return msgspec.Raw(str(text).encode(errors="replace"))


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise duplicate_key(visible(key))
        seen.add(key)


def _value(node: ckdl.Node, depth: int) -> object:
    """Of a node without a struct of its own: a mapping, a list, or one value."""
    if depth > _MAX_DEPTH:
        raise SpecSyntaxError(TOO_DEEP)
    if node.children or node.properties:
        if node.args:
            raise SpecSyntaxError(f"`{visible(node.name)}` has both a value and fields")
        mapping = _properties(node)
        for child in node.children:
            if child.name in mapping:
                raise duplicate_key(visible(child.name))
            mapping[child.name] = _value(child, depth + 1)
        return mapping
    values = [_scalar(value) for value in node.args]
    if node.type_annotation == LIST:
        return values
    if not values:
        name = visible(node.name)
        raise SpecSyntaxError(f"`{name}` has no value", hint=f'write {name} "…"')
    return values[0] if len(values) == 1 else values


def _has_content(node: ckdl.Node) -> bool:
    return bool(node.args or node.properties or node.children)


def _properties(node: ckdl.Node) -> dict[str, object]:
    return {name: _scalar(value) for name, value in node.properties.items()}


def _scalar(value: object) -> object:
    return value.value if isinstance(value, ckdl.Value) else value


def _plain(expected: inspect.Type) -> inspect.Type:
    """Without its description, and without null."""
    while True:
        if isinstance(expected, inspect.Metadata):
            expected = expected.type
        elif isinstance(expected, inspect.UnionType):
            members = [
                member
                for member in expected.types
                if not isinstance(member, inspect.NoneType | inspect.CustomType)
            ]
            if len(members) != 1:
                return expected
            expected = members[0]
        else:
            return expected
