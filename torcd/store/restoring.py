"""A backup takes the place of the database.

What was done since the backup was made is not in it. So that nothing is done twice without anybody
having asked for it, and no key is used twice:

* counting goes on where the database that is replaced has come to, as the mark tells;
* attempts that were active in the backup are marked as of no boot of this machine: the daemon
  takes them for lost, and does not start them again;
* workflows that were not over are paused, until somebody looks at them and says `resume`.

What stood in the place stays, as `torcd.db-replaced-1`, with its log and its large values: those of
the backup are in it, so the files of the others would go. Whatever is cut short: either the old one
is still in its place, or the new one is, or the daemon refuses what it finds and this can be done
again.
"""

import contextlib
import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec

from torcd.errors import StoreError
from torcd.model import WorkflowKey
from torcd.store.backup import copy_of
from torcd.store.copying import remove_unfinished
from torcd.store.durable import beside, size_of, sync
from torcd.store.failure import store_error
from torcd.store.lock import sole_writer
from torcd.store.mark import Mark, read_mark
from torcd.store.recognition import log_of
from torcd.store.schema import open_database, open_reader
from torcd.store.store import mark_as_newest
from torcd.store.value_files import directory_of

NO_BOOT = "restored"
"""Stands for the boot of the machine in which attempts of a backup were made."""


class Restored(msgspec.Struct, frozen=True):
    paused: tuple[WorkflowKey, ...]
    """Workflows that are not over, and go on when they are resumed."""
    lost: int
    """Attempts that were active."""
    replaced: Path | None
    """What stood in its place is there now."""


def restore(source: Path, path: Path, *, newest_attempt: Callable[[], int] = lambda: 0) -> Restored:
    """Have a copy of `source`, which may be the file in the place itself, be the database `path`.

    `newest_attempt` is called when no daemon can be at work: it gives the highest key that the
    executor knows, and raises TorcError if anything still runs. Raises StoreError too.
    """
    with sole_writer(path):
        newest = newest_attempt()
        try:
            remove_unfinished(path)
            mark = _readable_mark(path)
            with copy_of(source, path.parent, path.name) as copy:
                paused, lost = _prepare(copy, mark, newest)
                replaced, values = _put_aside(path)
                os.replace(copy, path)
                sync(path.parent)
            for file in values:  # they have another name by now
                file.unlink(missing_ok=True)
        except OSError as error:
            raise store_error(path, "replace", error) from error
        with contextlib.closing(open_reader(path)) as reader:
            mark_as_newest(path, reader)  # the mark may be of another database, which is refused
        connection, _ = open_database(path)
        with contextlib.closing(connection):
            mark_as_newest(path, connection)
    return Restored(paused, lost, replaced)


def _readable_mark(path: Path) -> Mark | None:
    try:
        return read_mark(path)
    except StoreError:  # it is damaged, and replaced in the end
        return None


def _prepare(
    copy: Path, mark: Mark | None, newest_attempt: int
) -> tuple[tuple[WorkflowKey, ...], int]:
    connection, _ = open_database(copy, keeps_former=False)
    with contextlib.closing(connection):
        try:
            connection.execute("BEGIN IMMEDIATE")
            if mark is not None:
                counted = mark.counters
                connection.execute(
                    "UPDATE meta SET next_key = max(next_key, ?),"
                    " next_attempt_key = max(next_attempt_key, ?),"
                    " next_event_number = max(next_event_number, ?),"
                    " commits = max(commits, ?) + 1",
                    msgspec.structs.astuple(counted),
                )
            connection.execute(
                "UPDATE meta SET next_attempt_key = max(next_attempt_key, ?)", (newest_attempt + 1,)
            )
            paused = connection.execute(
                "UPDATE workflow SET status = 'paused' WHERE status IN ('running', 'paused')"
                " RETURNING key"
            ).fetchall()
            connection.execute("INSERT OR IGNORE INTO boot (boot_id) VALUES (?)", (NO_BOOT,))
            lost = connection.execute(
                "UPDATE attempt SET boot_key = (SELECT key FROM boot WHERE boot_id = ?)"
                " WHERE ended_at IS NULL",
                (NO_BOOT,),
            ).rowcount
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            raise store_error(copy, "write to", error) from error
    sync(copy)
    return tuple(sorted(WorkflowKey(key) for (key,) in paused)), lost


def _put_aside(path: Path) -> tuple[Path | None, list[Path]]:
    """Give what stands in the place another name; the old name stays too until it is replaced.
    Returns the new name, and the files of large values that are there as well."""
    has_log = size_of(log_of(path)) > 0
    values = _files_in(directory_of(path))
    if not path.exists() and not has_log and not values:
        return None, []
    aside = next(
        name
        for n in itertools.count(1)
        if not (name := beside(path, f"-replaced-{n}")).exists()
        and not log_of(name).exists()
        and not directory_of(name).exists()
    )
    if values:
        _put_values_aside(values, directory_of(aside))
    if path.exists():
        os.link(path, aside)
    if has_log:
        os.rename(log_of(path), log_of(aside))
    for suffix in ("-wal", "-shm"):
        beside(path, suffix).unlink(missing_ok=True)
    sync(path.parent)
    return aside if path.exists() or has_log else directory_of(aside), values


def _files_in(directory: Path) -> list[Path]:
    return [file for file in directory.iterdir() if file.is_file()] if directory.is_dir() else []


def _put_values_aside(files: list[Path], target: Path) -> None:
    """All of them are there when the directory has its name."""
    part = target.with_name(f".{target.name}.part")
    part.mkdir(mode=0o700)
    try:
        for file in files:
            try:
                os.link(file, part / file.name)
            except OSError:  # the directory is a link to another disk, or that has no hard links
                shutil.copy2(file, part / file.name)
                sync(part / file.name)
        sync(part)
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
