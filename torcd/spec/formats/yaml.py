"""YAML 1.2, by ruamel.yaml in pure Python, which refuses duplicate keys.

Aliases are counted out before anything is built from them: a few lines of aliases to aliases stand
for more items than a machine can hold, and one inside its own anchor for endlessly many. Dates
are texts, as in YAML 1.2's core schema.
"""

import re
from collections.abc import Set
from io import StringIO
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.scanner import Scanner

from torcd.spec import data
from torcd.spec.data import WrittenNumber
from torcd.spec.formats import (
    TOO_DEEP,
    TOO_MANY_DIGITS,
    SpecSyntaxError,
    duplicate_key,
    hint_for,
    position_at,
)
from torcd.spec.problems import Path, Position, quoted
from torcd.spec.schema import WorkflowSpec

_MAX_ITEMS = 1_000_000
"""How many items aliases may stand for in all."""

_MAX_DEPTH = 128
"""Deeper than any spec with the deepest data, and what ruamel can recurse into."""

_LONG_DIGITS = 300
"""Integers of more digits are not converted: that takes quadratic time."""

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z")

_IN_QUOTES = "put the text in quotes"
_HINTS = {
    "mapping values are not allowed": "a text with `: ` in it stands in quotes; fields that belong "
    "together begin in one column",
    "block mapping start": "fields that belong together begin in one column",
    "found '<scalar>'": "quotes go around the whole of a text",
    "character '\\t'": "indent with spaces",
    "cannot start any token": _IN_QUOTES,
    "undefined alias": f"if it is none, {_IN_QUOTES}",
    "but found '\\n'": _IN_QUOTES,
    "alphabetic or numeric": _IN_QUOTES,
    "chomping or indentation": _IN_QUOTES,
    "unknown escape": "use single quotes, or write two backslashes",
    "could not find expected ':'": "write NAME: VALUE",
    "expected ',' or ']'": "a `]` or a comma is missing, or the text needs quotes",
    "expected ',' or '}'": "a `}` or a comma is missing, or the text needs quotes",
}
"""What to do, by a part of ruamel's words; the first that is found counts."""
_LINE_WIDTH = 1 << 20
"""Texts are not folded: a command stays on its line."""

_PLAIN_TEXT = re.compile(r"[\x20-\x7e\xa1-\xac\xae-\xff]+")
_LINE = r"[\x21-\x7e\xa1-\xac\xae-\xff][\x20-\x7e\xa1-\xac\xae-\xff]*"
_BLOCK = re.compile(rf"{_LINE}(?:\n+{_LINE})+\n?")
"""Several lines that begin with something to see, and end with one line break or none."""


