"""JSON5, and JSON, which is read as JSON5.

pyjson5 parses; what it does not tell is found by regular expressions over the text:

- It keeps the last of two equal keys silently. So the colons outside texts and comments are
  counted; where there are more than keys in the tree, a scan finds the keys that repeat.
- It turns numbers into floats, and gives up on those too large for one (`1e400`, or an integer of
  thousands of digits). Where that would change a value, the text is read once more with such
  numbers in quotes, behind a mark that no text in UTF-8 can contain: half of a surrogate pair.
- It does not tell positions, but for those of syntax errors.

One thing is taken that JSON5 does not have: where a line break stands between two items, the comma
may be left out. torc's own documents are written like that.
"""

import re
from collections.abc import Set

import msgspec
import pyjson5

from torcd.spec.data import WrittenNumber
from torcd.spec.formats import (
    HALF_A_PAIR,
    TOO_DEEP,
    SpecSyntaxError,
    duplicate_key,
    position_at,
    positions_at,
)
from torcd.spec.problems import Path, Position, path_text
from torcd.spec.schema import ANY_JSON, ANY_JSON_OF_USER_DATA, WorkflowSpec

_MAX_DEPTH = 128
"""Deeper than any spec with the deepest data; pyjson5 takes C stack for each level."""

_MARK = "\ud800"

# What has no end is taken to the end of the text, and nothing gives back what it took: so the time
# is linear whatever the text is.
_TEXT = r""""[^"\\]*+(?:\\.[^"\\]*+)*+"?+|'[^'\\]*+(?:\\.[^'\\]*+)*+'?+"""
_COMMENT = r"//[^\n\r\u2028\u2029]*+|/\*(?:.*?\*/|.*+)"
_WORD = r"[^][{}:,\s\ufeff\"'/]+"  # a byte order mark is white space, to JSON5
_TEXTS_AND_COMMENTS = re.compile(f"{_TEXT}|{_COMMENT}", re.DOTALL)
_WORDS = re.compile(f"{_TEXT}|{_COMMENT}|(?P<word>{_WORD})", re.DOTALL)
_TOKENS = re.compile(f"{_COMMENT}|(?P<text>{_TEXT}|{_WORD})|(?P<mark>[][{{}}:,])", re.DOTALL)
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>(?:0|[1-9][0-9_]*)?)(?P<fraction>(?:\.[0-9_]*)?)"
    r"(?P<exponent>(?:[eE][+-]?[0-9_]+)?)\Z"
)
_LONG_DIGITS = 300
"""Integers of more digits may be too large for pyjson5, which goes by way of a float."""


def load(text: str) -> object:
    try:
        return _load(text)
    except SpecSyntaxError as error:
        if "comma" not in error.message and error.message != _NO_NUMBER:
            raise
        completed = _with_commas(text)
        if completed == text:
            raise
    return _load(completed)


def _load(text: str) -> object:
    try:
        tree = _decode(text)
    except pyjson5.Json5DecoderException as problem:
        if "NumericLiteral" not in str(problem.args[0]):  # the others are what was read till then
            raise _syntax_error(problem, text) from None
        try:
            tree = _read_marked(text)
        except pyjson5.Json5DecoderException:
            raise _syntax_error(problem, text) from None
    else:
        if isinstance(tree, dict) and _has_inexact(tree):
            tree = _read_marked(text)
    if _TEXTS_AND_COMMENTS.sub("", text).count(":") != _count_keys(tree):
        _, (duplicate, offset) = _scan(text, frozenset())
        raise duplicate_key(path_text(duplicate), position_at(text, offset))
    return tree


def locate(text: str, paths: Set[Path]) -> dict[Path, Position]:
    completed = _with_commas(text)
    offsets, _ = _scan(completed, paths)
    return positions_at(completed, offsets)


def _decode(text: str) -> object:
    return pyjson5.decode(text, _MAX_DEPTH)


def _with_commas(text: str) -> str:
    """The text with the commas that line breaks stand for. Right JSON5 stays as it is.

    A comma goes directly behind the item before it, so that nothing else changes its place.
    """
    pieces: list[str] = []
    done = 0
    item_end: int | None = None
    for token in _TOKENS.finditer(text):
        mark = token["mark"]
        if not mark and not token["text"]:
            continue  # a comment
        starts_item = not mark or mark in "[{"
        if starts_item and item_end is not None and "\n" in text[item_end : token.start()]:
            pieces.append(text[done:item_end])
            done = item_end
        item_end = token.end() if not mark or mark in "]}" else None
    return ",".join([*pieces, text[done:]])


def dump(spec: WorkflowSpec) -> str:
    return msgspec.json.format(msgspec.json.encode(spec), indent=2).decode() + "\n"


# Numbers


def _has_inexact(tree: dict[str, object]) -> bool:
    """Whether there are numbers whose text Python does not keep, floats and -0, where any JSON may
    stand."""
    user_data = tree.get("user_data")
    items = user_data if isinstance(user_data, list) else []
    stack = [tree.get(field) for field in ANY_JSON]
    for item in items:
        if isinstance(item, dict):
            stack += [item.get(field) for field in ANY_JSON_OF_USER_DATA]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, float) or (value == 0 and isinstance(value, int)):
            return True
    return False


