"""A copy of the database, made while the daemon works.

SQLite copies the pages in one read transaction, so the copy is the database as of one moment, and
the daemon does not wait for it. The copy gets its name last, when it is whole, looked at and on
disk: whatever is cut short, there is never half a backup under that name.
"""

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torcd.errors import StoreError
from torcd.store.durable import size_of, sync
from torcd.store.failure import store_error
from torcd.store.schema import look_into


def back_up(path: Path, target: Path, *, overwrite: bool = False) -> int:
    """Copy the database to `target`, for its owner alone; returns its size in bytes.

    Raises StoreError; a file that is there already stays, unless it is to be overwritten, and then
    it stays until the copy is whole.
    """
    if target.exists() and path.exists() and target.samefile(path):
        raise StoreError(
            f"cannot write the backup {target}: it is the database itself; name another file",
            path=str(target),
            problem="is the database",
        )
    if target.is_dir():
        raise StoreError(
            f"cannot write the backup {target}: it is a directory; name a file in it",
            path=str(target),
            problem="is a directory",
        )
    if target.exists() and not overwrite:
        raise _is_there(target)
    try:
        with copied(path, target.parent, target.name) as copy:
            size = size_of(copy)
            if overwrite:
                os.replace(copy, target)
            else:
                os.link(copy, target)
        sync(target.parent)
    except FileExistsError:
        raise _is_there(target) from None
    except OSError as error:
        raise StoreError(
            f"cannot write the backup {target}: {error.strerror}; name a file elsewhere, or make "
            "room",
            path=str(target),
            problem=str(error),
        ) from error
    return size


@contextlib.contextmanager
def copied(path: Path, directory: Path, name: str) -> Iterator[Path]:
    """A copy of the database, whole and synced, under a name that nobody else has, for as long as
    the block lasts. Raises StoreError about the database, and OSError about the copy."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=directory)
    os.close(descriptor)
    copy = Path(temporary)
    try:
        with contextlib.closing(look_into(path)) as source:
            try:
                _copy(source, copy)
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in (
                    sqlite3.SQLITE_FULL,
                    sqlite3.SQLITE_IOERR,
                ):
                    raise OSError(0, f"the disk is full, or has failed ({error})") from error
                raise store_error(path, "read", error) from error
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


def _is_there(target: Path) -> StoreError:
    return StoreError(
        f"cannot write the backup {target}: it is there already; name another file, or give "
        "--force to replace it",
        path=str(target),
        problem="is there",
    )
