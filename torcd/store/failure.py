"""What to say when SQLite says no: which file, what is wrong, what to do about it."""

import sqlite3
from pathlib import Path

from torcd import disk
from torcd.errors import NoSpace, StoreError

_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another program has it locked; close that program and try again",
    sqlite3.SQLITE_LOCKED: "another program has it locked; close that program and try again",
    sqlite3.SQLITE_NOTADB: "it is not a database; move it away, or name another state directory",
    sqlite3.SQLITE_CORRUPT: "it is damaged; put a backup in its place, or move it away to start "
    "with an empty one",
    sqlite3.SQLITE_READONLY: "it may not be written; check its owner and mode, and those of its "
    "directory",
    sqlite3.SQLITE_PERM: "it may not be opened; check its owner and mode",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the owner and mode of it and of its "
    "directory",
    sqlite3.SQLITE_IOERR: "the disk failed; see the kernel's log",
}


_PROBE_BYTES = 64 << 10
"""More than SQLite asks for at a time, for its log or what it shares between connections."""


def store_error(path: Path, doing: str, error: Exception) -> StoreError | NoSpace:
    """The error for `error`, which came while `doing` (a phrase: "open", "write to")."""
    # The low byte is the kind of failure, the rest says where in SQLite it was.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if _is_no_room(path, code, error):
        return disk.no_space(str(path), "the database")
    remedy = _REMEDIES.get(code)
    problem = f"{type(error).__name__}: {error}"
    if remedy is not None:
        explanation = f"{remedy} ({error})"
    elif isinstance(error, OSError):
        explanation = f"{error}; name another state directory, or mend this one"
    else:
        explanation = problem
    return StoreError(
        f"cannot {doing} the database {path}: {explanation}", path=str(path), problem=problem
    )


def _is_no_room(path: Path, code: int, error: Exception) -> bool:
    if code == sqlite3.SQLITE_FULL or disk.is_no_room(error):
        return True
    # SQLite says FULL where a write said ENOSPC. A quota, and what else it needs (files beside the
    # database, memory that it shares), it reports as a disk that fails; so the disk is asked.
    may_be = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    return may_be and not disk.has_room(str(path.parent), _PROBE_BYTES)
