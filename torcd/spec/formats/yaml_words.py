"""What a word without quotes means in YAML 1.2: `no`, `1_000` and dates are texts."""

import re
from collections.abc import Mapping

from torcd.spec.data import WrittenNumber

MERGE = "<<"

_LONG_DIGITS = 300
"""Integers of more digits are not converted: that takes quadratic time."""

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_OTHER_BASE = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_WORDS: Mapping[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{f"{sign}.{name}": float("inf") for sign in ("", "+") for name in ("inf", "Inf", "INF")},
    **{f"-.{name}": float("-inf") for name in ("inf", "Inf", "INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def is_text(word: str) -> bool:
    """Whether a word without quotes is a text."""
    return isinstance(plain(word), str) and word != MERGE


def plain(text: str) -> object:
    """What a word without quotes is."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if first.isdigit() or first in "+-.":
        if _INTEGER.match(text):
            keeps_text = len(text) > _LONG_DIGITS or text == "-0"
            return _number(text) if keeps_text else int(text)
        if _FLOAT.match(text):
            return _number(text)
        if _OTHER_BASE.match(text):
            return int(text[2:], 8 if text[1] == "o" else 16)
    return text


def _number(text: str) -> float:
    sign = "-" if text[0] == "-" else ""
    bare = text.lstrip("+-")
    if bare[0] == "0" and not _JSON_NUMBER.match(bare):
        bare = re.sub("^0+(?=[0-9])", "", bare)
    return WrittenNumber(sign + bare) if _JSON_NUMBER.match(bare) else float(text)
