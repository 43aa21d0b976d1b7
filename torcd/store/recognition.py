"""What stands where the database should: found out before anything is written.

First the file as such (`check_file`), then what is in it, through a connection that cannot write
(`check_content`). A database is known as torcd's by SQLite's `application_id`; its `user_version`
is the number of the last migration applied to it. Whether it is the newest there was is told by
the mark beside it (`torcd.store.mark`): an older copy is refused, for what was done since it was
made would be done again, and keys given since would be given twice.

SQLite itself does not notice a log that belongs to another file: it would mix the pages of both.
The mark knows the file that the log was written for.
"""

import sqlite3
import stat
from pathlib import Path

from torcd import __version__
from torcd.errors import StoreError
from torcd.store.durable import beside, size_of
from torcd.store.keeping import formers
from torcd.store.mark import Mark, Place, boot_id, identity, is_of_a_copied_directory
from torcd.store.rows import Counters

APPLICATION_ID = 0x746F7263
"""'torc' in ASCII."""

FIRST_WITH_COMMITS = 4
"""The version of the schema from which on commits are counted."""


def log_of(path: Path) -> Path:
    return beside(path, "-wal")


def is_new(path: Path) -> bool:
    """Whether there is nothing yet: no file, or an empty one."""
    return size_of(path) == 0


def check_file(path: Path, mark: Mark | None) -> None:
    """Raises StoreError if it cannot be a database that torcd may open, and OSError."""
    _check_kind(path)
    has_log = size_of(log_of(path)) > 0
    if is_new(path):
        # SQLite throws the log of an empty database away; here it is all that is left of it.
        if has_log:
            raise _refusal(
                path,
                f"it is {'empty' if path.exists() else 'gone'}, but its log {path.name}-wal is "
                "not; put it back, or restore a backup (torcd restore FILE), or move the log "
                "away to start with an empty one",
                "truncated",
            )
        if mark is not None and path.exists():
            raise _refusal(
                path,
                "it is empty, and it was not; restore a backup (torcd restore FILE), or move it "
                "away to start with an empty one",
                "truncated",
            )
    elif (
        mark is not None
        and has_log
        and not is_of_a_copied_directory(path, mark)
        and not Place.of(path).is_same_file(mark.file)
    ):
        raise _foreign_log(path)


def _check_kind(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise _refusal(
            path,
            "there is a directory in its place; move it away, or name another state directory",
            "is a directory",
        )
    if stat.S_ISLNK(mode):
        # Its lock, its log and its mark are beside its name, and a second name would have others.
        raise _refusal(
            path,
            f"it is a symbolic link to {path.readlink()}; make the state directory a link, or "
            "name another one, but leave the database a file",
            "is a symbolic link",
        )
    if not stat.S_ISREG(mode):
        raise _refusal(
            path,
            "there is something in its place that is no regular file; move it away, or name "
            "another state directory",
            "is no regular file",
        )


def check_content(
    connection: sqlite3.Connection, path: Path, mark: Mark | None, newest_version: int
) -> int:
    """The version of its schema; 0: it is new. Raises StoreError, and sqlite3.Error."""
    version = schema_version(connection, path)
    if version > newest_version:
        raise _from_a_newer_torcd(path, mark, version, newest_version)
    if mark is not None and version:
        _check_age(connection, path, mark, version)
        place = Place.of(path)
        if size_of(log_of(path)) and place != mark.file:
            # Killed in the middle of a checkpoint, or replaced in place. A checkpoint makes the
            # file newer and never smaller; beyond that only the pages themselves can tell.
            is_rewritten = (
                (place.size < mark.file.size or place.modified < mark.file.modified)
                and mark.boot == boot_id()
                and not is_of_a_copied_directory(path, mark)
            )
            if is_rewritten or not _is_sound(connection):
                raise _foreign_log(path)
    return version


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """0: it is new. StoreError if it is not torcd's."""
    application_id = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if application_id != APPLICATION_ID:
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application_id or version or objects:
            raise _refusal(
                path,
                "it belongs to another program; move it away, or name another state directory",
                "not a database of torcd",
            )
    return version


def _from_a_newer_torcd(
    path: Path, mark: Mark | None, version: int, newest_version: int
) -> StoreError:
    newer = "that one"
    if mark is not None and mark.torcd not in (None, __version__):
        newer = f"torcd {mark.torcd}"
    back = "restore a backup from before (torcd restore FILE)"
    readable = [former for former in formers(path) if former.schema <= newest_version]
    if readable:
        former = readable[-1]
        writer = f", written by torcd {former.torcd}" if former.torcd else ""
        back = (
            "go back to the database from before that upgrade, without what was done since: torcd "
            f"restore {former.path} (its schema has version {former.schema}{writer})"
        )
    return _refusal(
        path,
        f"it was written by a newer torcd (its schema has version {version}, this torcd knows "
        f"{newest_version}); install {newer} again, or {back}",
        "from a newer torcd",
    )


def _check_age(connection: sqlite3.Connection, path: Path, mark: Mark, version: int) -> None:
    counted = "commits" if version >= FIRST_WITH_COMMITS else "0"
    secret, *counters = connection.execute(
        f"SELECT secret, next_key, next_attempt_key, next_event_number, {counted} FROM meta"
    ).fetchone()
    if identity(secret) != mark.database:
        raise _refusal(
            path,
            "it is not the one that this state directory was used with; put that one back, or, to "
            f"go on with this one, run: torcd restore {path}",
            "another database",
        )
    found = Counters(*counters)
    if found.is_behind(mark.counters):
        log = "" if size_of(log_of(path)) else f", or its log {path.name}-wal was taken away"
        raise _refusal(
            path,
            f"it is an older copy{log}: it was written to {found.commits} times, and torcd has "
            f"written to it {mark.counters.commits} times. Jobs that ran since would run again. "
            "Put the newest one back, with its log; or, if that is lost, have this one take its "
            f"place: torcd restore {path}",
            "an older copy",
        )


def _is_sound(connection: sqlite3.Connection) -> bool:
    """Whether file and log fit together, as far as the pages tell."""
    try:
        return (
            connection.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)]
            and connection.execute("PRAGMA foreign_key_check").fetchone() is None
        )
    except sqlite3.DatabaseError:
        return False


def _foreign_log(path: Path) -> StoreError:
    return _refusal(
        path,
        f"its log {path.name}-wal was written for another file: the database was replaced while "
        "the log stayed. Put the newest database back; or, if that is lost, move the log away and "
        f"have this one take its place: torcd restore {path}",
        "a foreign log",
    )


def _refusal(path: Path, explanation: str, problem: str) -> StoreError:
    return StoreError(
        f"cannot open the database {path}: {explanation}", path=str(path), problem=problem
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
