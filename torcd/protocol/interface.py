"""Interface descriptions in Varlink's own language, made from the structs.

Nothing is written twice: methods come from the registry, types and comments from the structs and
their docstrings, errors from the error tree, where a docstring ends in the names of its facts.

Two things the language cannot say are described as `object`, which is any JSON: a field of more
than one type, and a struct with a field whose name is no Varlink name (`_key`).
"""

import inspect
import re
import textwrap

import msgspec
from msgspec import inspect as mi

from torcd import errors
from torcd.protocol.registry import Interface, Method, errors_of

_WIDTH = 100

_FIELD_NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*").fullmatch

_ANY_JSON = "\n\nAn `object` is any JSON value, and what may be null may also be absent."

FACT_TYPES = {
    "file": "string",
    "free_bytes": "int",
    "interface": "string",
    "job": "string",
    "key": "string",
    "known": "[]string",
    "limit_bytes": "int",
    "method": "string",
    "more": "int",
    "mount_point": "string",
    "name": "string",
    "names": "[]string",
    "newest": "int",
    "next": "int",
    "parameter": "string",
    "path": "string",
    "problem": "string",
    "problems": "[]object",
    "run_id": "int",
    "size_bytes": "int",
    "status": "string",
    "timeout_seconds": "float",
    "workflow_key": "string",
}
"""A fact's name means the same in every error."""


def describe(interface: Interface) -> str:
    """The text that GetInterfaceDescription answers."""
    types: dict[str, str] = {}
    methods = [_method(method, types) for method in interface.methods]
    parts = [
        f"{_comment(interface.description + _ANY_JSON)}interface {interface.name}",
        *(types[name] for name in sorted(types)),
        *methods,
        *map(_error, errors_of(interface)),
    ]
    return "\n\n".join(parts) + "\n"


def facts_of(error: type[errors.TorcError]) -> list[str]:
    """The names of the facts that an error's docstring promises."""
    promised = re.search(r"Facts: ([^.]*)\.", error.__doc__ or "")
    if promised is None:
        return []
    pieces = re.sub(r"\([^)]*\)", "", " ".join(promised[1].split())).split(",")
    return [piece.strip() for piece in pieces if piece.strip().isidentifier()]


def _method(method: Method, types: dict[str, str]) -> str:
    comment = inspect.cleandoc(method.parameters.__doc__ or "")
    if method.reply.__doc__ and method.reply.__struct_fields__:
        comment += f"\n\nThe reply: {inspect.cleandoc(method.reply.__doc__)}"
    head = f"method {method.name}"
    asked = _fields(method.parameters, types)
    answered = _fields(method.reply, types)
    line = f"{head}{_tuple(asked)} -> {_tuple(answered)}"
    if len(line) > _WIDTH:
        line = f"{head}{_tuple(asked, long=True)} -> {_tuple(answered, long=True)}"
    return _comment(comment) + line


def _error(error: type[errors.TorcError]) -> str:
    fields = ["message: string"]
    fields += [f"{fact}: ?{FACT_TYPES[fact]}" for fact in facts_of(error)]
    name = error.code.rpartition(".")[2]
    return f"{_comment(inspect.cleandoc(error.__doc__ or ''))}error {name} {_tuple(fields)}"


def _fields(struct: type[msgspec.Struct], types: dict[str, str]) -> list[str]:
    info = mi.type_info(struct)
    assert isinstance(info, mi.StructType)
    return [f"{field.encode_name}: {_field_type(field, types)}" for field in info.fields]


def _field_type(field: mi.Field, types: dict[str, str]) -> str:
    described = _type(field.type, types)
    # A default that inspection does not show is UNSET: the field may be absent.
    is_unset = not field.required and field.default is field.default_factory
    return f"?{described}" if is_unset and described[0] != "?" else described


def _type(info: mi.Type, types: dict[str, str]) -> str:
    """The Varlink type; the named types that it needs are added to `types`."""
    match info:
        case mi.StrType():
            return "string"
        case mi.BoolType():
            return "bool"
        case mi.IntType():
            return "int"
        case mi.FloatType():
            return "float"
        case mi.ListType():
            return f"[]{_type(info.item_type, types)}"
        case mi.DictType(key_type=mi.StrType()):
            return f"[string]{_type(info.value_type, types)}"
        case mi.LiteralType():
            return _tuple([str(value) for value in info.values])
        case mi.EnumType():
            name = info.cls.__name__
            values = [str(member.value) for member in info.cls]
            types[name] = _named(name, info.cls, values)
            return name
        case mi.StructType():
            if not all(_FIELD_NAME(field.encode_name) for field in info.fields):
                return "object"
            name = info.cls.__name__
            types[name] = _named(name, info.cls, _fields(info.cls, types))
            return name
        case mi.UnionType():
            return _union(info, types)
        case mi.RawType():
            return "object"
        case _:
            raise TypeError(f"Varlink has no type for {info}")


def _union(info: mi.UnionType, types: dict[str, str]) -> str:
    rest = [member for member in info.types if not isinstance(member, mi.NoneType)]
    described = _type(rest[0], types) if len(rest) == 1 else "object"
    return described if len(rest) == len(info.types) else f"?{described}"


def _named(name: str, cls: type, items: list[str]) -> str:
    text = f"type {name} {_tuple(items)}"
    if len(text) > _WIDTH:
        text = f"type {name} {_tuple(items, long=True)}"
    return _comment(inspect.cleandoc(cls.__doc__ or "")) + text


def _tuple(items: list[str], *, long: bool = False) -> str:
    if long and items:
        return "(\n" + ",\n".join(f"  {item}" for item in items) + "\n)"
    return f"({', '.join(items)})"


def _comment(text: str) -> str:
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        if lines:
            lines.append("#")
        lines += [f"# {line}" for line in textwrap.wrap(paragraph, _WIDTH - 2)]
    return "".join(f"{line}\n" for line in lines)
