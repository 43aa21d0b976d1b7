"""TOML. tomllib parses, with positions of syntax errors only; a scan finds the others.
`toml_text` writes.
"""

import re
import tomllib
from collections.abc import Iterator, Set

from torcd.spec.data import WrittenNumber
from torcd.spec.formats import (
    TOO_DEEP,
    TOO_LONG_NUMBER,
    SpecSyntaxError,
    duplicate_key,
    hint_for,
    position_at,
    positions_at,
)
from torcd.spec.formats.toml_text import dump
from torcd.spec.problems import Path, Position, path_text

__all__ = ["dump", "load", "locate"]

_MAX_KEYS = 128
"""Parts of one dotted key: deeper than any spec, and tomllib takes quadratic time for more."""

_MAX_DIGITS = 4_300
"""Of an integer, as Python has it."""

_MAX_NUMBER = 10_000
"""Characters of any number: tomllib takes 130 bytes for each."""

_PLACE = re.compile(r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|.*)\)$")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z")
# `(?>…)` within, for Python 3.11.2 (Debian 12) does not go back to where the last attempt of a
# possessive group began, if that failed half way. Around all of it, each turn would take memory.
_TOKENS = re.compile(
    r'(?P<text>"""(?:[^"\\]++|\\.|(?>"(?!"")))*+"{3,5}|\'\'\'.*?\'{3,5}'
    r'|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"|\'[^\'\n]*+\''
    r"|[^][{}=,.#\s\"']+)|(?P<comment>\#[^\n]*)|(?P<mark>\[\[|\]\]|[][{}=,.\n])",
    re.DOTALL,
)
_MANY_DIGITS = re.compile(rf"[0-9a-fA-F_]{{{_MAX_DIGITS}}}")
_DUPLICATES = re.compile(r"^(?:Cannot (?:overwrite|declare|mutate)|Duplicate inline)")

_HINTS = {
    "Invalid value": 'a text stands in quotes: "…"',
    "Expected '='": "write NAME = VALUE",
    "nclosed inline table": "it ends on its line, with a `}`; of several lines, write [[jobs]]",
    "initial character for a key": "after the last field of an inline table there is no comma",
    "nclosed array": "close it with a `]`",
    "at the end of an array declaration": "write [[jobs]]",
    "Unescaped '\\'": "use single quotes, or write two backslashes",
    "newline or end of document": "each field has a line of its own",
}
"""What to do, by a part of the parser's words; the first that is found counts."""


def load(text: str) -> object:
    _check_tokens(text)
    try:
        return tomllib.loads(text, parse_float=_number)
    except tomllib.TOMLDecodeError as problem:
        raise _syntax_error(str(problem), text) from None
    except RecursionError:
        raise SpecSyntaxError(TOO_DEEP) from None
    except ValueError as problem:
        raise SpecSyntaxError(f"not TOML: {problem}") from None


def locate(text: str, paths: Set[Path]) -> dict[Path, Position]:
    offsets: dict[Path, int] = {}
    for path, offset, _ in _scan(text):
        if path in paths:
            offsets.setdefault(path, offset)
    return positions_at(text, offsets)


def _check_tokens(text: str) -> None:
    """Refuse what tomllib would take too long for, or tell without its place."""
    has_many_dots = any(line.count(".") >= _MAX_KEYS for line in text.split("\n"))
    if not (has_many_dots or _MANY_DIGITS.search(text)):
        return
    dots = 0
    for token in _TOKENS.finditer(text):
        word = token["text"]
        if word is None:
            dots = dots + 1 if token["mark"] == "." else 0
        elif _is_too_long(word):
            hint = "write it in quotes, or the spec in JSON5"
            raise SpecSyntaxError(TOO_LONG_NUMBER, position_at(text, token.start()), hint)
        if dots > _MAX_KEYS:
            raise SpecSyntaxError(TOO_DEEP, position_at(text, token.start()))


def _is_too_long(word: str) -> bool:
    if len(word) <= _MAX_DIGITS or word[0] not in "+-0123456789":
        return False
    return len(word) > _MAX_NUMBER or word.replace("_", "").lstrip("+-").isdigit()


def _number(text: str) -> float:
    plain = text.replace("_", "").removeprefix("+")
    return WrittenNumber(plain) if _JSON_NUMBER.match(plain) else float(plain)


def _syntax_error(words: str, text: str) -> SpecSyntaxError:
    match = _PLACE.match(words)
    if not match:
        return SpecSyntaxError(f"not TOML: {words}")
    position = None
    if match["line"]:
        position = Position(int(match["line"]), int(match["column"]))
    elif "end of document" in words:
        position = Position(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)
    if position and _DUPLICATES.match(words):
        return _duplicate(words, text, position)
    what = match["what"]
    if what == "Illegal character '\\n'":
        hint = "close the quotes on the same line, or begin and end with three"
        return SpecSyntaxError("a text has no end on its line", position, hint)
    message = f"not TOML: {what[:1].lower()}{what[1:]}"
    return SpecSyntaxError(message, position, hint_for(what, _HINTS))


