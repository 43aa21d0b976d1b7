"""Opening the database file, and bringing it to the newest schema.

Nothing is written before the file has been recognised (`torcd.store.recognition`). All missing
migrations are applied in one transaction. A file that is new, or was left behind by a creation
that was cut short, is empty and gets them all.
"""

import contextlib
import os
import re
import secrets
import sqlite3
import sys
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import msgspec

from torcd.errors import StoreError
from torcd.store import writing_values
from torcd.store.durable import beside, make_directories, size_of, sync
from torcd.store.failure import store_error
from torcd.store.in_place import write_in_place
from torcd.store.keeping import keep
from torcd.store.mark import Mark, read_mark
from torcd.store.recognition import (
    APPLICATION_ID,
    check_content,
    check_file,
    is_new,
    log_of,
    schema_version,
)
from torcd.store.value_files import begin_life

BUSY_TIMEOUT_SECONDS = 5.0
"""How long to wait for another program's lock. There should be none: torcd is the only writer,
and its own reads never wait; this is for a person with a database tool."""

WAL_LIMIT_BYTES = 64 << 20
"""To what the write-ahead log is cut back once it is empty; one large value can blow it up."""

if sys.version_info < (3, 12):
    # How bytes and None are to be written is looked for each time, and an exception made of it that
    # there is nothing to be found: 2 µs for a job. So there is: they are what they are.
    sqlite3.register_adapter(bytes, bytes)
    sqlite3.register_adapter(type(None), {None: None}.get)

_OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""


class Migrated(msgspec.Struct, frozen=True):
    """From which version of the schema to which; equal when there was nothing to do. 0: new."""

    from_version: int
    to_version: int
    former: Path | None = None
    """Where the database is kept as it was; None where there was nothing to keep."""


def migrations() -> list[tuple[int, str]]:
    """Number and SQL of each migration, in order, from 1 without gaps."""
    found = []
    for entry in (resources.files("torcd.store") / "migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", entry.name):
            found.append((int(match[1]), entry.read_text(encoding="utf-8")))
    return sorted(found)


def open_database(path: Path, *, keeps_former: bool = True) -> tuple[sqlite3.Connection, Migrated]:
    """The connection that writes, to a database with the newest schema, made if there is none.
    One that is older is kept as it was (`torcd.store.keeping`), unless it is a copy itself.

    Raises StoreError; what could not be read is left as it is. The caller sees to it that it is
    the only one (`torcd.store.lock`).
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(
            f"cannot open the database {path}: SQLite {sqlite3.sqlite_version} is too old, torcd "
            "needs 3.37 or newer; use a Python that is linked with one",
            path=str(path),
            problem="SQLite is too old",
        )
    try:
        mark = read_mark(path)
        check_file(path, mark)
        _create_or_tighten(path)
        write_in_place(path)
        version = None
        if not is_new(path) and not _was_cut_short(path):
            with contextlib.closing(_connect(path, read_only=True)) as connection:
                version = check_content(connection, path, mark, newest_version())
        connection = _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise store_error(path, "open", error) from error
    try:
        if version is None:
            version = check_content(connection, path, mark, newest_version())
        _use_wal(connection, path)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        former = None
        if keeps_former and 0 < version < newest_version():
            former = keep(connection, path, version, mark)
        migrated = Migrated(version, _migrate(connection, version, mark), former)
        begin_life(connection, anew=mark is None)
        writing_values.get_ready(connection)
    except (OSError, sqlite3.Error) as error:
        connection.close()
        raise store_error(path, "open", error) from error
    except BaseException:
        connection.close()
        raise
    return connection, migrated


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that reads, to a database that has been opened before."""
    try:
        connection = _connect(path)
    except sqlite3.Error as error:
        raise store_error(path, "open", error) from error
    try:
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        connection.close()
        raise store_error(path, "open", error) from error
    return connection


def look_into(path: Path) -> sqlite3.Connection:
    """A connection to a database as it stands, in use or not, that cannot write to it.

    Raises StoreError when there is none, or it is not torcd's; whether it is of this version, and
    sound, is for the caller to see.
    """
    try:
        check_file(path, None)
        if is_new(path):
            raise StoreError(
                f"there is no database {path}", path=str(path), problem="there is none"
            )
        # Without a log nobody has it open, and no files need to be made beside it.
        connection = _connect(path, read_only=True, immutable=not log_of(path).exists())
    except (OSError, sqlite3.Error) as error:
        raise store_error(path, "open", error) from error
    try:
        schema_version(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise store_error(path, "open", error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def newest_version() -> int:
    return migrations()[-1][0]


def _connect(path: Path, *, read_only: bool = False, immutable: bool = False) -> sqlite3.Connection:
    """Transactions begin and end only where we say so; any one thread at a time may use it."""
    options = ("mode=ro" if read_only else "mode=rw") + ("&immutable=1" if immutable else "")
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?{options}",
        uri=True,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _was_cut_short(path: Path) -> bool:
    """Whether something is to be undone first, which a connection that cannot write can't do. Ours
    is so only while it is being created."""
    return size_of(beside(path, "-journal")) > 0


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"cannot open the database {path}: its file system cannot share memory between "
            "connections, as network file systems can't; put the state directory on a local disk",
            path=str(path),
            problem="no write-ahead log",
        )


def _create_or_tighten(path: Path) -> None:
    """SQLite gives -wal and -shm the mode of the file; so the file's mode is the one that counts.
    Environments are in it: it is the owner's alone."""
    make_directories(path.parent)
    is_there = path.exists()
    flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    os.close(os.open(path, flags, 0o600))
    if not is_there:
        sync(path.parent)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _migrate(connection: sqlite3.Connection, version: int, mark: Mark | None) -> int:
    todo = [(number, sql) for number, sql in migrations() if number > version]
    if not todo:
        return version
    newest = todo[-1][0]
    script = "\n".join(sql for _, sql in todo)
    try:
        # executescript ends a transaction that is open, so it has to open its own.
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{script}\n"
            f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {newest};"
        )
        if version == 0:
            # Where there was one before, no key of it is used again.
            first = (1, 1, 1) if mark is None else msgspec.structs.astuple(mark.counters)[:3]
            connection.execute(
                "INSERT INTO meta (id, secret, next_key, next_attempt_key, next_event_number)"
                " VALUES (1, ?, ?, ?, ?)",
                (secrets.token_bytes(32), *first),
            )
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return newest
