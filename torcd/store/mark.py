"""How far the database has come, said beside it: so an older copy in its place is found out.

Keys must never be used twice, and nothing may run twice. A database that was put back to a copy
knows neither what was done since the copy was made nor which keys were given since. Nothing in the
copy shows that, so it is written outside: in `torcd.db-mark`, one short line, replaced in place
after every commit.

It is written after the commit, so it is never ahead of the database that it belongs to, whatever
is killed. It is not synced (a second sync would double the price of a commit): it survives the
daemon, and a power cut may take back its last seconds, which makes it less sharp and never wrong.
A line is shorter than a sector, so no power cut leaves half of it.
"""

import contextlib
import hashlib
import os
import zlib
from pathlib import Path

import msgspec

from torcd import __version__
from torcd.errors import StoreError
from torcd.store.durable import beside, sync
from torcd.store.rows import Counters

LINE_BYTES = 512
"""A sector: disks write it whole."""

_TRIES = 20
"""A reader beside a running daemon may meet a line that is just being replaced."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Which file it is, and whether it has been written since."""

    device: int
    inode: int
    size: int
    modified: int
    """In nanoseconds."""

    @classmethod
    def of(cls, path: Path | str) -> "Place":
        facts = os.stat(path)
        return cls(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)

    def is_same_file(self, other: "Place") -> bool:
        return self.inode == other.inode and self.device == other.device


class Mark(msgspec.Struct, frozen=True):
    database: str
    """Tells databases apart (`identity`)."""
    counters: Counters
    file: Place
    """The database's file after the last commit."""
    inode: int
    """The mark's own: another one shows that the whole directory is a copy."""
    boot: str
    """The boot of the machine in which it was written: a power cut may take back the date of a
    file that it left otherwise alone."""
    torcd: str | None = None
    """The version that wrote it. None: it is older than this field."""


def identity(secret: bytes) -> str:
    """A name for a database that says nothing of its secret."""
    return hashlib.sha256(b"torcd database\0" + secret).hexdigest()[:32]


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def mark_of(path: Path) -> Path:
    return beside(path, "-mark")


def read_mark(path: Path) -> Mark | None:
    """The mark of the database `path`; None: there is none. Raises StoreError, OSError."""
    mark = mark_of(path)
    problem: Exception | None = None
    for _ in range(_TRIES):
        try:
            return _decoded(mark.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, msgspec.MsgspecError) as error:
            problem = error
    raise StoreError(
        f"cannot open the database {path}: {mark} is damaged, which tells whether {path.name} is "
        f"the newest there was; if nobody has put another file in its place, remove {mark.name} "
        "and start again",
        path=str(path),
        problem=f"damaged mark: {problem}",
    )


def is_of_a_copied_directory(path: Path, mark: Mark) -> bool:
    return mark_of(path).stat().st_ino != mark.inode


_encode = msgspec.json.Encoder().encode
_LINE = b"%%08x %%-%db\n" % (LINE_BYTES - len("01234567 \n"))


def _encoded(mark: Mark) -> bytes:
    text = _encode(mark)
    line = _LINE % (zlib.crc32(text), text)
    assert len(line) == LINE_BYTES
    return line


def _decoded(line: bytes) -> Mark:
    check, _, text = line.rstrip().partition(b" ")
    if int(check, 16) != zlib.crc32(text):
        raise ValueError("its checksum is wrong")
    return msgspec.json.decode(text, type=Mark)


class MarkWriter:
    """Writes the mark of a database that is open. Raises OSError when it cannot begin."""

    def __init__(self, path: Path, secret: bytes, counters: Counters) -> None:
        self._database = identity(secret)
        self._boot = boot_id()
        fresh = beside(path, "-mark.new")
        self._descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._inode = os.fstat(self._descriptor).st_ino
            self.file = Place.of(path)
            """The database's, as it was."""
            os.pwrite(self._descriptor, self._line(counters, self.file), 0)
            os.fsync(self._descriptor)
            os.replace(fresh, mark_of(path))
            sync(path.parent)
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, counters: Counters, place: Place) -> None:
        """After a commit, which has left the database's file like that. That this fails is no
        reason to end: the mark is only less sharp."""
        try:  # noqa: SIM105 - with each commit
            os.pwrite(self._descriptor, self._line(counters, place), 0)
        except OSError:
            pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)

    def _line(self, counters: Counters, place: Place) -> bytes:
        mark = Mark(self._database, counters, place, self._inode, self._boot, __version__)
        return _encoded(mark)
