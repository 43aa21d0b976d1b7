"""Files and directories that are still there after a power cut.

What is in a file is on disk once the file has been synced; that it has a name, once the directory
has. POSIX promises nothing about names before that, and the database's own syncs do not cover the
directories above it.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

_PIECE_BYTES = 1 << 20

_SYNC_FILE_RANGE_WRITE = 2
_sync_file_range = ctypes.CDLL(None).sync_file_range
_sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def sync(path: Path) -> None:
    """Have a file's content, or a directory's names, on disk for good."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(
    descriptor: int, content: memoryview, *, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """All of it into a file that is empty, on disk for good when this returns. The disk is at work
    on the first pieces while the next ones are copied, and last while `meanwhile` is called. Raises
    OSError."""
    at = 0
    while at < content.nbytes:
        count = os.write(descriptor, content[at : at + _PIECE_BYTES])
        # That it fails does not matter: the sync does all.
        _sync_file_range(descriptor, at, count, _SYNC_FILE_RANGE_WRITE)
        at += count
    meanwhile()
    os.fsync(descriptor)


def make_directories(path: Path) -> None:
    """Make a directory for its owner alone, and those above it that are missing."""
    missing = []
    directory = path
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for directory in reversed(missing):
        sync(directory.parent)


BESIDE = ("-wal", "-shm", "-lock", "-mark")
"""What belongs to a database at work."""


def beside(path: Path, suffix: str) -> Path:
    """The file that belongs to a database: its name and a suffix, as SQLite has it."""
    return path.with_name(path.name + suffix)


def size_of(path: Path) -> int:
    """In bytes; 0 if it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