def _duplicate(words: str, text: str, position: Position) -> SpecSyntaxError:
    """tomllib tells where the value ends; people look for the key."""
    lines = text.split("\n")[: position.line]
    lines[-1] = lines[-1][: position.column - 1]
    if lines[-1].lstrip().startswith("["):
        lines[-1] += "]]"  # a header counts once it is closed
    before = "\n".join(lines)
    seen: set[Path] = set()
    statement: tuple[Path, int] = (), len(before)
    repeated: tuple[Path, int] | None = None
    for path, offset, is_statement in _scan(before):
        if is_statement:
            statement, repeated = (path, offset), None
        elif path in seen:
            repeated = path, offset
        if not is_statement:
            seen.add(path)
    path, offset = repeated or statement
    if path and isinstance(path[-1], int):
        path = path[:-1]
    place = position_at(text, offset)
    if "mutate" in words:
        message = f"`{path_text(path)}` adds to what has its value already"
        return SpecSyntaxError(message, place, "write all of it in one place")
    error = duplicate_key(path_text(path), place)
    if "declare" in words:
        error.hint = f"{error.hint}; several jobs are several [[jobs]]"
    return error


class _Where:
    """Where in the tree the scan is."""

    def __init__(self) -> None:
        self.table: Path = ()
        self.lengths: dict[Path, int] = {}
        """How often each [[table]] came."""

    def header(self, keys: list[str], *, is_item: bool) -> Path:
        """The path of a header, with the places of the lists it goes through."""
        path: Path = ()
        for n, key in enumerate(keys):
            path = (*path, key)
            if is_item and n == len(keys) - 1:
                self.lengths[path] = self.lengths.get(path, 0) + 1
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)
        return path


def _scan(text: str) -> Iterator[tuple[Path, int, bool]]:
    """Each key and list item with its offset, a table with those of all its headers; and whether
    it is what a line is about: a header, or the whole key before a `=`.

    The text is known to be right TOML.
    """
    where = _Where()
    tokens = _TOKENS.finditer(text)
    keys: list[str] = []
    start = -1
    for token in tokens:
        mark = token["mark"]
        if token["text"]:
            if not keys:
                start = token.start()
            keys.append(_key(token["text"]))
        elif mark in ("]", "]]") and keys:
            where.table = where.header(keys, is_item=mark == "]]")
            for end in range(1, len(where.table) + 1):
                yield where.table[:end], start, end == len(where.table)
            keys = []
        elif mark == "=":
            path: Path = where.table
            for n, key in enumerate(keys, 1):
                path = (*path, key)
                yield path, start, n == len(keys)
            keys = []
            yield from _scan_value(tokens, path)


def _scan_value(tokens: Iterator[re.Match[str]], path: Path) -> Iterator[tuple[Path, int, bool]]:
    """What is within the value of a key, up to the end of its last line."""
    where: list[str | int] = []
    fixed: list[int] = []
    """For each open bracket, how many parts of `where` came before it."""
    in_keys: list[bool] = []
    """For each open bracket, whether a key comes next; lists have none."""
    is_list: list[bool] = []
    new_item = False
    for token in tokens:
        marks = token["mark"] or ""
        if marks == "\n" or token["comment"]:
            if marks and not is_list:
                return
            continue
        if token["text"]:
            if is_list and not is_list[-1] and in_keys[-1]:
                where.append(_key(token["text"]))
                yield (*path, *where), token.start(), False
            elif new_item:
                yield (*path, *where), token.start(), False
                new_item = False
            continue
        for n, mark in enumerate(marks):
            if mark in "[{":
                if new_item:
                    yield (*path, *where), token.start() + n, False
                fixed.append(len(where))
                is_list.append(mark == "[")
                in_keys.append(mark == "{")
                new_item = mark == "["
                if new_item:
                    where.append(0)
            elif mark in "]}":
                del where[fixed.pop() :]
                is_list.pop()
                in_keys.pop()
                new_item = False
            elif mark == "=":
                in_keys[-1] = False
            elif mark == "," and is_list[-1]:
                last = where[-1]
                where[-1] = last + 1 if isinstance(last, int) else 0
                new_item = True
            elif mark == ",":
                del where[fixed[-1] :]
                in_keys[-1] = True


def _key(text: str) -> str:
    if text[0] == '"' and "\\" in text:
        return next(iter(tomllib.loads(f"{text} = 0")))
    return text[1:-1] if text[0] in "\"'" else text
