"""KDL written, in the form that `kdl` reads.

ckdl writes too, but not exactly: 0.30000000000000004 becomes 0.3, and 5e-324 no number at all.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from torcd.spec.schema import Entry, WorkflowSpec

LIST = "list"
"""The mark of a node whose arguments are a list, however few they are."""

_TEXT_OR_LIST = {"command"}
"""Fields of which a list of one must be marked."""

_SINGULAR = {
    "jobs": "job",
    "files": "file",
    "failure_handlers": "failure_handler",
    "rules": "rule",
    "actions": "action",
    "slurm_schedulers": "slurm_scheduler",
}
"""What a node is called that is one of several structs."""

_INDENT = "    "
_BARE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEYWORDS = {"true", "false", "null", "inf", "nan"}
_SPECIAL = re.compile(r'["\\]|[^\x20-\x7e]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def dump(spec: WorkflowSpec) -> str:
    return "".join(f"{line}\n" for line in _fields(spec, ""))


def _fields(struct: msgspec.Struct, indent: str, skip: str = "") -> Iterator[str]:
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if name == skip or value is None or value is msgspec.UNSET:
            continue
        match value:
            case msgspec.Struct():
                yield from _struct(name, value, indent)
            case dict():
                yield from _mapping(name, value, indent)
            case tuple() if any(isinstance(item, msgspec.Struct) for item in value):
                for item in value:
                    yield from _item(_SINGULAR.get(name, name), item, indent)
            case tuple():
                marked = not value or name in _TEXT_OR_LIST
                yield f"{indent}{_node(name, value, marked=marked)}"
            case msgspec.Raw():
                yield f"{indent}{name} {_text(bytes(value).decode())}"
            case _:
                yield f"{indent}{name} {_scalar(value)}"


def _item(name: str, item: object, indent: str) -> Iterator[str]:
    match item:
        case Entry(name=of, cli_arg=None):
            yield f"{indent}{name} name={_text(of)}"
        case Entry(name=of, cli_arg=str(cli_arg)):
            yield f"{indent}{name} {_text(of)} cli_arg={_text(cli_arg)}"
        case msgspec.Struct():
            yield from _struct(name, item, indent)
        case _:
            yield f"{indent}{name} {_scalar(item)}"


def _struct(name: str, struct: msgspec.Struct, indent: str) -> Iterator[str]:
    own_name = getattr(struct, "name", None)
    yield f"{indent}{name} {{" if own_name is None else f"{indent}{name} {_text(own_name)} {{"
    yield from _fields(struct, indent + _INDENT, skip="name")
    yield f"{indent}}}"


def _mapping(name: str, mapping: Mapping[str, object], indent: str) -> Iterator[str]:
    yield f"{indent}{name} {{"
    for key, value in mapping.items():
        values = value if isinstance(value, tuple) else (value,)
        line = _node(_name(key), values, marked=isinstance(value, tuple))
        yield f"{indent}{_INDENT}{line}"
    yield f"{indent}}}"


def _node(name: str, values: tuple[object, ...], *, marked: bool) -> str:
    mark = f"({LIST})" if marked else ""
    return " ".join([mark + name, *map(_scalar, values)])


def _scalar(value: object) -> str:
    match value:
        case None:
            return "#null"
        case bool():
            return "#true" if value else "#false"
        case str():
            return _text(value)
        case _:
            return repr(value)


def _name(text: str) -> str:
    is_bare = _BARE_NAME.fullmatch(text) and text not in _KEYWORDS
    return text if is_bare else _text(text)


def _text(text: str) -> str:
    return f'"{_SPECIAL.sub(_escaped, text)}"'


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"
