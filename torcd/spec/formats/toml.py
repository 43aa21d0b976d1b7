"""TOML. tomllib parses, with positions of syntax errors only; a scan finds the others."""

import re
import tomllib
from collections.abc import Iterator, Sequence, Set

import msgspec
import tomli_w

from torcd.spec import data
from torcd.spec.data import WrittenNumber
from torcd.spec.formats import (
    TOO_DEEP,
    TOO_MANY_DIGITS,
    SpecSyntaxError,
    Unwritable,
    hint_for,
    positions_at,
)
from torcd.spec.problems import Path, Position
from torcd.spec.schema import ANY_JSON, ANY_JSON_OF_USER_DATA, WorkflowSpec

_MAX_DIGITS = 4_200
"""Of an integer: tomllib converts them, which Python does up to 4 300 digits."""

OTHER_FORMAT = "write the spec in JSON5, YAML or KDL"

_PLACE = re.compile(r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|.*)\)$")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z")
_TOKENS = re.compile(
    r'(?P<text>"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''
    r"|[^][{}=,.#\s\"']+)|(?P<comment>\#[^\n]*)|(?P<mark>\[\[|\]\]|[][{}=,.\n])",
    re.DOTALL,
)

_HINTS = {
    "Invalid value": 'a text stands in quotes: "…"',
    "invalid character '\\n'": "close the quotes on the same line, or begin and end with three",
    "Expected '='": "write NAME = VALUE",
    "nclosed inline table": "it ends on its line, with a `}`; of several lines, write [[jobs]]",
    "initial character for a key": "after the last field of an inline table there is no comma",
    "nclosed array": "close it with a `]`",
    "at the end of an array declaration": "write [[jobs]]",
    "twice": "leave one of them out; several jobs are several [[jobs]]",
    "annot overwrite": "leave one of them out",
    "Unescaped '\\'": "use single quotes, or write two backslashes",
    "newline or end of document": "each field has a line of its own",
}
"""What to do, by a part of the parser's words; the first that is found counts."""


def load(text: str) -> object:
    try:
        return tomllib.loads(text, parse_float=_number)
    except tomllib.TOMLDecodeError as problem:
        raise _syntax_error(str(problem), text) from None
    except RecursionError:
        raise SpecSyntaxError(TOO_DEEP) from None
    except ValueError as problem:
        if "digits" in str(problem):
            hint = "write it in quotes, or the spec in JSON5"
            raise SpecSyntaxError(TOO_MANY_DIGITS, hint=hint) from None
        raise SpecSyntaxError(f"not TOML: {problem}") from None


def locate(text: str, paths: Set[Path]) -> dict[Path, Position]:
    offsets: dict[Path, int] = {}
    for path, offset in _scan(text):
        if path in paths:
            offsets.setdefault(path, offset)
    return positions_at(text, offsets)


def dump(spec: WorkflowSpec) -> str:
    tree = data.decode(msgspec.json.encode(spec))
    assert isinstance(tree, dict)
    _refuse_unwritable(tree, ())
    _put_in_line(tree, ANY_JSON)
    for item in tree.get("user_data", ()):
        _put_in_line(item, ANY_JSON_OF_USER_DATA)
    return tomli_w.dumps(tree)


def _put_in_line(tree: dict[str, object], fields: Sequence[str]) -> None:
    for field in fields:
        if field in tree and not _keeps_its_order(tree[field]):
            tree[field] = _Inline(_inline(tree[field]))


def _keeps_its_order(value: object) -> bool:
    """Whether it does where tomli_w makes tables, which come after all other keys: of mappings
    always, and of lists of mappings as it likes."""
    if isinstance(value, list):
        return all(map(_keeps_its_order, value))
    if not isinstance(value, dict):
        return True
    table_before = False
    for item in value.values():
        if table_before and not isinstance(item, dict):
            return False
        table_before = table_before or isinstance(item, dict) or _is_list_of_mappings(item)
    return all(map(_keeps_its_order, value.values()))


def _is_list_of_mappings(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


class _Inline(float):
    """A value that tomli_w puts where a number would stand: its text, which `str` tells."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "_Inline":
        value = super().__new__(cls)
        value.text = text
        return value

    def __str__(self) -> str:
        return self.text


def _inline(value: object) -> str:
    if isinstance(value, dict):
        pairs = [f"{_inline_key(key)} = {_inline(item)}" for key, item in value.items()]
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return tomli_w.dumps({"k": value}).removeprefix("k = ").rstrip("\n")


def _inline_key(key: str) -> str:
    return tomli_w.dumps({key: 0}).removesuffix(" = 0\n")


def _refuse_unwritable(value: object, path: Path) -> None:
    match value:
        case dict():
            for key, item in value.items():
                _refuse_unwritable(item, (*path, key))
        case list():
            for n, item in enumerate(value):
                _refuse_unwritable(item, (*path, n))
        case None:
            raise Unwritable(path, "TOML has no null", OTHER_FORMAT)
        case WrittenNumber() if value.text == "-0":
            raise Unwritable(path, "TOML knows no -0 but the float -0.0", OTHER_FORMAT)
        case WrittenNumber() if value.text.isdigit() or value.text[1:].isdigit():
            digits = len(value.text.removeprefix("-"))
            if digits > _MAX_DIGITS:
                message = f"TOML is read with integers of at most {_MAX_DIGITS} digits"
                raise Unwritable(path, message, OTHER_FORMAT)
        case _:
            pass


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
    what = match["what"]
    message = f"not TOML: {what[:1].lower()}{what[1:]}"
    return SpecSyntaxError(message, position, hint_for(what, _HINTS))


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


def _scan(text: str) -> Iterator[tuple[Path, int]]:
    """Each key and list item with its offset, a table with those of all its headers.

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
                yield where.table[:end], start
            keys = []
        elif mark == "=":
            path: Path = where.table
            for key in keys:
                path = (*path, key)
                yield path, start
            keys = []
            yield from _scan_value(tokens, path)


def _scan_value(tokens: Iterator[re.Match[str]], path: Path) -> Iterator[tuple[Path, int]]:
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
                yield (*path, *where), token.start()
            elif new_item:
                yield (*path, *where), token.start()
                new_item = False
            continue
        for n, mark in enumerate(marks):
            if mark in "[{":
                if new_item:
                    yield (*path, *where), token.start() + n
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