class _Scanner(Scanner):
    """Gives up on deep nesting at once: what ruamel does with it takes quadratic time."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: Any) -> None:  # noqa: N803
        if len(self.flow_context) > _MAX_DEPTH:
            raise SpecSyntaxError(TOO_DEEP, self._position())
        super().fetch_flow_collection_start(TokenClass, to_push)

    def add_indent(self, column: int) -> bool:
        if len(self.indents) > _MAX_DEPTH:
            raise SpecSyntaxError(TOO_DEEP, self._position())
        deeper: bool = super().add_indent(column)
        return deeper

    def _position(self) -> Position:
        mark = self.reader.get_mark()
        return Position(mark.line + 1, mark.column + 1)


class _Constructor(SafeConstructor):
    """Numbers keep their text, and dates are texts."""

    def construct_yaml_float(self, node: Any) -> float:
        text = node.value.replace("_", "").removeprefix("+")
        if _JSON_NUMBER.match(text):
            return WrittenNumber(text)
        value: float = super().construct_yaml_float(node)
        return value

    def construct_yaml_int(self, node: Any) -> Any:
        if len(node.value) > _LONG_DIGITS and _JSON_NUMBER.match(node.value):
            return WrittenNumber(node.value)
        if node.value == "-0":
            return WrittenNumber("-0")
        try:
            return super().construct_yaml_int(node)
        except ValueError:
            hint = "write it without underscores"
            raise SpecSyntaxError(TOO_MANY_DIGITS, _start(node), hint) from None


_Constructor.yaml_constructors = {
    f"tag:yaml.org,2002:{name}": construct
    for name, construct in {
        "null": _Constructor.construct_yaml_null,
        "bool": _Constructor.construct_yaml_bool,
        "int": _Constructor.construct_yaml_int,
        "float": _Constructor.construct_yaml_float,
        "str": _Constructor.construct_yaml_str,
        "timestamp": _Constructor.construct_yaml_str,
        "seq": _Constructor.construct_yaml_seq,
        "map": _Constructor.construct_yaml_map,
    }.items()
}
_Constructor.yaml_constructors[None] = _Constructor.construct_undefined
_Constructor.yaml_multi_constructors = {}


def load(text: str) -> object:
    try:
        root = _compose(text)
        if root is None:
            raise SpecSyntaxError("there is nothing in it")
        _refuse_bombs(root)
        yaml = _yaml()
        return yaml.constructor.construct_document(root)
    except YAMLError as problem:
        raise _syntax_error(problem, text) from None
    except RecursionError:
        raise SpecSyntaxError(TOO_DEEP) from None
    except (ValueError, OverflowError) as problem:
        raise SpecSyntaxError(f"not YAML: {problem}") from None


def locate(text: str, paths: Set[Path]) -> dict[Path, Position]:
    root = _compose(text)
    positions = {}
    for path in paths:
        position = _position(root, path)
        if position:
            positions[path] = position
    return positions


def dump(spec: WorkflowSpec) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = _LINE_WIDTH
    out = StringIO()
    yaml.dump(data.decode(msgspec.json.encode(spec)), out)
    return out.getvalue()


class _Representer(SafeRepresenter):
    """Numbers have the texts they had, no lists are shared, and no text is a guess."""

    def ignore_aliases(self, _: object) -> bool:
        return True

    def represent_number(self, number: WrittenNumber) -> ScalarNode:
        kind = "int" if number.text.removeprefix("-").isdigit() else "float"
        return self.represent_scalar(f"tag:yaml.org,2002:{kind}", number.text)

    def represent_text(self, text: str) -> ScalarNode:
        style = None if _PLAIN_TEXT.fullmatch(text) else "|" if _BLOCK.fullmatch(text) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Representer.add_representer(WrittenNumber, _Representer.represent_number)
_Representer.add_representer(str, _Representer.represent_text)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Scanner
    yaml.Constructor = _Constructor
    yaml.composer.warn_double_anchors = False  # YAML lets an anchor be used again
    return yaml


def _compose(text: str) -> Node | None:
    root: Node | None = _yaml().compose(text)
    return root


def _children(node: Node) -> list[Node]:
    if isinstance(node, SequenceNode):
        return list(node.value)
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return []


def _refuse_bombs(root: Node) -> None:
    """Count what each node stands for, its aliases written out, children first."""
    sizes: dict[int, int] = {}
    being_counted: set[int] = set()
    stack = [root]
    while stack:
        node = stack[-1]
        if id(node) in sizes:
            stack.pop()
            continue
        children = _children(node)
        if id(node) not in being_counted:
            being_counted.add(id(node))
            for child in children:
                if id(child) in being_counted and id(child) not in sizes:
                    message = "an alias stands within its own anchor"
                    raise SpecSyntaxError(message, _start(child), "write out what it stands for")
                if id(child) not in sizes:
                    stack.append(child)
            continue
        sizes[id(node)] = 1 + sum(sizes[id(child)] for child in children)
        stack.pop()
    if sizes[id(root)] > max(_MAX_ITEMS, 4 * len(sizes)):
        raise SpecSyntaxError("the aliases stand for too many items", _start(root))


def _start(node: Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _position(root: Node | None, path: Path) -> Position | None:
    """Of the key or list item at the end of a path; the value it has is looked into on the way."""
    node = root
    place = root
    for part in path:
        following = None
        if isinstance(node, MappingNode):
            for key, value in node.value:
                if isinstance(key, ScalarNode) and key.value == part:
                    place, following = key, value
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            place = following = node.value[part]
        if following is None:
            return None
        node = following
    return _start(place) if place is not None else None


def _syntax_error(problem: YAMLError, text: str) -> SpecSyntaxError:
    if isinstance(problem, ReaderError):
        message = f"the character {quoted(chr(problem.character))} may not be in YAML"
        hint = "write it escaped, within double quotes"
        return SpecSyntaxError(message, position_at(text, problem.position), hint)
    if not isinstance(problem, MarkedYAMLError):
        return SpecSyntaxError(f"not YAML: {problem}")
    mark = problem.problem_mark or problem.context_mark
    position = Position(mark.line + 1, mark.column + 1) if mark else None
    words = " ".join(str(problem.problem or problem.context).split())
    if isinstance(problem, DuplicateKeyError):
        key = re.search(r'duplicate key "(.*?)"', words)
        return duplicate_key(key[1] if key else "a key", position)
    if isinstance(problem, ConstructorError) and "constructor for the tag" in words:
        tag = words.rpartition(" ")[2].strip("'").replace("tag:yaml.org,2002:", "!!")
        return SpecSyntaxError(f"the tag {tag} means nothing here", position, "leave it out")
    if isinstance(problem, ComposerError) and "document" in str(problem):
        return SpecSyntaxError("there is more than one document", position, "one file, one spec")
    if "end of stream" in words and problem.context_mark:
        start = problem.context_mark
        message = "not YAML: the text that starts here has no end"
        return SpecSyntaxError(
            message, Position(start.line + 1, start.column + 1), "close the quotes"
        )
    return SpecSyntaxError(f"not YAML: {words}", position, hint_for(words, _HINTS))
