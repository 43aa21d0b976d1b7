"""Copying a database: as of one moment, whole, looked at and on disk before it gets a name.

SQLite copies the pages in one read transaction, so nobody who writes is kept waiting, and whatever
is cut short, there is never half a copy under a name that somebody trusts. Large values, which have
files of their own (`torcd.store.value_files`), are in the copy: it is one file.
"""

import contextlib
import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torcd.errors import LostValue, StoreError
from torcd.store.durable import sync
from torcd.store.failure import store_error
from torcd.store.value_files import directory_of, read

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
            _copy_all(source, path, copy)
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


def _copy_all(source: sqlite3.Connection, path: Path, target: Path) -> None:
    """Raises LostValue, besides."""
    lost: object = None
    while True:
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as connection:
            # Nobody reads it before it is whole, and it is synced then.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = OFF")
            source.backup(connection)
            try:
                _take_in_values(connection, directory_of(path))
            except LostValue as error:
                if lost == error.facts["path"]:
                    raise
                # Its workflow may have been deleted since the pages were copied. Then it is not in
                # the next copy.
                lost = error.facts["path"]
            else:
                return


def _take_in_values(connection: sqlite3.Connection, directory: Path) -> None:
    """Those that have files, into the database. Raises LostValue, but for deleted workflows."""
    (has_files,) = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'value_file'"
    ).fetchone()
    if not has_files:  # of an older torcd
        return
    rows = connection.execute(
        "SELECT f.revision_key, f.name, f.size_bytes FROM value_file f"
        " JOIN revision r ON r.key = f.revision_key JOIN user_data d ON d.key = r.data_key"
        " JOIN workflow w ON w.key = d.workflow_key WHERE w.deleted_at IS NULL"
    ).fetchall()
    if rows:
        # As the pages have it, they would be written to a log first.
        connection.execute("PRAGMA journal_mode = OFF").fetchall()
    for key, name, size_bytes in rows:
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
