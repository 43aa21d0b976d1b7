"""YAML written, in the form that `yaml` reads.

libyaml (by PyYAML) lays the text out; what may stand without quotes is said here, by YAML 1.2.
"""

import re
from collections.abc import Iterator

import msgspec
import yaml
from yaml import events as e

from torcd.spec import data
from torcd.spec.data import WrittenNumber
from torcd.spec.formats.yaml_words import is_text
from torcd.spec.schema import WorkflowSpec

_LINE_WIDTH = 1 << 20
"""Texts are not folded: a command stays on its line."""

_PLAIN_TEXT = re.compile(r"[\x20-\x7e\xa1-\xac\xae-\xff]+")
_LINE = r"[\x21-\x7e\xa1-\xac\xae-\xff][\x20-\x7e\xa1-\xac\xae-\xff]*"
_BLOCK = re.compile(rf"{_LINE}(?:\n+{_LINE})+\n?")
"""Several lines that begin with something to see, and end with one line break or none."""


def dump(spec: WorkflowSpec) -> str:
    tree = data.decode(msgspec.json.encode(spec))
    events = [
        e.StreamStartEvent(),
        e.DocumentStartEvent(explicit=False),
        *_events(tree),
        e.DocumentEndEvent(explicit=False),
        e.StreamEndEvent(),
    ]
    text: str = yaml.emit(events, Dumper=yaml.CSafeDumper, width=_LINE_WIDTH, allow_unicode=True)
    return text


def _events(value: object) -> Iterator[e.Event]:
    match value:
        case dict():
            yield e.MappingStartEvent(None, None, implicit=True, flow_style=not value)
            for key, item in value.items():
                yield _text(key)
                yield from _events(item)
            yield e.MappingEndEvent()
        case list():
            yield e.SequenceStartEvent(None, None, implicit=True, flow_style=not value)
            for item in value:
                yield from _events(item)
            yield e.SequenceEndEvent()
        case str():
            yield _text(value)
        case WrittenNumber():
            yield _scalar(value.text)
        case None | bool():
            yield _scalar({None: "null", True: "true", False: "false"}[value])
        case _:
            yield _scalar(repr(value))


def _text(text: str) -> e.ScalarEvent:
    if _BLOCK.fullmatch(text):
        return _scalar(text, "|")
    if not _PLAIN_TEXT.fullmatch(text):
        return _scalar(text, '"')
    return _scalar(text, None if is_text(text) else "'")


def _scalar(text: str, style: str | None = None) -> e.ScalarEvent:
    return e.ScalarEvent(None, None, (True, True), text, style=style)
