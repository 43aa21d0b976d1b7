"""User data of a spec as JSON text, numbers as they were written.

`1.10` stays `1.10`, and an integer has as many digits as it was given: the formats mark numbers
that Python would change as `WrittenNumber`. Whether the text is a value that may be stored is for
`torcd.value` to say.
"""

import datetime
import math

import msgspec

from torcd.spec.problems import Finding, Path, quoted
from torcd.value import MAX_DEPTH

_MAX_BITS = 14_000
"""Python writes no integer of more than 4 300 decimal digits; it reads longer hexadecimal ones."""


class WrittenNumber(float):
    """A number whose JSON text says more than its value."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "WrittenNumber":
        number = super().__new__(cls, text)
        number.text = text
        return number


def written(value: object) -> str:
    """A scalar as a spec may write it, not longer than a message can bear."""
    match value:
        case str():
            return quoted(value)
        case WrittenNumber():
            text = value.text
        case None | bool():
            text = {None: "null", True: "true", False: "false"}[value]
        case int() if value.bit_length() > _MAX_BITS:
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
            return value  # JSON that was written as such; what is wrong with it is told later
        case float() if not math.isfinite(value):
            name = "NaN" if math.isnan(value) else "Infinity"
            findings.append(Finding(path, f"{name} is not JSON", "write null, or a text"))
        case int() if value.bit_length() > _MAX_BITS:
            findings.append(Finding(path, "the number is too long", "write it in decimal"))
        case None | str() | int() | float():
            return value
        case datetime.date() | datetime.time():
            hint = f"write it in quotes: {quoted(str(value))}"
            findings.append(Finding(path, "a date is not JSON", hint))
        case _:
            findings.append(Finding(path, f"{type(value).__name__} is not JSON"))
    return None
