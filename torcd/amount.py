"""Amounts of memory as people write them: `512k`, `2g`, `1.5 GiB`, or a number of bytes.

Every unit is a power of 1024, as torc has it and as memory is made.
"""

import re

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgtp])i?)?b?", re.ASCII | re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

MAX_DIGITS = 30
"""More than any memory has; a bound against a text that takes long to read."""


def memory_bytes(text: str) -> int:
    """Raises ValueError, which says what to write, for what is none, less than a byte included."""
    found = _AMOUNT.fullmatch(text.strip()) if len(text) <= MAX_DIGITS else None
    if found is None:
        raise ValueError(f'"{text[:100]}" is no amount of memory: write it like "512m" or "2g"')
    number, unit = found.groups()
    factor = 1024 ** _POWERS[unit.lower()] if unit else 1
    amount = int(number) * factor if number.isdigit() else int(float(number) * factor)
    if amount < 1:
        raise ValueError(f'"{text}" is less than a byte: write an amount like "512m" or "2g"')
    return amount
