"""Copying a database: as of one moment, whole, looked at and on disk before it gets a name.

SQLite copies the pages in one read transaction, so nobody who writes is kept waiting, and whatever
is cut short, there is never half a copy under a name that somebody trusts.
"""

import contextlib
import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torcd.errors import StoreError
from torcd.store.durable import sync
from torcd.store.failure import store_error

_FAULTS = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO}
"""What SQLite says of the copy, as the kernel would have said it."""


@contextlib.contextmanager
def copied(source: sqlite3.Connection, path: Path, directory: Path, name: str) -> Iterator[Path]:
    """A copy of the database `path`, which `source` reads, whole and synced, under a name that
    nobody else has, for as long as the block lasts: who wants to keep it gives it another one.
    Raises StoreError about the database, and OSError about the copy."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=directory)
    os.close(descriptor)
    copy = Path(temporary)
    try:
        try:
            _copy(source, copy)
        except sqlite3.Error as error:
            code = _FAULTS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
            if code is None:
                raise store_error(path, "read", error) from error
            raise OSError(code, f"the disk is full, or has failed ({error})") from error
        problem = _damage(copy)
        if problem is not None:
            raise StoreError(
                f"cannot copy the database {path}: it is damaged ({problem}); torcd check-db "
                "tells more. Keep the backups that there are",
                path=str(path),
                problem=problem,
            )
        sync(copy)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as connection:
        # Nobody reads it before it is whole, and it is synced then.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        source.backup(connection)


def _damage(copy: Path) -> str | None:
    uri = f"{copy.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            (line,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            return str(error)
    return None if line == "ok" else str(line)
