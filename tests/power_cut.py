"""A disk that can lose its power, under the real store.

SQLite reaches the disk through a VFS, and APSW lets one be written in Python. `Recorder` is one: it
carries everything out on real files, so that the store under test lives, and notes each write,
truncation, sync, creation and deletion, with the store's acknowledgements between them. From these
notes `Disk` can say what could be left if the power had gone at any point:

* of a file: all that was written before its last sync, and of what was written since any part:
  each sector of each write is there or not, whatever its neighbours and whatever came later
  (torn and reordered), and each truncation has been done or not;
* of a directory: the names as of its last sync, and of the changes since any part;
* of the directory with the files of large values the same, and nothing if its own name is gone;
* the mark beside the database, which is not synced: any of the last ones, or none.

What runs is the store's own code: `Store.open`, `Store.commit`, its SQL, its pragmas, its threads.
Only the copy of SQLite below it is APSW's, for Python's own has no way to take a VFS: `connect`
replaces the one function of the store that connects. What is left over is opened again with
Python's own SQLite.

SQLite's own VFS syncs the directory on its own account, out of our sight, with the first sync of a
journal or log that it made (UNIXFILE_DIRSYNC in its os_unix.c); this is noted as it would do it.
What torcd itself syncs is seen in `os.fsync`: directories, and files of large values. What one of
those has before it is synced for the first time is as good as nothing: so it is noted only then.
"""

import contextlib
import os
import random
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from torcd.store import schema

SECTOR_BYTES = 512

VFS = "torcd-power-cut"

VALUES = "torcd.db-values"
"""The directory with the files of large values."""


# What is noted


class Created(msgspec.Struct, frozen=True):
    """A name in the directory, for a new and empty file."""

    file: int
    name: str


class Deleted(msgspec.Struct, frozen=True):
    name: str


class Written(msgspec.Struct, frozen=True):
    file: int
    offset: int
    data: bytes


class Truncated(msgspec.Struct, frozen=True):
    file: int
    size: int


class Synced(msgspec.Struct, frozen=True):
    file: int


class DirectorySynced(msgspec.Struct, frozen=True):
    values: bool = False
    """It is that of large values."""


class Acknowledged(msgspec.Struct, frozen=True):
    """The store said that this is on disk for good."""

    what: Any


class Marked(msgspec.Struct, frozen=True):
    """What the mark beside the database is now."""

    line: bytes


Note = Created | Deleted | Written | Truncated | Synced | DirectorySynced | Acknowledged | Marked


