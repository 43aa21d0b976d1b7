"""Files and directories that are still there after a power cut.

What is in a file is on disk once the file has been synced; that it has a name, once the directory
has. POSIX promises nothing about names before that, and the database's own syncs do not cover the
directories above it.
"""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have a file's content, or a directory's names, on disk for good."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
