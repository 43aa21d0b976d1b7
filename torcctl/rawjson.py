"""JSON as text: values are checked, found and passed on as they were written, not decoded.

For the quick path, so this takes the C core of Python's json module
directly: the module around it imports re, which takes longer than all the rest. Where something is
wrong, time no longer matters, and the module is asked for its better words.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_scanner, scanstring

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and collections cost time, too
    from collections.abc import Callable, Mapping, Sequence

_SPACE = " \t\r\n"


def _refuse_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON number")


class _Scanning:
    """How to scan: numbers stay text, for they may be longer than Python converts, and nobody
    looks at them; NaN and the infinities are refused."""

    strict = True
    object_hook = None
    object_pairs_hook: Callable[[list[tuple[str, object]]], object] | None = None
    parse_int: type = str
    parse_float = str
    parse_constant = staticmethod(_refuse_constant)


_scan = make_scanner(_Scanning)  # type: ignore[arg-type]  # any object with these attributes will do


def document(members: Mapping[str, str | bool | float]) -> str:
    """The text of an object of plain values."""
    return "{" + ",".join(f"{_quoted(k)}:{_plain(v)}" for k, v in members.items()) + "}"


def _plain(value: str | bool | float) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return ("true" if value else "false") if isinstance(value, bool) else repr(value)


_quoted = encode_basestring_ascii


MALFORMED = (StopIteration, ValueError, IndexError, SystemError)
"""What is raised for text that is no JSON. SystemError: where json.decoder is not imported, the C
core of some versions finds no JSONDecodeError to raise."""


def problem(text: str) -> str | None:
    """What keeps a text, without space around it, from being one JSON value; None: nothing."""
    try:
        value, end = _scan(text, 0)
    except RecursionError:
        return "it is nested too deeply"
    except MALFORMED:
        return _described(text)
    if end != len(text):
        return f"more text after the value, at character {end + 1}"
    if ("\\ud" in text or "\\uD" in text) and _has_half_a_pair(value):
        return "a string holds half of a surrogate pair, which is no character"
    return None


def _has_half_a_pair(value: object) -> bool:
    import json

    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _described(text: str) -> str:
    import json

    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except json.JSONDecodeError as e:
        return f"{e.msg}, at line {e.lineno}, column {e.colno}"
    except ValueError as e:
        return str(e)
    return "it cannot be read"


class _Plain(_Scanning):
    """Of whole numbers, what Python has for them."""

    parse_int = int


_scan_plain = make_scanner(_Plain)  # type: ignore[arg-type]


def decode(text: str) -> object:
    """What one JSON value is, with fractions as text. Raises one of MALFORMED."""
    return _scan_plain(text, _after_space(text, 0))[0]


class _Unique(_Scanning):
    """Without a key that is twice in one object."""

    @staticmethod
    def object_pairs_hook(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key is there twice")
        return found


_scan_unique = make_scanner(_Unique)  # type: ignore[arg-type]


def fields(text: str) -> dict[str, object] | None:
    """What a text of one object has in it, with numbers as text; None: it is none, or there is a
    key in it that is twice in one object."""
    try:
        found, end = _scan_unique(text, _after_space(text, 0))
    except (RecursionError, *MALFORMED):
        return None
    is_whole = _after_space(text, end) == len(text)
    return found if is_whole and isinstance(found, dict) else None


def compact(text: str) -> str:
    """A right JSON text without space between its parts."""
    if "\\" in text:
        import re

        return re.sub(r'("(?:[^"\\]|\\.)*+")|[ \t\r\n]+', r"\1", text)
    parts = text.split('"')
    parts[::2] = ["".join(part.split()) for part in parts[::2]]
    return '"'.join(parts)


def string(text: str) -> str:
    """What the text of a JSON string stands for."""
    return scanstring(text, 1, True)[0]


def member(text: str, path: Sequence[str]) -> str | None:
    """The text of what `path` leads to in a JSON object, exactly as it is there. Raises one of
    MALFORMED."""
    at = _after_space(text, 0)
    for depth, wanted in enumerate(path, start=1):
        if text[at : at + 1] != "{":
            return None
        at = _after_space(text, at + 1)
        while text[at] != "}":
            key, at = scanstring(text, at + 1, True)
            at = _after_space(text, _after_space(text, at) + 1)
            if key == wanted and depth < len(path):
                break
            _, end = _scan(text, at)
            if key == wanted:
                return text[at:end]
            at = _after_space(text, end)
            if text[at] == ",":
                at = _after_space(text, at + 1)
        else:
            return None
    return None


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
