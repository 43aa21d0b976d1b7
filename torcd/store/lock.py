"""One torcd at a time: a lock beside the database, held while it is open for writing.

SQLite's own locks don't do: two daemons could take turns at writing, each with its own idea of
the world in memory. The lock is the kernel's, so it is gone with its holder, however that ends.
The file stays; removing it would let two processes hold locks on two files of one name.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from torcd.errors import StoreError
from torcd.store.durable import beside, make_directories
from torcd.store.failure import store_error


def _holder(descriptor: int) -> tuple[str, str]:
    """Who has the lock, and how to end it should its socket be gone; empty if it has not said."""
    text = os.pread(descriptor, 32, 0).strip()
    if not text.isdigit():
        return "", ""
    pid = int(text)
    return f" (pid {pid})", f", or kill {pid} if it answers no more"


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Nobody else is inside this block for the same database. StoreError if somebody is."""
    lock = beside(path, "-lock")
    try:
        make_directories(path.parent)
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise store_error(path, "lock", error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid, or_kill = _holder(descriptor)
            raise StoreError(
                f"cannot open the database {path}: another torcd is using it{pid}; stop that one "
                f"first (torcctl daemon stop{or_kill}), or name another state directory",
                path=str(path),
                problem="in use",
            ) from error
        with suppress(OSError):  # a full disk: then nobody is told
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            os.ftruncate(descriptor, len(f"{os.getpid()}\n"))
        yield
    finally:
        os.close(descriptor)
