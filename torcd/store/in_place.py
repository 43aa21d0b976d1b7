"""Files beside the database that are written in place where the file system would copy (btrfs).

A page of a file that is written again somewhere else takes room, and on a full disk there is none.
The memory that connections share (`torcd.db-shm`, which is mapped, and written to by each read) can
be refused it in one way only: the process is killed (SIGBUS). The log (`torcd.db-wal`) would find
the blocks that are kept for it (`torcd.store.reserve`) not to be used. So both are made here,
before SQLite would make them, and marked to be written in place.

Where a quota of btrfs is full this does not help: it counts even what is written in place.
"""

import fcntl
import os
import struct
from pathlib import Path

from torcd.store.durable import beside

_FS_IOC_SETFLAGS = 0x4008_6602
_FS_NOCOW_FL = 0x0080_0000


def write_in_place(path: Path) -> None:
    """Before the database `path` is opened. Where nothing is copied, it leaves nothing behind.
    Raises OSError."""
    for suffix in ("-shm", "-wal"):
        _make_in_place(beside(path, suffix))


def _make_in_place(file: Path) -> None:
    """Under a name of its own first: another program that has the database open must never have
    found a file there that is gone a moment later."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("l", _FS_NOCOW_FL))
        os.link(fresh, file)
    except OSError:
        pass  # nothing is copied here; or it is there, left by a daemon that was killed
    finally:
        os.close(descriptor)
        fresh.unlink()
