"""YAML 1.2: libyaml (by PyYAML) cuts the text into events, and the tree is made of these here.

What a plain word means is in `yaml_words`. `<<` merges mappings, as everybody's YAML does. What
PyYAML would let through is refused where it stands: keys that are there twice, deep nesting, and
aliases that stand for more than a machine can hold (a few lines of aliases to aliases do).
"""

import re
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any

import msgspec
from yaml.cyaml import CParser
from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from torcd.spec import data
from torcd.spec.data import WrittenNumber
from torcd.spec.formats import (
    NO_END,
    TOO_DEEP,
    SpecSyntaxError,
    duplicate_key,
    hint_for,
    position_at,
    positions_at,
)
from torcd.spec.formats.yaml_text import dump
from torcd.spec.formats.yaml_words import MERGE, plain
from torcd.spec.problems import Path, Position, path_text, quoted

__all__ = ["dump", "load", "locate"]

_MAX_BY_ALIAS = 16 << 20
"""Characters that all aliases may stand for: as many as the largest value has bytes."""

_CHARACTERS_OF_A_NODE = 16
"""What each node counts for besides its text, about as it is in JSON."""

_MAX_DEPTH = 128
"""Deeper than any spec with the deepest data; each level takes two of Python's stack."""

_NOT_IN_YAML = re.compile("[\0-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_RIGHT_ASCII = bytes([*b"\t\n", *range(32, 127)])

_CORE = "tag:yaml.org,2002:"
_TAGGED: Mapping[str, tuple[type, ...]] = {
    f"{_CORE}null": (type(None),),
    f"{_CORE}bool": (bool,),
    f"{_CORE}int": (int, WrittenNumber),
    f"{_CORE}float": (float, int),
}
"""What a scalar with a tag has to be."""


class _Place(msgspec.Struct):
    """Where the keys of a mapping, or the items of a list, begin, and what is in them."""

    starts: dict[str | int, int] = {}
    inside: "dict[str | int, _Place]" = {}


_NO_PLACE = _Place()


class _Node(msgspec.Struct):
    value: Any
    place: _Place
    size: int = 0
    """In characters, its aliases written out."""


def load(text: str) -> object:
    with _told_plainly(text):
        return _Builder(text).document().value


def locate(text: str, paths: Set[Path]) -> dict[Path, Position]:
    root = _Builder(text, with_places=True).document().place
    offsets: dict[Path, int] = {}
    for path in paths:
        place: _Place | None = root
        for part in path[:-1]:
            place = place and place.inside.get(part)
        start = place.starts.get(path[-1]) if place and path else None
        if start is not None:
            offsets[path] = start
    if () in paths:
        offsets[()] = 0
    return positions_at(text, offsets)


@contextmanager
def _told_plainly(text: str) -> Iterator[None]:
    # The search is slow; of almost all texts it is known sooner that they are right.
    is_right = text.isascii() and not text.encode().translate(None, _RIGHT_ASCII)
    bad = None if is_right else _NOT_IN_YAML.search(text)
    if bad:
        message = f"the character {quoted(bad[0])} may not be in YAML"
        hint = "write it escaped, within double quotes"
        raise SpecSyntaxError(message, position_at(text, bad.start()), hint)
    try:
        yield
    except MarkedYAMLError as problem:
        raise _syntax_error(problem, text) from None


class _Builder:
    """Makes the tree of one text, and finds the places in it if they are wanted."""

    def __init__(self, text: str, *, with_places: bool = False) -> None:
        self._text = text
        self._next = CParser(text).get_event
        self._with_places = with_places
        self._anchors: dict[str, _Node | None] = {}
        """None: its end has not come yet."""
        self._by_alias = 0
        self._where: list[str | int] = []

    def document(self) -> _Node:
        self._next()
        if not isinstance(self._next(), DocumentStartEvent):
            raise SpecSyntaxError("there is nothing in it")
        node = self._node(self._next())
        self._next()
        following = self._next()
        if isinstance(following, DocumentStartEvent):
            raise self._refusal("there is more than one document", following, "one file, one spec")
        if node.value is None:
            raise SpecSyntaxError("there is nothing in it")
        return node

    def _node(self, event: Any) -> _Node:
        if isinstance(event, AliasEvent):
            return self._of_alias(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, ScalarEvent):
            size = len(event.value) + _CHARACTERS_OF_A_NODE
            node = _Node(self._scalar(event), _NO_PLACE, size)
        else:
            if len(self._where) == _MAX_DEPTH:
                raise self._refusal(TOO_DEEP, event)
            is_mapping = isinstance(event, MappingStartEvent)
            if event.tag not in (None, "!", f"{_CORE}map" if is_mapping else f"{_CORE}seq"):
                raise self._wrong_tag(event)
            node = self._mapping() if is_mapping else self._list()
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _of_alias(self, event: Any) -> _Node:
        if event.anchor not in self._anchors:
            message = f"no anchor &{_shown(event.anchor)} comes before"
            raise self._refusal(message, event, f"if it is none, {_IN_QUOTES}")
        node = self._anchors[event.anchor]
        if node is None:
            message = "an alias stands within its own anchor"
            raise self._refusal(message, event, "write out what it stands for")
        self._by_alias += node.size
        if self._by_alias > _MAX_BY_ALIAS:
            raise self._refusal("the aliases stand for too much", event)
        return node

    def _list(self) -> _Node:
        values: list[object] = []
        place = _Place() if self._with_places else _NO_PLACE
        size = _CHARACTERS_OF_A_NODE
        self._where.append(0)
        while not isinstance(event := self._next(), SequenceEndEvent):
            n = self._where[-1] = len(values)
            node = self._node(event)
            values.append(node.value)
            size += node.size
            if self._with_places:
                place.starts[n], place.inside[n] = event.start_mark.index, node.place
        self._where.pop()
        return _Node(values, place, size)

    def _mapping(self) -> _Node:
        values: dict[object, object] = {}
        place = _Place() if self._with_places else _NO_PLACE
        size = _CHARACTERS_OF_A_NODE
        merged: list[dict[object, object]] | None = None
        self._where.append("")
        while not isinstance(event := self._next(), MappingEndEvent):
            key_node = self._node(event)
            key = key_node.value
            is_merge = key == MERGE and isinstance(event, ScalarEvent) and event.implicit[0]
            if isinstance(key, dict | list):
                raise self._refusal("a mapping or a list cannot be a key", event, "write a text")
            name = self._where[-1] = key if isinstance(key, str) else data.written(key)
            if key in values or (is_merge and merged is not None):
                position = position_at(self._text, event.start_mark.index)
                raise duplicate_key(path_text(tuple(self._where)), position)
            value_event = self._next()
            node = self._node(value_event)
            size += key_node.size + node.size
            if is_merge:
                merged = self._mappings(node.value, value_event)
                continue
            values[key] = node.value
            if self._with_places:
                place.starts[name], place.inside[name] = event.start_mark.index, node.place
        self._where.pop()
        for mapping in merged or ():
            values = {**mapping, **values}
        return _Node(values, place, size)

    def _mappings(self, value: object, event: Any) -> list[dict[object, object]]:
        """What a `<<` merges; of equal keys the first counts."""
        found = value if isinstance(value, list) else [value]
        mappings = [item for item in found if isinstance(item, dict)]
        if len(mappings) < len(found):
            raise self._refusal("`<<` merges mappings, and this is none", event)
        return mappings

    def _scalar(self, event: Any) -> object:
        text: str = event.value
        tag = event.tag
        if tag is None:
            return plain(text) if event.implicit[0] else text
        if tag in ("!", f"{_CORE}str"):
            return text
        value = plain(text)
        wanted = _TAGGED.get(tag)
        if wanted is None:
            raise self._wrong_tag(event)
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise self._refusal(f"{quoted(text)} does not go with its tag {_tag(event)}", event)
        return value

    def _wrong_tag(self, event: Any) -> SpecSyntaxError:
        if event.tag in (*_TAGGED, f"{_CORE}str", f"{_CORE}map", f"{_CORE}seq"):
            return self._refusal(f"this does not go with its tag {_tag(event)}", event)
        message = f"the tag {_tag(event)} means nothing here"
        return self._refusal(message, event, "leave it out")

    def _refusal(self, message: str, event: Any, hint: str | None = None) -> SpecSyntaxError:
        return SpecSyntaxError(message, position_at(self._text, event.start_mark.index), hint)


def _tag(event: Any) -> str:
    return _shown(event.tag.replace(_CORE, "!!"))


def _shown(name: str) -> str:
    shown = quoted(name)[1:-1]
    return shown.replace('\\"', '"')


def _syntax_error(problem: MarkedYAMLError, text: str) -> SpecSyntaxError:
    mark = problem.problem_mark or problem.context_mark
    position = position_at(text, mark.index) if mark else None
    said = problem.problem or problem.context or ""
    if "nesting depth" in said:
        return SpecSyntaxError(TOO_DEEP, position)
    if said == "found unexpected end of stream" and problem.context_mark:
        place = position_at(text, problem.context_mark.index)
        return SpecSyntaxError(f"not YAML: {NO_END}", place, "close the quotes")
    hint = hint_for(f"{said} {problem.context}", _HINTS)
    if mark and said == _NO_TOKEN:
        character = text[mark.index : mark.index + 1]
        said = f"{quoted(character)} cannot begin anything"
        hint = "indent with spaces" if character == "\t" else _IN_QUOTES
    elif problem.context and problem.problem:
        said = f"{problem.problem} {problem.context}"
    return SpecSyntaxError(f"not YAML: {said}", position, hint)


_NO_TOKEN = "found character that cannot start any token"
_IN_QUOTES = "put the text in quotes"
_COLUMN = "fields that belong together begin in one column"
_HINTS = {
    "mapping values are not allowed": f"a text with `: ` in it stands in quotes; {_COLUMN}",
    "expected key while parsing a block": f"{_COLUMN}; quotes go around the whole of a text",
    "expected '-'": _COLUMN,
    "<document start>": "quotes go around the whole of a text",
    "tab character": "indent with spaces",
    "Unicode character escape": "write the character itself",
    "alphabetic or numeric": _IN_QUOTES,
    "comment or line break": _IN_QUOTES,
    "chomping or indentation": _IN_QUOTES,
    "unknown escape": "use single quotes, or write two backslashes",
    "could not find expected ':'": "write NAME: VALUE",
    "expected ',' or ']'": "a `]` or a comma is missing, or the text needs quotes",
    "expected ',' or '}'": "a `}` or a comma is missing, or the text needs quotes",
}
"""What to do, by a part of libyaml's words; the first that is found counts."""
