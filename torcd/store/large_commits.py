"""Commits with more in them than SQLite holds in memory: a workflow of thousands of jobs, or values
that many store at a time.

Left to itself SQLite writes some of it three times before the commit is done. Pages for which its
cache has no room go into the log at once, and those of a value that is written in place are written
there as zeros first. And as soon as the log has a thousand pages, the commit that made it so moves
all of them into the database.

So the cache is larger for as long as such a commit lasts, and what is in the log is moved when
whoever waits for the commit has been told. What is in the log is on disk for good.
"""

import contextlib
import sqlite3
from collections.abc import Iterator

USUAL_CACHE_BYTES = 2_000 << 10
"""SQLite's own, beyond which it writes before the commit."""

MAX_CACHE_BYTES = 20 << 20
"""A workflow of some ten thousand jobs. Of what is larger, a part is written twice."""

_USUAL_LOG_PAGES = 1_000
"""SQLite's own: with so many the log is moved into the database within a commit."""


def is_large(size_bytes: int) -> bool:
    return size_bytes > USUAL_CACHE_BYTES


@contextlib.contextmanager
def for_commit_of(connection: sqlite3.Connection, size_bytes: int) -> Iterator[None]:
    """Around a commit of about that size. When it was large, `move_log` is due."""
    if not is_large(size_bytes):
        yield
        return
    _set(connection, min(USUAL_CACHE_BYTES + size_bytes, MAX_CACHE_BYTES), 0)
    try:
        yield
    finally:
        _set(connection, USUAL_CACHE_BYTES, _USUAL_LOG_PAGES)


def move_log(connection: sqlite3.Connection) -> None:
    """Into the database, so that the next commit begins at the log's beginning again. Where that
    fails, as on a full disk, it is tried again with the next commit, as SQLite does."""
    with contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _set(connection: sqlite3.Connection, cache_bytes: int, log_pages: int) -> None:
    connection.execute(f"PRAGMA cache_size = -{cache_bytes >> 10}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {log_pages}").fetchall()
