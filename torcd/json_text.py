"""Python values to JSON text and back, with nothing lost on the way without a word.

msgspec is quick and forgiving: NaN becomes null, integers of more than 4 300 digits are too much
for Python's own conversion, and so are floats beyond 1.8e308. Those are looked after here.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from torcd.errors import InvalidValue

_PIECE_DIGITS = 4000
"""Below Python's limit of 4 300 digits for one conversion, which takes quadratic time."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*").fullmatch


class Unsayable(Exception):
    """A Python value, or a part of it, that JSON cannot say."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        """Where in the value: `jobs[3].command`; empty for the whole of it."""
        self.problem = problem


def to_json(value: Any, *, name: str) -> msgspec.Raw:
    """The JSON text of a value; `name` is only for the error.

    Takes what msgspec takes: besides None, bool, int, float, str, list, tuple and dict also
    dataclasses, msgspec structs, enums, dates and the like. Raises InvalidValue.
    """
    try:
        return encode(value)
    except Unsayable as e:
        problem = str(e)
    raise InvalidValue(f"the value of {name!r} is refused: {problem}", name=name, problem=problem)


def encode(value: Any) -> msgspec.Raw:
    """The same; raises Unsayable."""
    try:
        try:
            text = msgspec.json.encode(value)
        except ValueError:
            text = msgspec.json.encode(_with_long_integers(msgspec.to_builtins(value)))
        if b"null" in text:
            _refuse_non_finite(_builtins(value), "")
    except UnicodeEncodeError:
        problem = "a string holds half of a surrogate pair, which is no character"
    except RecursionError:
        raise Unsayable("", "it is nested too deep, or holds itself") from None
    except (TypeError, ValueError, OverflowError) as e:
        problem = str(e)
    else:
        return msgspec.Raw(text)
    raise Unsayable(_place_of_flaw(value, ""), problem)


def from_json(text: bytes | memoryview | msgspec.Raw, *, name: str) -> Any:
    """The Python value of a JSON text, integers of any size included.

    Raises InvalidValue for a number that only an infinite float could stand for.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.ValidationError:
        return _decode_extremes(bytes(text), name)


def _builtins(value: Any) -> Any:
    """As dict, list and scalars. JSON text within it becomes None."""
    return msgspec.to_builtins(value, enc_hook=_no_value)


def _no_value(value: Any) -> None:
    if not isinstance(value, msgspec.Raw):
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


def _children(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield _below(path, field), getattr(value, field)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield _below(path, key), item
    elif isinstance(value, list | tuple):
        for n, item in enumerate(value):
            yield f"{path}[{n}]", item


def _below(path: str, key: object) -> str:
    if not (isinstance(key, str) and _PLAIN_KEY(key)):
        return f"{path}[{key!a}]"
    return f"{path}.{key}" if path else key


def _refuse_non_finite(value: Any, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Unsayable(path, f"{value} is not JSON; use None or a string")
    for place, item in _children(value, path):
        _refuse_non_finite(item, place)


def _place_of_flaw(value: Any, path: str) -> str:
    """Of the first and innermost part that msgspec refuses."""
    for place, item in _children(value, path):
        try:
            msgspec.json.encode(item)
        except (TypeError, ValueError, OverflowError):
            return _place_of_flaw(item, place)
    return path


def _with_long_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_long_integers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_long_integers(item) for item in value]
    if isinstance(value, int) and value.bit_length() > 3 * _PIECE_DIGITS:
        width = int(value.bit_length() * math.log10(2)) + 2
        digits = _digits(abs(value), width).lstrip("0")
        return msgspec.Raw(("-" if value < 0 else "") + digits)
    return value


def _digits(number: int, width: int) -> str:
    """Exactly `width` digits, with zeros in front."""
    if width <= _PIECE_DIGITS:
        return str(number).rjust(width, "0")
    high, low = divmod(number, 10 ** (width // 2))
    return _digits(high, width - width // 2) + _digits(low, width // 2)


def _number(digits: str) -> int:
    if len(digits) <= _PIECE_DIGITS:
        return int(digits)
    if digits[0] == "-":
        return -_number(digits[1:])
    low = len(digits) // 2
    scale: int = 10**low
    return _number(digits[:-low]) * scale + _number(digits[-low:])


def _decode_extremes(text: bytes, name: str) -> Any:
    import json  # rarely needed, and job scripts pay for imports

    def finite(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            problem = f"the number {digits[:40]} is too large for a Python float"
            raise InvalidValue(
                f"the value of {name!r} cannot be had as a Python value: {problem}; its text is "
                "in the data of its record",
                name=name,
                problem=problem,
            )
        return value

    return json.loads(text, parse_int=_number, parse_float=finite)
