"""Copying a database: as of one moment, whole, looked at and on disk before it gets a name.

SQLite copies the pages in one read transaction, so nobody who writes is kept waiting, and whatever
is cut short, there is never half a copy under a name that somebody trusts. Large values, which have
files of their own (`torcd.store.value_files`), are in the copy: it is one file. One whose file is
lost is so in the copy, too.
"""

import contextlib
import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torcd.errors import LostValue, StoreError
from torcd.store.durable import sync
from torcd.store.failure import store_error
from torcd.store.value_files import directory_of, may_have_files, read

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
            _copy(source, path, copy)
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


def remove_unfinished(path: Path) -> None:
    """What is left beside the database `path` of copies that were cut short, of it and of what was
    to take its place. The caller is its sole writer."""
    for part in path.parent.glob(f".{path.name}*.part*"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, path: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as connection:
        # Nobody reads it before it is whole, and it is synced then.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        source.backup(connection)
        _take_in_values(connection, directory_of(path))


def _take_in_values(connection: sqlite3.Connection, directory: Path) -> None:
    """Those that have files, into the database, as far as the files are there."""
    if not may_have_files(connection):
        return
    rows = connection.execute("SELECT revision_key, name, size_bytes FROM value_file").fetchall()
    if rows:
        # As the pages have it, they would be written to a log first.
        connection.execute("PRAGMA journal_mode = OFF").fetchall()
    for key, name, size_bytes in rows:
        # One may be lost, or its workflow deleted since the pages were copied.
        with contextlib.suppress(LostValue):
            text = read(directory, name, size_bytes)
            connection.execute("UPDATE revision SET value = ? WHERE key = ?", (text, key))
            connection.execute("DELETE FROM value_file WHERE revision_key = ?", (key,))


def _damage(copy: Path) -> str | None:
    uri = f"{copy.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            (line,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            return str(error)
    return None if line == "ok" else str(line)
