"""Times, durations and sizes, for people."""

from __future__ import annotations

import datetime


def moment(at: str | None) -> str | None:
    """A time of the wire to the second: `2026-01-31T12:00:00Z`."""
    if at is None:
        return None
    whole, point, _ = at.partition(".")
    return f"{whole}Z" if point else at


def seconds_between(start: str | None, end: str | None) -> float | None:
    """From one time of the wire to another; None where one is missing."""
    if start is None or end is None:
        return None
    return (_parsed(end) - _parsed(start)).total_seconds()


def _parsed(at: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(at)


def duration(seconds: float | None) -> str | None:
    """`0.4s`, `59s`, `1m05s`, `3h02m`, `2d03h`."""
    if seconds is None:
        return None
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes}m{rest:02}s"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02}h" if days else f"{hours}h{minutes:02}m"


def size(count: int | None) -> str | None:
    """`512B`, `1.5KiB`, `12MiB`."""
    if count is None:
        return None
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f}{unit}" if unit == "B" or amount >= 10 else f"{amount:.1f}{unit}"
        amount /= 1024
    return f"{amount:.1f}TiB"
