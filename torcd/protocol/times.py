"""Times on the wire: RFC 3339, UTC, microseconds."""

import datetime
import functools

from torcd.model import Timestamp

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def rfc3339(at: Timestamp) -> str:
    """`2026-01-31T12:00:00.000001Z`."""
    seconds, microseconds = divmod(at, 1_000_000)
    return f"{_second(seconds)}.{microseconds:06}Z"


@functools.lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return (_EPOCH + datetime.timedelta(seconds=seconds)).isoformat()[: -len("+00:00")]


def maybe_rfc3339(at: Timestamp | None) -> str | None:
    return None if at is None else rfc3339(at)
