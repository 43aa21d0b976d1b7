"""Times on the wire: RFC 3339, UTC, microseconds."""

import datetime

from torcd.model import Timestamp

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def rfc3339(at: Timestamp) -> str:
    """`2026-01-31T12:00:00.000001Z`."""
    moment = _EPOCH + datetime.timedelta(microseconds=at)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def maybe_rfc3339(at: Timestamp | None) -> str | None:
    return None if at is None else rfc3339(at)
