"""The values of parameters, and their combinations.

A parameter is written as a range (`"1:100"`, `"0:100:10"`, `"0.0:1.0:0.1"`, its end included), as a
list in a text (`"[1, 5]"`, `"['a', 'b,c']"`), as a real list, or as a single value. Numbers in a
list are numbers, what is in quotes is text. The values of a range of floats are computed from their
index in decimal, so that 0.3 is 0.3.
"""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from torcd.spec.problems import Finding, Path, nearest, quoted
from torcd.spec.schema import ParameterMode, Parameters, WrittenParameter

Value = str | int | float

MAX_VALUES = 1_000_000
"""Of one parameter, and of all combinations of an item's parameters."""

_MAX_DIGITS = 300
"""Longer numbers are no parameters; converting them takes quadratic time."""

_MAX_BITS = 1_000

_NAME = re.compile(r"[^{}:\0\r\n]+\Z")
_INTEGER = re.compile(r"[+-]?\d+\Z", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?\Z", re.ASCII)
_LIST_ITEM = re.compile(
    r"""\s*(?:'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^'",\s][^,]*))\s*"""
    r"(?:,|\Z)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(['\"\\])")
_WRITE_A_LIST = "if it is one text, write it as a list: [{}]"


class _WrongValue(Exception):
    """What is written is no value. Arguments: the message, and a hint or None."""


class Combinations(msgspec.Struct, frozen=True):
    """The parameters of one item, and how they are combined."""

    names: tuple[str, ...]
    values: tuple[Sequence[Value], ...]
    """Of each of them."""
    mode: ParameterMode

    @property
    def count(self) -> int:
        if self.mode == "zip":
            return len(self.values[0])
        return math.prod(map(len, self.values))

    def indexes(self) -> Iterator[tuple[int, ...]]:
        """For each combination the place of each parameter's value, the last one fastest."""
        ranges = [range(len(values)) for values in self.values]
        return zip(*ranges, strict=True) if self.mode == "zip" else itertools.product(*ranges)


class Reader:
    """Reads the parameters of items; those of the workflow only once."""

    def __init__(self, shared: Parameters | None) -> None:
        self.findings: list[Finding] = []
        self._shared = shared or {}
        self._read = {
            name: self._values(name, written, ("parameters", name))
            for name, written in self._shared.items()
        }

    def combinations(
        self,
        path: Path,
        parameters: Parameters | None,
        use_parameters: Sequence[str] | None,
        mode: ParameterMode | None,
    ) -> Combinations | None:
        """Those of an item: what it uses of the workflow's, then its own, which go before.

        None: it has none, or they are wrong, which is in `findings`.
        """
        own = parameters or {}
        values: dict[str, Sequence[Value] | None] = {}
        for n, name in enumerate(use_parameters or ()):
            if name in own:
                values[name] = None  # its place; the values follow
            elif name in self._read:
                values[name] = self._read[name]
            else:
                hint = nearest(name, self._shared) or "declare it in the workflow's `parameters`"
                message = f"unknown parameter {quoted(name)}"
                self._add((*path, "use_parameters", n), message, hint)
                values[name] = None
        for name, written in own.items():
            values[name] = self._values(name, written, (*path, "parameters", name))
        known = {name: found for name, found in values.items() if found is not None}
        if not known or len(known) < len(values):
            return None
        combinations = Combinations(tuple(known), tuple(known.values()), mode or "product")
        if mode == "zip":
            first, *others = known
            for other in others:
                if len(known[other]) != len(known[first]):
                    message = (
                        f"zip needs as many values of each parameter: {quoted(first)} has "
                        f"{len(known[first])}, {quoted(other)} has {len(known[other])}"
                    )
                    self._add((*path, "parameter_mode"), message)
                    return None
        if combinations.count > MAX_VALUES:
            message = f"{combinations.count} combinations, and there may be {MAX_VALUES}"
            self._add((*path, "parameters" if own else "use_parameters"), message)
            return None
        return combinations

    def _values(self, name: str, written: WrittenParameter, path: Path) -> Sequence[Value] | None:
        if not _NAME.match(name):
            hint = "a name has no braces, colons or line breaks"
            self._add(path, f"{quoted(name)} cannot be the name of a parameter", hint)
            return None
        try:
            values = _read(written)
            if not values:
                raise _WrongValue("the parameter has no values", None)
        except _WrongValue as wrong:
            message, hint = wrong.args
            self._add(path, message, hint)
            return None
        return values

    def _add(self, path: Path, message: str, hint: str | None = None) -> None:
        self.findings.append(Finding(path, message, hint))


def _read(written: WrittenParameter) -> Sequence[Value]:
    if isinstance(written, str):
        return _read_text(written.strip())
    if isinstance(written, tuple):
        if len(written) > MAX_VALUES:
            raise _WrongValue(f"{len(written)} values, and there may be {MAX_VALUES}", None)
        return [_scalar(item) for item in written]
    return [_scalar(written)]


def _scalar(written: str | int | float | bool) -> Value:
    if isinstance(written, bool):
        return "true" if written else "false"
    if isinstance(written, float) and not math.isfinite(written):
        raise _WrongValue("the number is too large, or none", "write it in quotes")
    if isinstance(written, int) and written.bit_length() > _MAX_BITS:
        raise _WrongValue("the number is too long", "write it in quotes")
    return written


def _read_text(text: str) -> Sequence[Value]:
    if text.startswith("{") and text.endswith("}") and ":" in text and "," not in text:
        text = text[1:-1].strip()  # torc takes it, because so many write it
    if text.startswith("[") and text.endswith("]"):
        return _read_list(text[1:-1].strip())
    parts = [part.strip() for part in text.split(":")]
    if len(parts) in (2, 3):
        numbers = [_number(part) for part in parts]
        exact = [n for n in numbers if n is not None]
        if len(exact) == len(parts):
            return _range(parts, exact)
        if exact or "" in parts:
            shown_text = quoted(text)
            raise _WrongValue(
                f"{shown_text} is made like a range, and is none",
                f'write "first:last" or "first:last:step"; {_WRITE_A_LIST.format(shown_text)}',
            )
    number = _number(text)
    return [text if number is None else number]


def _read_list(inner: str) -> list[Value]:
    values: list[Value] = []
    place = 0
    while place < len(inner):
        match = _LIST_ITEM.match(inner, place)
        if match is None:
            rest = quoted(inner[place:].strip())
            hint = "items are numbers or texts in quotes, with commas between them"
            raise _WrongValue(f"this is no list item: {rest}", hint)
        place = match.end()
        bare = match["bare"]
        if bare is None:
            text = match["double"] if match["single"] is None else match["single"]
            values.append(_ESCAPE.sub(r"\1", text))
        else:
            number = _number(bare.strip())
            values.append(bare.strip() if number is None else number)
        if len(values) > MAX_VALUES:
            raise _WrongValue(f"a list may have {MAX_VALUES} values", None)
    return values


def _number(text: str) -> int | float | None:
    if len(text) > _MAX_DIGITS:
        return None
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text) and math.isfinite(float(text)):
        return float(text)
    return None


def _range(parts: Sequence[str], numbers: Sequence[int | float]) -> Sequence[Value]:
    """From the first to the last one, both included."""
    whole = [number for number in numbers if isinstance(number, int)]
    exact = [Decimal(part) for part in parts]
    first, last = exact[:2]
    step = exact[2] if len(exact) == 3 else Decimal(1)
    if not step:
        raise _WrongValue("the step of a range cannot be 0", None)
    if (last - first) * step < 0:
        start, end = parts[:2]
        hint = f'write "{end}:{start}"' if len(parts) == 2 else "turn the sign of the step"
        raise _WrongValue(f"the range from {start} to {end} has no values", hint)
    if abs(last - first) >= abs(step) * MAX_VALUES:
        raise _WrongValue(f"the range has more than {MAX_VALUES} values", None)
    if len(whole) == len(numbers):
        stride = whole[2] if len(whole) == 3 else 1
        return range(whole[0], whole[1] + (1 if stride > 0 else -1), stride)
    count = int((last - first) // step) + 1
    return [float(first + n * step) for n in range(count)]
