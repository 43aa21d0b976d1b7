"""What to say when SQLite says no: which file, what is wrong, what to do about it."""

import sqlite3
from pathlib import Path

from torcd.errors import StoreError

_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another program has it locked; close that program and try again",
    sqlite3.SQLITE_LOCKED: "another program has it locked; close that program and try again",
    sqlite3.SQLITE_NOTADB: "it is not a database; move it away, or name another state directory",
    sqlite3.SQLITE_CORRUPT: "it is damaged; put a backup in its place, or move it away to start "
    "with an empty one",
    sqlite3.SQLITE_FULL: "the disk is full; make room and start torcd again",
    sqlite3.SQLITE_READONLY: "it may not be written; check its owner and mode, and those of its "
    "directory",
    sqlite3.SQLITE_PERM: "it may not be opened; check its owner and mode",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the owner and mode of it and of its "
    "directory",
    sqlite3.SQLITE_IOERR: "the disk failed; see the kernel's log",
}


def store_error(path: Path, doing: str, error: Exception) -> StoreError:
    """The StoreError for `error`, which came while `doing` (a phrase: "open", "write to")."""
    # The low byte is the kind of failure, the rest says where in SQLite it was.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
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
