"""User data of a spec as JSON text, numbers as they were written.

`1.10` stays `1.10`, and an integer has as many digits as it was given: the formats mark numbers
that Python would change as `WrittenNumber`. Whether the text is a value that may be stored is for
`torcd.value` to say.
"""

import datetime
import json
import math
from typing import NoReturn

import msgspec

from torcd import value as stored_value
from torcd.errors import InvalidValue, TooLarge
from torcd.spec.problems import Finding, Path, quoted
from torcd.value import MAX_DEPTH

_TOO_LONG = 10**4_300
"""Python writes no integer of more than 4 300 decimal digits; it reads longer hexadecimal ones."""

_LONG_DIGITS = 300
"""Integers of more digits are kept as text: converting them takes quadratic time."""


class WrittenNumber(float):
    """A number whose JSON text says more than its value."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "WrittenNumber":
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


def decode(text: bytes | str) -> object:
    """The raw tree of a JSON text. Of equal keys in one mapping the last counts.

    Raises ValueError, or RecursionError."""
    return json.loads(
        text, parse_int=_integer, parse_float=WrittenNumber, parse_constant=_no_constant
    )


def _integer(text: str) -> int | WrittenNumber:
    return WrittenNumber(text) if len(text) > _LONG_DIGITS or text == "-0" else int(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def written(value: object) -> str:
    """A scalar as a spec may write it, not longer than a message can bear."""
    match value:
        case str():
            return quoted(value)
        case WrittenNumber():
            text = value.text
        case None | bool():
            text = {None: "null", True: "true", False: "false"}[value]
        case int() if not -_TOO_LONG < value < _TOO_LONG:
            text = hex(value)
        case float() if not math.isfinite(value):
            text = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case _:
            text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def encode(tree: object, path: Path) -> msgspec.Raw | list[Finding]:
    """The JSON text of a raw tree, or all that is not JSON in it."""
    findings: list[Finding] = []
    prepared = _prepare(tree, path, 0, findings)
    if not findings:
        try:
            return msgspec.Raw(msgspec.json.encode(prepared))
        except UnicodeEncodeError:
            findings.append(Finding(path, "a text holds half of a surrogate pair"))
    return findings


def _prepare(value: object, path: Path, depth: int, findings: list[Finding]) -> object:
    """A copy that msgspec writes as JSON. Goes as deep as data may be, and no deeper."""
    match value:
        case dict() | list() if depth == MAX_DEPTH:
            findings.append(
                Finding(path[:-MAX_DEPTH], f"the data is more than {MAX_DEPTH} levels deep")
            )
        case dict():
            mapping = {}
            for key, item in value.items():
                if isinstance(key, str):
                    mapping[key] = _prepare(item, (*path, key), depth + 1, findings)
                else:
                    message = f"the key {written(key)} of the data is no text"
                    findings.append(Finding(path, message, f'write "{written(key)}"'))
            return mapping
        case list():
            return [_prepare(v, (*path, n), depth + 1, findings) for n, v in enumerate(value)]
        case WrittenNumber():
            return msgspec.Raw(value.text.encode())
        case msgspec.Raw():
            return _prepare_text(bytes(value), path, depth, findings)
        case float() if not math.isfinite(value):
            name = "NaN" if math.isnan(value) else "Infinity"
            findings.append(Finding(path, f"{name} is not JSON", "write null, or a text"))
        case int() if not -_TOO_LONG < value < _TOO_LONG:
            findings.append(Finding(path, "the number is too long", "write it in decimal"))
        case None | str() | int() | float():
            return value
        case datetime.date() | datetime.time():
            hint = f"write it in quotes: {quoted(str(value))}"
            findings.append(Finding(path, "a date is not JSON", hint))
        case _:
            findings.append(Finding(path, f"{type(value).__name__} is not JSON"))
    return None


def _prepare_text(text: bytes, path: Path, depth: int, findings: list[Finding]) -> object:
    """JSON that was written as such."""
    try:
        tree = decode(text)
    except (ValueError, RecursionError) as error:
        problem = str(error)
        try:
            stored_value.parse(text, name="")
        except InvalidValue as refused:
            problem = str(refused.facts["problem"])  # in the words that all values get
        except TooLarge as refused:
            problem = refused.message
        if path[-1:] == ("data",):
            message = f"the data is refused: {problem}"
        else:
            message = f"this is not JSON: {problem.removeprefix('not JSON: ')}"
        findings.append(Finding(path, message))
        return None
    return _prepare(tree, path, depth, findings)
