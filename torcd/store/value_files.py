"""Large values: a file each, in a directory beside the database.

SQLite writes what is large twice, into its log and from there into the database, page by page; and
whoever commits something small meanwhile waits for it. A file is written once. The row of the
revision says which one it is (`value_file`).

A file is written whole, it is synced, and so is its name, before the row is committed; it never
changes; and it goes when the row has gone. So whatever is cut short leaves at most files that no
row names, and they go when the database is opened the next time.

But what one database does not name, another one may: one that was moved away, or a newer one in
whose place a backup was put. So the name of a file begins with the *life* in which it was written,
which only one database goes on with. A new life begins with a database that is new or restored, or
of which nobody knows whether it is the newest. Files of other lives are left alone.
"""

import contextlib
import errno
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from torcd import disk
from torcd.errors import LostValue, NoSpace, StoreError
from torcd.kept_block import used_block
from torcd.model import DataKey
from torcd.scheduler.commands import Record, SaveValue
from torcd.store import durable
from torcd.store.durable import beside, make_directories, sync
from torcd.value import Value

LARGE_BYTES = 1 << 20
"""A value from here on is large: a smaller one takes less time in the database, where it is synced
with its row, and with those of others."""


_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Nobody waits for whoever would write to what else may be there under the name."""


def directory_of(database: Path) -> Path:
    return beside(database, "-values")


class ValueFiles:
    """Those of one database. May be used by several threads at a time."""

    def __init__(self, database: Path, life: str) -> None:
        """Raises OSError."""
        self._directory = directory_of(database)
        self._prefix = f"{life}-"
        make_directories(self._directory)
        if not os.access(self._directory, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self._directory))

    def write(
        self, text: bytes | memoryview, *, meanwhile: Callable[[], None] = lambda: None
    ) -> str:
        """A new file, on disk for good when this returns its name. While the disk is at work,
        `meanwhile` is called. Raises NoSpace and StoreError: then nothing is left of it."""
        name = self._prefix + secrets.token_hex(8)
        path = self._directory / name
        try:
            try:
                descriptor = _create(path)
            except FileNotFoundError:  # somebody has removed the directory
                make_directories(self._directory)
                descriptor = _create(path)
            try:
                durable.write(descriptor, memoryview(text), meanwhile=meanwhile)
            finally:
                os.close(descriptor)
            sync(self._directory)
        except OSError as error:
            self.remove([name])
            if disk.is_no_room(error):
                raise disk.no_space(str(path), "a large value") from error
            raise StoreError(
                f"the file {path} of a large value cannot be written: {error.strerror}",
                path=str(path),
                problem=str(error),
            ) from error
        return name

    def read(self, name: str, size_bytes: int) -> memoryview:
        """Raises LostValue."""
        return read(self._directory, name, size_bytes)

    def has(self, name: str, size_bytes: int) -> bool:
        """Whether it can be read, as far as can be told without reading it."""
        try:
            descriptor = os.open(self._directory / name, _READ)
        except OSError:
            return False
        try:
            return os.fstat(descriptor).st_size == size_bytes
        finally:
            os.close(descriptor)

    def remove(self, names: Iterable[str]) -> None:
        """What cannot be removed is, when the database is opened the next time."""
        for name in names:
            with contextlib.suppress(OSError):
                (self._directory / name).unlink()

    def let_go(self, name: str) -> None:
        """There is a newer revision: the kernel need not have this one in memory any more."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._directory / name, _READ)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)

    def found(self) -> set[str]:
        """The names of all files that are there. Raises OSError."""
        return set(os.listdir(self._directory))

    def is_own(self, name: str) -> bool:
        """It was written in this life."""
        return name.startswith(self._prefix)

    @contextlib.contextmanager
    def with_files(
        self, records: Sequence[Record], lacking: Sequence[SaveValue]
    ) -> Iterator[Sequence[Record]]:
        """The records, with a file for each of those that lack one. Files made here go again if the
        block says that there is no room, and nothing was done. Raises NoSpace and StoreError."""
        written: list[str] = []

        def with_file(record: Record) -> Record:
            if type(record) is not SaveValue or not _lacks_file(record.value):
                return record
            written.append(self.write(record.value.text))
            value = msgspec.structs.replace(record.value, file=written[-1])
            return msgspec.structs.replace(record, value=value)

        try:
            yield [with_file(record) for record in records] if lacking else records
        except NoSpace:  # after another error only the next who opens the database knows
            self.remove(written)
            raise


def is_large(value: Value) -> bool:
    return len(value.text) >= LARGE_BYTES


def lacking_files(records: Sequence[Record]) -> list[SaveValue]:
    """Those of large values that are in no file yet."""
    return [r for r in records if type(r) is SaveValue and _lacks_file(r.value)]


def _lacks_file(value: Value) -> bool:
    return value.file is None and is_large(value)


def read(directory: Path, name: str, size_bytes: int) -> memoryview:
    """The value in a file. Raises LostValue."""
    path = directory / Path(name).name
    try:
        descriptor = os.open(path, _READ)
        try:
            found = os.fstat(descriptor).st_size
            if found != size_bytes:
                raise _lost(path, f"has {found} bytes and should have {size_bytes}")
            held = used_block(size_bytes)
            left = memoryview(held)[:size_bytes]
            while left:
                count = os.readv(descriptor, [left])
                if not count:
                    raise _lost(path, "became smaller while it was read")
                left = left[count:]
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise _lost(path, "is not there") from None
    except OSError as error:
        raise _lost(path, f"cannot be read ({error.strerror})") from error
    if held.find(b"\0", 0, size_bytes) >= 0:  # it would be the end of a message
        raise _lost(path, "has been overwritten")
    return memoryview(held)[:size_bytes]


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _lost(path: Path, problem: str) -> LostValue:
    return LostValue(
        f"the file {path} of a large value {problem}; put it back, or store the value again",
        path=str(path),
        problem=problem,
    )


def former_file(connection: sqlite3.Connection, key: DataKey) -> str | None:
    """Of the revision before the newest, if it has one."""
    row = connection.execute(
        "SELECT f.name FROM user_data d JOIN revision r ON r.key = d.newest"
        " JOIN value_file f ON f.revision_key = r.previous WHERE d.key = ?",
        (key,),
    ).fetchone()
    return None if row is None else str(row[0])


def may_have_files(connection: sqlite3.Connection) -> bool:
    """Not if it is of an older torcd."""
    row = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'value_file'").fetchone()
    return row is not None


def known_files(connection: sqlite3.Connection) -> dict[str, bool]:
    """Those that some row names, and of each whether its workflow is still there."""
    rows = connection.execute(
        "SELECT f.name, max(w.deleted_at IS NULL) FROM value_file f"
        " JOIN revision r ON r.key = f.revision_key JOIN user_data d ON d.key = r.data_key"
        " JOIN workflow w ON w.key = d.workflow_key GROUP BY f.name"
    )
    return {name: bool(is_there) for name, is_there in rows}


def life_of(connection: sqlite3.Connection) -> str:
    (life,) = connection.execute("SELECT life FROM meta").fetchone()
    return str(life)


def begin_life(connection: sqlite3.Connection, *, anew: bool) -> None:
    """Unless there is one, or `anew`."""
    condition = "" if anew else " WHERE life IS NULL"
    connection.execute(f"UPDATE meta SET life = ?{condition}", (secrets.token_hex(8),))