def _read_marked(text: str) -> object:
    return _unmarked(_decode(_WORDS.sub(_marked, text)))


def _marked(match: re.Match[str]) -> str:
    word = match["word"]
    number = _NUMBER.match(word) if word else None
    if not number or not (number["whole"] or len(number["fraction"]) > 1):
        return match[0]
    whole = number["whole"] or "0"
    if not (number["fraction"] or number["exponent"] or len(whole) > _LONG_DIGITS or whole == "0"):
        return match[0]
    fraction = number["fraction"] + "0" if number["fraction"] == "." else number["fraction"]
    sign = "-" if number["sign"] == "-" else ""
    return f'"{_MARK}{sign}{whole}{fraction}{number["exponent"]}"'.replace("_", "")


def _unmarked(value: object) -> object:
    if isinstance(value, dict):
        return {key: _unmarked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    if isinstance(value, str) and value.startswith(_MARK):
        number = value[len(_MARK) :]
        return 0 if number == "0" else WrittenNumber(number)
    return value


# Keys and places


def _count_keys(tree: object) -> int:
    count = 0
    stack = [tree]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            count += len(value)
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return count


def _scan(text: str, paths: Set[Path]) -> tuple[dict[Path, int], tuple[Path, int]]:
    """Offsets of the paths' keys or list items, and the first key that repeats in its mapping.

    The text is known to be right JSON5, so the marks alone tell where one is.
    """
    offsets: dict[Path, int] = {}
    duplicate: tuple[Path, int] | None = None
    where: list[str | int] = []
    keys_seen: list[set[str] | None] = []
    """For each open bracket the keys of its mapping so far; None for a list."""
    key_next = False
    item_next = True

    def note(offset: int) -> None:
        if tuple(where) in paths:
            offsets[tuple(where)] = offset

    for token in _TOKENS.finditer(text):
        mark = token["mark"]
        if mark in ("}", "]"):
            keys_seen.pop()
            where.pop()
            key_next = item_next = False
        elif mark == ",":
            key_next = keys_seen[-1] is not None
            item_next = not key_next
            if not key_next:
                last = where[-1]
                where[-1] = last + 1 if isinstance(last, int) else 0
        elif mark == ":":
            key_next = item_next = False
        elif mark or token["text"]:
            if key_next:
                key = _key(token["text"])
                where[-1] = key
                seen = keys_seen[-1]
                if seen is not None and key in seen and duplicate is None:
                    duplicate = (tuple(where), token.start())
                if seen is not None:
                    seen.add(key)
                note(token.start())
                key_next = False
                continue
            if item_next:
                note(token.start())
            if mark == "{":
                keys_seen.append(set())
                where.append("")
                key_next, item_next = True, False
            elif mark == "[":
                keys_seen.append(None)
                where.append(0)
                key_next, item_next = False, True
    return offsets, duplicate or ((), 0)


def _key(text: str) -> str:
    if "\\" in text:
        quoted_text = text if text[0] in "\"'" else f'"{text}"'
        return str(pyjson5.decode(quoted_text))
    return text[1:-1] if text[0] in "\"'" else text


# Syntax errors

_NO_NUMBER = "this is no number"
_PLACE = re.compile(r"^(?P<what>.*?) (?:starting )?near (?P<place>\d+)")
_CODE_POINT = re.compile(r"U\+([0-9a-fA-F]+)")
_THINGS = {
    "JSON5Value": "a value",
    "NumericLiteral": "number",
    "comma": "a comma",
    "IdentifierStart": "a key",
}


def _syntax_error(problem: pyjson5.Json5DecoderException, text: str) -> SpecSyntaxError:
    """pyjson5's words made plain. Its places are characters, counted from 1."""
    words = str(problem.args[0])
    match = _PLACE.match(words)
    position = position_at(text, min(int(match["place"]) - 1, len(text))) if match else None
    hint = None
    if "No JSON data" in words:
        message = "there is nothing in it"
        position = None
    elif "nesting level" in words:
        message = TOO_DEEP
    elif "Expected U+005c" in words or "surrogate" in words:
        message = HALF_A_PAIR
    elif "Extra data" in words:
        message = "there is more text after the end"
        hint = "the whole spec stands within one pair of braces"
    elif "Unclosed b'string'" in words:
        message = "a text has no end on its line"
    elif "Unclosed b'NumericLiteral'" in words:
        message = _NO_NUMBER
    elif "Unclosed" in words:
        thing = words.split("'")[1] if "'" in words else "bracket"
        message = f"the {thing} that starts here has no end"
    else:
        message = f"not JSON5: {_plain(words.partition(' near ')[0])}"
        found = words.partition(", found ")[2]
        if found:
            message += f", found {_plain(found)}"
    return SpecSyntaxError(message, position, hint)


def _plain(words: str) -> str:
    for name, thing in _THINGS.items():
        words = words.replace(f"b'{name}'", thing)
    words = words.replace("Stray a comma", "There is no item before the comma")
    words = re.sub(r"b'(.*?)'", r"\1", words)
    words = _CODE_POINT.sub(lambda m: repr(chr(int(m[1], 16))), words)
    return words[:1].lower() + words[1:]
