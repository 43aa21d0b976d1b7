"""Large values: a file each, in a directory beside the database.

SQLite writes what is large twice, into its log and from there into the database, page by page; and
whoever commits something small meanwhile waits for it. A file is written once. The row of the
revision says which one it is (`value_file`).

A file is written whole, it is synced, and so is its name, before the row is committed; it never
changes; and it goes when the row has gone. So whatever is cut short leaves at most files that no
row names, and they go when the database is opened the next time. But a database may have been moved
away, and another one begun in its place: a file has the name of its database in its own, and no
other database touches it.
"""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from torcd import disk
from torcd.block import block
from torcd.errors import LostValue, NoSpace, StoreError
from torcd.model import DataKey
from torcd.scheduler.commands import Record, SaveValue
from torcd.store.durable import beside, make_directories, sync
from torcd.value import Value

LARGE_BYTES = 1 << 20
"""A value from here on is large: a smaller one takes less time in the database, where it is synced
with its row, and with those of others."""

_ID_CHARACTERS = 16
"""Of the database's name: enough to tell those apart that stand in one place one after another."""


def directory_of(database: Path) -> Path:
    return beside(database, "-values")


class ValueFiles:
    """Those of one database. May be used by several threads at a time."""

    def __init__(self, database: Path, identity: str) -> None:
        """`identity` names the database (`torcd.store.mark`). Raises OSError."""
        self._directory = directory_of(database)
        self._prefix = identity[:_ID_CHARACTERS] + "-"
        make_directories(self._directory)

    def write(self, text: bytes | memoryview) -> str:
        """A new file, on disk for good when this returns its name. Raises NoSpace and StoreError:
        then nothing is left of it."""
        name = self._prefix + secrets.token_hex(8)
        path = self._directory / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                left = memoryview(text)
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync(self._directory)
        except OSError as error:
            self.remove([name])
            if disk.is_no_room(error):
                raise disk.no_space(str(path), "a large value") from error
            raise _failed(path, "written", error) from error
        return name

    def read(self, name: str, size_bytes: int) -> memoryview:
        """Raises LostValue and StoreError."""
        return read(self._directory, name, size_bytes)

    def remove(self, names: Iterable[str]) -> None:
        """What cannot be removed is, when the database is opened the next time."""
        for name in names:
            with contextlib.suppress(OSError):
                (self._directory / name).unlink()

    def has(self, name: str, size_bytes: int) -> bool:
        """Whether it can be read, as far as can be told without reading it."""
        try:
            return (self._directory / name).stat().st_size == size_bytes
        except OSError:
            return False

    def let_go(self, name: str) -> None:
        """There is a newer revision: the kernel need not have this one in memory any more."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)

    def found(self) -> set[str]:
        """Those of this database that are there. Raises OSError."""
        return {name for name in os.listdir(self._directory) if name.startswith(self._prefix)}

    @contextlib.contextmanager
    def with_files(self, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        """The records, with a file for each large value. Files made here go again if the block says
        that there is no room, and nothing was done. Raises NoSpace and StoreError."""
        written: list[str] = []

        def with_file(record: Record) -> Record:
            if type(record) is not SaveValue or not _needs_file(record.value):
                return record
            written.append(self.write(record.value.text))
            value = msgspec.structs.replace(record.value, file=written[-1])
            return msgspec.structs.replace(record, value=value)

        try:
            if any(type(record) is SaveValue and _needs_file(record.value) for record in records):
                records = [with_file(record) for record in records]
            yield records
        except NoSpace:  # after another error only the next who opens the database knows
            self.remove(written)
            raise


def is_large(value: Value) -> bool:
    return len(value.text) >= LARGE_BYTES


def _needs_file(value: Value) -> bool:
    return value.file is None and is_large(value)


def read(directory: Path, name: str, size_bytes: int) -> memoryview:
    """The value in a file. Raises LostValue and StoreError."""
    path = directory / name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor).st_size
            if found != size_bytes:
                raise _lost(path, f"it has {found} bytes and should have {size_bytes}")
            text = memoryview(block(size_bytes))
            left = text
            while left:
                count = os.readv(descriptor, [left])
                if not count:
                    raise _lost(path, "it became smaller while it was read")
                left = left[count:]
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise _lost(path, "it is not there") from None
    except OSError as error:
        raise _failed(path, "read", error) from error
    return text


def _lost(path: Path, problem: str) -> LostValue:
    return LostValue(
        f"a value is lost: {problem}, the file {path} that torcd keeps it in; put it back, or "
        "store the value again",
        path=str(path),
        problem=problem,
    )


def _failed(path: Path, doing: str, error: OSError) -> StoreError:
    return StoreError(
        f"the file {path}, which is a value of the database, cannot be {doing}: {error.strerror}",
        path=str(path),
        problem=str(error),
    )


def former_file(connection: sqlite3.Connection, key: DataKey) -> str | None:
    """Of the revision before the newest, if it has one."""
    row = connection.execute(
        "SELECT f.name FROM user_data d JOIN revision r ON r.key = d.newest"
        " JOIN value_file f ON f.revision_key = r.previous WHERE d.key = ?",
        (key,),
    ).fetchone()
    return None if row is None else str(row[0])


def known_files(connection: sqlite3.Connection) -> set[str]:
    """Those that some row names."""
    return {name for (name,) in connection.execute("SELECT DISTINCT name FROM value_file")}
