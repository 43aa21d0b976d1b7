"""Amounts of memory as people write them: `512k`, `2g`, `1.5 GiB`, or a number of bytes.

Every unit is a power of 1024, as torc has it and as memory is made. What torc reads is read here as
well, and means the same.
"""

import re

_AMOUNT = re.compile(r"\+?(\d+(?:\.\d+)?)\s*(?:([kmgtp])i?)?b?", re.ASCII | re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_UNITS = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))

MAX_CHARACTERS = 30
"""More than any memory needs; a bound against a text that takes long to read."""

MAX_BYTES = (1 << 63) - 1
"""torc's bound, and that of a number in the database and in most JSON readers."""


def memory_bytes(text: str) -> int:
    """Raises ValueError for what is no amount of memory: what is wrong with the text, after a colon
    what to write instead."""
    text = text.strip()
    found = _AMOUNT.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    if found is None:
        raise ValueError('is no amount of memory: write it like "512m" or "2g"')
    number, unit = found.groups()
    factor = 1024 ** _POWERS[unit.lower()] if unit else 1
    amount = int(number) * factor if number.isdigit() else int(float(number) * factor)
    if amount > MAX_BYTES:
        raise ValueError('is more than any memory: write it like "512m" or "2g"')
    if amount < 1 and float(number) > 0:
        raise ValueError('is less than a byte: write it like "512m" or "2g"')
    return amount


def memory_text(amount: int) -> str:
    """`1.5 GiB`."""
    for unit, size in _UNITS:
        if amount >= size:
            return f"{round(amount / size, 1):g} {unit}"
    return f"{amount} bytes"
