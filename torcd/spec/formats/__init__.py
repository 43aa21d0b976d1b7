"""The formats a spec may be written in: one module each, with `load`, `locate` and `dump`.

A module is imported when a spec of its format is read or written, and not before: the libraries
behind some of them are heavy, and the daemon, which gets specs as structs, needs none.
"""

import importlib
from collections.abc import Callable, Mapping, Set
from typing import Protocol, cast

from torcd.spec.problems import Path, Position
from torcd.spec.schema import WorkflowSpec


class Format(Protocol):
    """How one format is read and written."""

    @property
    def load(self) -> Callable[[str], object]:
        """The raw tree of a text; raises `SpecSyntaxError` where it is none."""

    @property
    def locate(self) -> Callable[[str, Set[Path]], dict[Path, Position]]:
        """Where things are in a text that `load` has taken: a key, or the item of a list.

        Slow, and only called when there is something to tell. Paths that are not there are left
        out.
        """

    @property
    def dump(self) -> Callable[[WorkflowSpec], str]:
        """The text of which `load` makes the tree of the spec; raises `Unwritable` where the format
        has no words for something in it."""


class SpecSyntaxError(Exception):
    """The text is not of its format. Becomes a problem of the file, never leaves this package."""

    def __init__(
        self,
        message: str,
        position: Position | None = None,
        hint: str | None = None,
        path: Path = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.hint = hint
        self.path = path
        """Where a format that tells no position can say at least that."""


class Unwritable(Exception):
    """The format cannot say it. Becomes a problem of the spec, never leaves this package."""

    def __init__(self, path: Path, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.hint = hint


SUFFIXES = {
    ".json5": "json5",
    ".json": "json5",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".kdl": "kdl",
}
FORMATS = {"json5": "json5", "json": "json5", "yaml": "yaml", "toml": "toml", "kdl": "kdl"}
"""What a format may be called, and the module that reads it."""


def by_name(name: str) -> Format:
    return cast("Format", importlib.import_module(f"{__name__}.{FORMATS[name]}"))


def position_at(text: str, offset: int) -> Position:
    """Line and column of an offset, both from 1, in characters."""
    start = text.rfind("\n", 0, offset) + 1
    return Position(text.count("\n", 0, offset) + 1, offset - start + 1)


def positions_at(text: str, offsets: dict[Path, int]) -> dict[Path, Position]:
    """The same for many, in one pass over the text."""
    positions = {}
    line, line_start, seen = 1, 0, 0
    for path, offset in sorted(offsets.items(), key=lambda item: item[1]):
        line += text.count("\n", seen, offset)
        last_break = text.rfind("\n", seen, offset)
        if last_break >= 0:
            line_start = last_break + 1
        seen = offset
        positions[path] = Position(line, offset - line_start + 1)
    return positions


TOO_LONG_NUMBER = "the number is too long"
HALF_A_PAIR = "a text holds half of a surrogate pair"
NO_END = "the text that starts here has no end"
TOO_DEEP = "the text is nested too deep"


def duplicate_key(name: str, position: Position | None = None) -> SpecSyntaxError:
    return SpecSyntaxError(f"`{name}` is there twice", position, "leave one of them out")


def hint_for(words: str, hints: Mapping[str, str]) -> str | None:
    """The first hint whose key is in a parser's words."""
    return next((hint for part, hint in hints.items() if part in words), None)