class Recorder:
    """Notes what happens to the files of one directory, from `start` files on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.notes: list[Note] = []
        self._files: dict[str, int] = {}
        """Numbers of the files that have a name now."""
        self._count = 0
        for file in sorted(self.directory.iterdir()):
            # What is there at the start is on disk.
            if file.is_dir():
                self.created(file.name)
                for value in sorted(file.iterdir()):
                    self._synced_value(value)
            elif file.suffix == ".db" or ".db-" in file.name:
                self._synced_value(file)
        self.notes += [DirectorySynced(), DirectorySynced(values=True)]
        self.begin = len(self.notes)
        """How many notes tell only what was there."""

    def created(self, name: str) -> int:
        self._count += 1
        self._files[name] = self._count
        self.notes.append(Created(self._count, name))
        return self._count

    def _synced_value(self, file: Path) -> None:
        number = self.created(str(file.relative_to(self.directory)))
        self.notes += [Written(number, 0, file.read_bytes()), Synced(number)]

    def number(self, name: str) -> int:
        return self._files[name] if name in self._files else self.created(name)

    def deleted(self, name: str) -> None:
        if self._files.pop(name, None) is not None:
            self.notes.append(Deleted(name))

    def acknowledge(self, what: list[Any]) -> None:
        self.notes.append(Marked((self.directory / "torcd.db-mark").read_bytes()))
        self.notes += map(Acknowledged, what)

    @contextmanager
    def installed(self, synchronous: str = "FULL") -> Iterator[None]:
        """The store's files are on this disk. `synchronous`: what becomes of that pragma."""
        real_connect, real_fsync = schema._connect, os.fsync
        vfs = _Vfs(self)

        def fsync(descriptor: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if path == self.directory:
                # What torcd made itself has a name by now, and SQLite has not opened it yet.
                for name in ("torcd.db", VALUES):
                    if (self.directory / name).exists():
                        self.number(name)
                self.notes.append(DirectorySynced())
            elif path == self.directory / VALUES:
                self.notes.append(DirectorySynced(values=True))
            elif path.parent == self.directory / VALUES:
                self._synced_value(path)

        def connect(path: Path, *, read_only: bool = False, immutable: bool = False) -> _Connection:
            assert not immutable
            return _Connection(path, read_only=read_only, synchronous=synchronous)

        schema._connect, os.fsync = connect, fsync  # type: ignore[assignment]
        try:
            yield
        finally:
            schema._connect, os.fsync = real_connect, real_fsync
            vfs.unregister()


class _Vfs(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        super().__init__(VFS, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _File(self._recorder, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, False)
        self._recorder.deleted(Path(filename).name)
        if syncdir:
            self._recorder.notes.append(DirectorySynced())


class _File(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._notes = recorder.notes
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        known = path.name in recorder._files
        self._number = recorder.number(path.name)
        is_journal = flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL)
        self._syncs_directory = bool(is_journal) and not known

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._notes.append(Written(self._number, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._notes.append(Truncated(self._number, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._notes.append(Synced(self._number))
        if self._syncs_directory:
            self._syncs_directory = False
            self._notes.append(DirectorySynced())


# The store's connections, on that VFS


class _Cursor:
    """The part of sqlite3.Cursor that the store uses."""

    def __init__(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        self._cursor = cursor
        self.lastrowid = connection.last_insert_rowid()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()


class _Connection:
    """The part of sqlite3.Connection that the store uses."""

    def __init__(self, path: Path, *, read_only: bool, synchronous: str) -> None:
        self._synchronous = synchronous
        self._read_only = read_only
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
        self._connection = apsw.Connection(str(path), flags=flags, vfs=VFS)

    def execute(self, sql: str, values: Any = ()) -> _Cursor:
        sql = sql.replace("PRAGMA synchronous = FULL", f"PRAGMA synchronous = {self._synchronous}")
        with _as_sqlite3_says():
            return _Cursor(self._connection, self._connection.execute(sql, values))

    def executemany(self, sql: str, rows: Iterable[Any]) -> _Cursor:
        with _as_sqlite3_says():
            return _Cursor(self._connection, self._connection.executemany(sql, rows))

    def executescript(self, script: str) -> None:
        with _as_sqlite3_says():
            self._connection.execute(script)

    def backup(self, target: sqlite3.Connection) -> None:
        """Into a file of its own, past the recorder: nothing that is read again hangs on it."""
        (_, _, path) = target.execute("PRAGMA database_list").fetchone()
        with (
            contextlib.closing(apsw.Connection(path)) as copy,
            copy.backup("main", self._connection, "main") as backup,
        ):
            while not backup.done:
                backup.step()

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def close(self) -> None:
        try:
            self._connection.close()
        except apsw.IOError:
            # SQLite asks for an exclusive lock in passing, and does not mind not to get it on a
            # file that is open for reading; APSW passes on all that its files say.
            if not self._read_only:
                raise


@contextmanager
def _as_sqlite3_says() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise sqlite3.DatabaseError(str(error)) from error


# What is left


class _Content:
    """A file: what is safe, and what has been done since."""

    def __init__(self) -> None:
        self.safe = bytearray()
        self.pending: list[Written | Truncated] = []

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.safe, change)
        self.pending.clear()

    def left_over(self, dice: random.Random, share: float) -> bytearray:
        """`share`: how likely each sector is to have come through."""
        left = bytearray(self.safe)
        for change in self.pending:
            if isinstance(change, Truncated):
                if dice.random() < share:
                    _apply(left, change)
                continue
            begin = change.offset
            end = begin + len(change.data)
            while begin < end:
                until = min(end, (begin // SECTOR_BYTES + 1) * SECTOR_BYTES)
                if dice.random() < share:
                    part = change.data[begin - change.offset : until - change.offset]
                    _apply(left, Written(change.file, begin, part))
                begin = until
        return left


def _apply(content: bytearray, change: Written | Truncated) -> None:
    if isinstance(change, Truncated):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    if len(content) < change.offset:
        content.extend(bytes(change.offset - len(content)))
    content[change.offset : change.offset + len(change.data)] = change.data


def _is_of_a_value(name: str) -> bool:
    return name.startswith(f"{VALUES}/")


MARKS = 30
"""How many marks back one may be left."""

SHARES = (0.0, 0.02, 0.5, 0.98, 1.0)
"""From a disk that wrote nothing it was not made to write, to one that lost a sector or two."""


class Disk:
    """Replays notes, and says what a power cut would leave."""

    def __init__(self, *, marks: bool = True) -> None:
        self.acknowledged: list[Any] = []
        self._contents: dict[int, _Content] = {}
        self._safe_names: dict[str, int] = {}
        self._pending_names: list[Created | Deleted] = []
        self._marks: deque[bytes] = deque(maxlen=MARKS if marks else 0)

    def take(self, note: Note) -> None:
        match note:
            case Created():
                self._contents[note.file] = _Content()
                self._pending_names.append(note)
            case Deleted():
                self._pending_names.append(note)
            case Written() | Truncated():
                self._contents[note.file].pending.append(note)
            case Synced():
                self._contents[note.file].sync()
            case DirectorySynced():
                theirs = [c for c in self._pending_names if _is_of_a_value(c.name) is note.values]
                self._safe_names = self._names(theirs)
                self._pending_names = [c for c in self._pending_names if c not in theirs]
            case Marked():
                self._marks.append(note.line)
            case Acknowledged():
                self.acknowledged.append(note.what)

    def cut(self, directory: Path, dice: random.Random) -> None:
        """Put into an empty directory what is left."""
        share = dice.choice(SHARES)
        kept = [change for change in self._pending_names if dice.random() < dice.choice(SHARES)]
        names = self._names(kept)
        if names.pop(VALUES, None) is not None:
            (directory / VALUES).mkdir(mode=0o700)
        for name, number in names.items():
            if _is_of_a_value(name) and not (directory / VALUES).is_dir():
                continue
            left = self._contents[number].left_over(dice, share)
            (directory / name).write_bytes(left)
        if self._marks and dice.random() < 0.9:
            (directory / "torcd.db-mark").write_bytes(dice.choice(self._marks))

    def _names(self, changes: list[Created | Deleted]) -> dict[str, int]:
        names = dict(self._safe_names)
        for change in changes:
            if isinstance(change, Created):
                names[change.name] = change.file
            else:
                names.pop(change.name, None)
        return names
