"""Opening the database file: is it ours, of what version, and how it becomes the newest.

Nothing is written before the file has been recognised. It is recognised by SQLite's
`application_id`; its `user_version` is the number of the last migration applied to it. All
missing migrations are applied in one transaction. A file that is new, or was left behind by a
creation that was cut short, is empty and gets them all.
"""

import os
import re
import secrets
import sqlite3
from importlib import resources
from pathlib import Path

import msgspec

from torcd.errors import StoreError
from torcd.store.failure import store_error

APPLICATION_ID = 0x746F7263
"""'torc' in ASCII."""

BUSY_TIMEOUT_SECONDS = 5.0
"""How long to wait for another program's lock. There should be none: torcd is the only writer,
and its own reads never wait; this is for a person with a database tool."""

WAL_LIMIT_BYTES = 64 << 20
"""To what the write-ahead log is cut back once it is empty; one large value can blow it up."""

_OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""


class Migrated(msgspec.Struct, frozen=True):
    """From which version of the schema to which; equal when there was nothing to do. 0: new."""

    from_version: int
    to_version: int


def migrations() -> list[tuple[int, str]]:
    """Number and SQL of each migration, in order, from 1 without gaps."""
    found = []
    for entry in (resources.files("torcd.store") / "migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", entry.name):
            found.append((int(match[1]), entry.read_text(encoding="utf-8")))
    return sorted(found)


def open_database(path: Path) -> tuple[sqlite3.Connection, Migrated]:
    """The connection that writes, to a database with the newest schema, made if there is none.

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
        _create_or_tighten(path)
        connection = _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise store_error(path, "open", error) from error
    try:
        version = _recognise(connection, path)
        _use_wal(connection, path)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        migrated = Migrated(version, _migrate(connection, version))
    except sqlite3.Error as error:
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
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise store_error(path, "open", error) from error
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    """Transactions begin and end only where we say so; any one thread at a time may use it."""
    return sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )


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
    if path.is_dir():
        raise StoreError(
            f"cannot open the database {path}: there is a directory in its place; move it away, "
            "or name another state directory",
            path=str(path),
            problem="is a directory",
        )
    # SQLite throws the log of an empty database away; here it is all that is left of it.
    log = path.with_name(path.name + "-wal")
    if path.exists() and path.stat().st_size == 0 and log.exists() and log.stat().st_size:
        raise StoreError(
            f"cannot open the database {path}: it is empty, but its log {log.name} is not; put a "
            "backup in its place, or move both away to start with an empty one",
            path=str(path),
            problem="truncated",
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _recognise(connection: sqlite3.Connection, path: Path) -> int:
    """The version of its schema; StoreError if it is not torcd's, or of a version to come."""
    application_id = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if application_id != APPLICATION_ID:
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application_id or version or objects:
            raise StoreError(
                f"cannot open the database {path}: it belongs to another program; move it away, "
                "or name another state directory",
                path=str(path),
                problem="not a database of torcd",
            )
    newest = migrations()[-1][0]
    if version > newest:
        raise StoreError(
            f"cannot open the database {path}: it was written by a newer torcd (its schema has "
            f"version {version}, this torcd knows {newest}); install that one again, or put a "
            "backup from before in its place",
            path=str(path),
            problem="from a newer torcd",
        )
    return version


def _migrate(connection: sqlite3.Connection, version: int) -> int:
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
            connection.execute(
                "INSERT INTO meta VALUES (1, ?, 1, 1, 1)", (secrets.token_bytes(32),)
            )
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return newest


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
