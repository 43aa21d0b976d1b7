"""A field with templates in it becomes a function that makes the field: texts wherever they stand,
in lists, in mappings, in references and in JSON.

What a template is, and what it is filled in with, is for the compiler to say: the values of
parameters (`templates`), or an element of a value (`elements`).
"""

import re
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from torcd.spec.problems import Path
from torcd.spec.schema import Entry

Choice = TypeVar("Choice")
_Contra = TypeVar("_Contra", contravariant=True)

Maker = Callable[[Choice], object]
"""A field's value, given what its templates are filled in with."""


class Written(Protocol[_Contra]):
    """A text that has templates in it."""

    @property
    def parameters(self) -> set[int]:
        """Which of the parameters are in it."""
        ...

    def text(self, choice: _Contra, /) -> str: ...


class Compiler(Protocol[_Contra]):
    def compile(self, text: str, path: Path, *, is_regex: bool = False) -> Written[_Contra] | str:
        """The text itself if nothing in it is a template."""
        ...


REGEXES = frozenset(
    {
        "depends_on_regexes",
        "blocked_by_regexes",
        "input_file_regexes",
        "output_file_regexes",
        "input_user_data_regexes",
        "output_user_data_regexes",
    }
)

_JSON_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def maker(
    compiler: Compiler[Choice], value: object, path: Path, used: set[int]
) -> Maker[Choice] | None:
    """Of a field, which is the last of the path. None: there is no template in it. Adds to `used`
    the parameters that are."""
    return _maker(compiler, value, path, path[-1] in REGEXES, used)


def _maker(
    compiler: Compiler[Choice], value: object, path: Path, is_regex: bool, used: set[int]
) -> Maker[Choice] | None:
    def maker(part: object, *place: str | int) -> Maker[Choice] | None:
        return _maker(compiler, part, (*path, *place), is_regex, used)

    match value:
        case str():
            template = compiler.compile(value, path, is_regex=is_regex)
            if isinstance(template, str):
                return None
            used |= template.parameters
            return template.text
        case tuple():
            makers = [maker(part, n) for n, part in enumerate(value)]
            if not any(makers):
                return None
            pairs = list(zip(value, makers, strict=True))
            return lambda choice: tuple(
                [part if make is None else make(choice) for part, make in pairs]
            )
        case dict():
            names = [(name, maker(name, name), maker(v, name)) for name, v in value.items()]
            if not any(key or make for _, key, make in names):
                return None
            return lambda choice: {
                (name if key is None else key(choice)): (
                    value[name] if make is None else make(choice)
                )
                for name, key, make in names
            }
        case Entry():
            name, cli_arg = maker(value.name, "name"), maker(value.cli_arg, "cli_arg")
            if not (name or cli_arg):
                return None
            return lambda choice: Entry(
                name=str(name(choice)) if name else value.name,
                cli_arg=str(cli_arg(choice)) if cli_arg else value.cli_arg,
            )
        case msgspec.Raw():
            return _data_maker(compiler, bytes(value), path, used)
        case _:
            return None


def _data_maker(
    compiler: Compiler[Choice], text: bytes, path: Path, used: set[int]
) -> Maker[Choice] | None:
    """Of JSON: templates count in its texts, the rest of it stays as it is written."""
    pieces: list[bytes | Written[Choice]] = []
    done = 0
    for match in _JSON_TEXT.finditer(text):
        if b"{" not in match[0]:
            continue
        try:
            string = msgspec.json.decode(match[0], type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # what is wrong with it is told when it is read as a value
        template = compiler.compile(string, path)
        if not isinstance(template, str):
            used |= template.parameters
            pieces += [text[done : match.start()], template]
            done = match.end()
    if not pieces:
        return None
    pieces.append(text[done:])
    encode = msgspec.json.encode
    return lambda choice: msgspec.Raw(
        b"".join(
            [piece if isinstance(piece, bytes) else encode(piece.text(choice)) for piece in pieces]
        )
    )
