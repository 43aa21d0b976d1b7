"""The store: one connection that writes, one that reads, each on a thread of its own.

Reads see what has been committed, all of it and nothing else, and neither wait for a commit nor
keep one waiting. Where the disk is quick, small commits are made by the caller's thread
(`torcd.store.pace`), which is that of the loop.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
import msgspec
from anyio import to_thread

from torcd.errors import StoreError
from torcd.model import (
    AttemptKey,
    DataKey,
    Happening,
    Job,
    JobKey,
    KeptSpec,
    Timestamp,
    WorkflowKey,
)
from torcd.scheduler.commands import (
    AddAttempt,
    CreateWorkflow,
    EditWorkflow,
    Record,
    RemoveAttempt,
    SaveAttempt,
    SaveJob,
    SaveValue,
)
from torcd.store import large_commits, loading, pruning, reading, sweeping, writing
from torcd.store.connection import ThreadedConnection, on_its_thread
from torcd.store.failure import store_error
from torcd.store.lock import sole_writer
from torcd.store.mark import MarkWriter
from torcd.store.pace import Pace
from torcd.store.reserve import Reserve
from torcd.store.rows import (
    AttemptRow,
    CommandRow,
    Counters,
    LoadedWorkflow,
    OldAttempt,
    Removable,
    Removed,
    RevisionRow,
    WorkflowRow,
)
from torcd.store.schema import Migrated, open_database, open_reader

T = TypeVar("T")

RECORD_BYTES = 512
"""What a record or a happening takes in the log, about, without values."""

MAX_VALUES_BYTES_IN_PLACE = 96 << 10
"""Of a commit of nothing but values that is made in place: those of 64 clients at once. More takes
longer than the trip to the thread that it would spare."""

MAX_BYTES_IN_PLACE = 8 << 10
"""The same with jobs in it: the ends of two, and what comes after them. Nobody waits for an answer
to more of them, and while the thread is at work the loop decides what comes next."""

MAX_LOG_PAGES_IN_PLACE = 900
"""Beyond this the log is moved into the database first, by the thread. SQLite would do that within
the commit with which the log has come to 1 000 pages, and the others are for one that is made in
place: each row that it writes may be on a page of its own."""

_QUICK = frozenset({SaveValue, SaveJob, AddAttempt, SaveAttempt, RemoveAttempt})
"""Records that take a row or two each, whatever the workflow: those of values and of jobs."""

_VALUES = frozenset({SaveValue})


class Store:
    """What torcd remembers. Use `Store.open`. Every method may raise StoreError."""

    def __init__(
        self,
        path: Path,
        writer: ThreadedConnection,
        reader: ThreadedConnection,
        secret: bytes,
        counters: Counters,
        mark: MarkWriter,
        reserve: Reserve,
        migrated: Migrated,
    ) -> None:
        self._path = path
        self._pace = Pace()
        self._writer = writer
        self._reader = reader
        self._counters = counters
        self._written = counters
        """By what was committed last; of whoever writes."""
        self._mark = mark
        self._reserve = reserve
        self._name = str(path)  # looked at with each commit, and a Path takes longer than the look
        self._place = _place(self._name)
        self.secret = secret
        """32 random bytes, made with the database: what tokens are made from."""
        self.migrated = migrated
        """What was done to it when it was opened."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator["Store"]:
        """Open it, and make or migrate it if need be; open in one place at a time."""
        migrated: list[Migrated] = []

        def connect() -> sqlite3.Connection:
            connection, done = open_database(path)
            migrated.append(done)
            return connection

        with sole_writer(path), contextlib.ExitStack() as closed_last:
            async with (
                on_its_thread(connect) as writer,
                on_its_thread(lambda: open_reader(path)) as reader,
            ):
                try:
                    secret, counters = await reader.call(reading.meta)
                except (sqlite3.Error, TypeError) as error:
                    raise store_error(path, "read", error) from error
                try:
                    reserve = closed_last.enter_context(contextlib.closing(Reserve(path)))
                    with contextlib.suppress(OSError):  # full: the first write says so
                        await to_thread.run_sync(reserve.keep, 0)
                    mark = await to_thread.run_sync(MarkWriter, path, secret, counters)
                except OSError as error:
                    raise store_error(path, "open", error) from error
                with contextlib.closing(mark):
                    yield cls(path, writer, reader, secret, counters, mark, reserve, migrated[0])

    def counters(self) -> Counters:
        """Where counting went on when it was opened."""
        return self._counters

    async def counters_now(self) -> Counters:
        """Where counting goes on, by what is committed."""
        return (await self._read(reading.meta))[1]

    async def commit(
        self,
        records: Sequence[Record],
        happenings: Sequence[Happening],
        *,
        environments: writing.Environments,
        boot_id: str,
        is_urgent: bool = False,
    ) -> None:
        """Write a batch, all of it or nothing; it is on disk for good when this returns.

        Raises NoSpace when there is no room for it: then the database is as it was, and may be
        written to again. What is urgent may take the last room there is (`Reserve`). After a
        StoreError only a restart brings memory and disk together. A caller who is cancelled
        meanwhile waits for the end all the same.
        """
        if not is_urgent and self.commit_at_once(
            records, happenings, environments=environments, boot_id=boot_id
        ):
            return
        size_bytes = _size_of(records, happenings)
        with anyio.CancelScope(shield=True):
            try:
                await self._writer.call(
                    lambda connection: self._write(
                        connection,
                        records,
                        happenings,
                        environments,
                        boot_id,
                        size_bytes,
                        is_urgent=is_urgent,
                    )
                )
            except StoreError:
                raise
            except Exception as error:
                raise store_error(self._path, "write to", error) from error
        if large_commits.is_large(size_bytes):
            self._writer.afterwards(self._move_log)

    def commit_at_once(
        self,
        records: Sequence[Record],
        happenings: Sequence[Happening],
        *,
        environments: writing.Environments,
        boot_id: str,
    ) -> bool:
        """The same in place, where that keeps nobody waiting for long. False: it is not as small as
        that, or the disk is slow, or the thread is at work; nothing was done."""
        size_bytes = _size_of(records, happenings)
        if not self._may_write_here(records, size_bytes):
            return False
        begin = time.monotonic()
        try:
            self._writer.here(
                lambda connection: self._write(
                    connection,
                    records,
                    happenings,
                    environments,
                    boot_id,
                    size_bytes,
                    is_urgent=False,
                )
            )
        except StoreError:
            raise
        except Exception as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                return False  # another program has it locked, which may last
            raise store_error(self._path, "write to", error) from error
        self._pace.took(begin, time.monotonic())
        if self._reserve.log_pages() > MAX_LOG_PAGES_IN_PLACE:
            self._writer.afterwards(self._move_log)
        return True

    def _may_write_here(self, records: Sequence[Record], size_bytes: int) -> bool:
        if size_bytes > MAX_VALUES_BYTES_IN_PLACE or not self._writer.is_idle:
            return False
        kinds = {type(record) for record in records}
        is_small = kinds == _VALUES or (size_bytes <= MAX_BYTES_IN_PLACE and kinds <= _QUICK)
        return is_small and self._pace.is_quick(time.monotonic())

    def _write(
        self,
        connection: sqlite3.Connection,
        records: Sequence[Record],
        happenings: Sequence[Happening],
        environments: writing.Environments,
        boot_id: str,
        size_bytes: int,
        *,
        is_urgent: bool,
    ) -> None:
        place = _place(self._name)
        if isinstance(place, PermissionError):
            raise store_error(self._path, "write to", place)
        if place != self._place:
            # SQLite would go on with the file that it has open, and nobody would ever read it.
            raise StoreError(
                f"cannot write to the database {self._path}: while torcd had it open it was "
                "removed, or another file was put in its place; put it back before you start "
                "torcd again",
                path=str(self._path),
                problem="removed or replaced",
            )
        if not is_urgent:
            self._reserve.keep(size_bytes)
        with large_commits.for_commit_of(connection, size_bytes):
            self._written = writing.write(connection, records, happenings, environments, boot_id)
        self._reserve.written()
        self._mark.write(self._written)

    def _move_log(self, connection: sqlite3.Connection) -> None:
        large_commits.move_log(connection)
        self._mark.write(self._written)  # the database's file has changed

    async def unfinished(self) -> list[WorkflowKey]:
        """Workflows that are running or paused, oldest first."""
        return await self._read(reading.unfinished)

    async def active_attempts(self) -> list[AttemptKey]:
        """Those that have not ended, oldest first: jobs' and actions'."""
        return await self._read(reading.active_attempts)

    async def load(self, key: WorkflowKey) -> LoadedWorkflow | None:
        """All that is known of a workflow, now; None when there is none of that key."""
        at = Timestamp(time.time_ns() // 1000)
        return await self._read(lambda connection: loading.load(connection, key, at))

    async def environment(self, key: WorkflowKey) -> dict[str, str] | None:
        """What the jobs of a workflow inherit; None when there is none of that key."""
        return await self._read(lambda connection: loading.environment(connection, key))

    async def given_values(self, key: WorkflowKey) -> dict[DataKey, str]:
        """The SHA-256 of the values that the spec of a workflow gives, as it is now."""
        return await self._read(lambda connection: loading.given_values(connection, key))

    async def spec(self, key: WorkflowKey) -> KeptSpec | None:
        """The spec of a workflow, and what its jobs have added; None: it was submitted before specs
        were kept."""
        return await self._read(lambda connection: loading.spec(connection, key))

    async def removed(self, key: WorkflowKey) -> Removed:
        """What another spec of a workflow has taken out."""
        return await self._read(lambda connection: loading.removed(connection, key))

    async def deleted(self) -> list[WorkflowKey]:
        """Workflows that were deleted and of which something is left."""
        return await self._read(sweeping.marked)

    async def sweep(self, key: WorkflowKey) -> bool:
        """Remove some rows of a deleted workflow; True: nothing is left of it."""
        return await self._remove(lambda connection: sweeping.sweep(connection, key))

    async def removable(self, keep: int, key: WorkflowKey | None = None) -> list[Removable]:
        """What workflows, or that one, have beyond the newest `keep` runs, and what was found to be
        too much before, of which something may be left. Not of those that are archived."""
        return await self._read(lambda connection: pruning.removable(connection, keep, key))

    async def note_storers(
        self, old: Removable, place: pruning.Place = pruning.START
    ) -> pruning.Place | None:
        """Note who stored the revisions of these runs, some at a time: go on from where it returns;
        None: all are noted."""
        return await self._remove(lambda connection: pruning.note_storers(connection, old, place))

    async def mark_removed(self, old: Removable) -> bool:
        """From now on nobody is told of these runs; returns whether that is new."""
        return await self._remove(lambda connection: pruning.mark_removed(connection, old))

    async def old_attempts(self, old: Removable, after: OldAttempt | None) -> list[OldAttempt]:
        """Some of those in these runs, after that one; [] when there are no more."""
        place = (0, AttemptKey(0)) if after is None else (after.run_id, after.key)
        return await self._read(lambda connection: pruning.old_attempts(connection, old, place))

    async def remove_attempts(self, keys: Collection[AttemptKey]) -> None:
        """Of removed runs, and not referred to."""
        await self._remove(lambda connection: pruning.remove_attempts(connection, keys))

    async def remove_events(self, old: Removable) -> bool:
        """Some of those in these runs; True: there are none any more."""
        return await self._remove(lambda connection: pruning.remove_events(connection, old))

    async def _remove(self, step: Callable[[sqlite3.Connection], T]) -> T:
        def work(connection: sqlite3.Connection) -> T:
            self._reserve.keep(sweeping.ROWS_IN_A_STEP * RECORD_BYTES)
            done = step(connection)
            self._reserve.written()
            return done

        try:
            return await self._writer.call(work)
        except (sqlite3.Error, OSError) as error:
            raise store_error(self._path, "write to", error) from error

    async def ended_before(self, at: Timestamp) -> list[WorkflowKey]:
        """Workflows that ended before then and are not archived, oldest first."""
        return await self._read(lambda connection: reading.ended_before(connection, at))

    async def first_end(self) -> Timestamp | None:
        """When the first of those that are over and not archived ended; None: there is none."""
        return await self._read(reading.first_end)

    async def newest_workflow(self, owner_uid: int | None = None) -> WorkflowKey | None:
        """Of all, or of one user's. None: there is none that is not archived."""
        return await self._read(lambda connection: reading.newest_workflow(connection, owner_uid))

    async def owner_uid(self, key: WorkflowKey) -> int | None:
        """None: there is no such workflow."""
        return await self._read(lambda connection: reading.owner_uid(connection, key))

    async def workflows(self) -> list[WorkflowRow]:
        """Oldest first."""
        return await self._read(reading.workflows)

    async def workflow(self, key: WorkflowKey) -> WorkflowRow | None:
        return await self._read(lambda connection: reading.workflow(connection, key))

    async def attempts(
        self,
        key: WorkflowKey,
        *,
        run_id: int | None = None,
        job_keys: Collection[JobKey] | None = None,
    ) -> list[AttemptRow]:
        """By job, run and number, those that are not over too. None: of all runs, of all jobs. Of
        removed runs, only what the present state of jobs refers to."""
        return await self._read(
            lambda connection: reading.attempts(connection, key, run_id, job_keys)
        )

    async def removed_runs(self, key: WorkflowKey) -> int:
        """How many of the first runs are kept no more."""
        return await self._read(lambda connection: reading.removed_runs(connection, key))

    async def action_commands(
        self, key: WorkflowKey, *, run_id: int | None = None
    ) -> list[CommandRow]:
        """Commands of actions that have begun, by run, action and position. None: of all runs."""
        return await self._read(lambda connection: reading.action_commands(connection, key, run_id))

    async def value(
        self, key: DataKey, revision: int | None = None, *, max_bytes: int | None = None
    ) -> RevisionRow | None:
        """The newest, or that of a number; None when there is none. One that has more than
        `max_bytes` is left where it is, and only told about."""
        return await self._read(
            lambda connection: reading.value(connection, key, revision, max_bytes)
        )

    async def revisions(self, key: DataKey, *, max_bytes: int | None = None) -> list[RevisionRow]:
        """All, oldest first. Values of more than `max_bytes` are only told about."""
        return await self._read(lambda connection: reading.revisions(connection, key, max_bytes))

    async def happenings(
        self, since: int, *, workflow_key: WorkflowKey | None = None, limit: int | None = None
    ) -> list[Happening]:
        """From number `since` on."""
        return await self._read(
            lambda connection: reading.happenings(connection, since, workflow_key, limit)
        )

    async def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._reader.call(function)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise store_error(self._path, "read", error) from error


def _place(path: str) -> tuple[int, int] | PermissionError | None:
    """Which file has that name; None: none has. Or why that cannot be seen."""
    try:
        facts = os.stat(path)
    except PermissionError as error:
        return error
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _size_of(records: Sequence[Record], happenings: Sequence[Happening]) -> int:
    """About how much the log grows by them."""
    size = (len(records) + len(happenings)) * RECORD_BYTES
    for record in records:
        if isinstance(record, SaveValue):
            size += len(record.value.text)
        elif isinstance(record, CreateWorkflow):
            workflow = record.workflow
            size += workflow.size * RECORD_BYTES + sum(_text_size(job) for job in workflow.jobs)
            size += len(record.spec or b"")
        elif isinstance(record, EditWorkflow):
            edited = (*record.jobs, *record.files, *record.user_data)
            size += len(edited) * RECORD_BYTES + sum(_text_size(job) for job in record.jobs)
            size += len(record.spec.text or b"")
            size += sum(RECORD_BYTES + len(one.item) for one in record.spec.additions)
    return size


def _text_size(job: Job) -> int:
    words = (job.command,) if isinstance(job.command, str) else job.command
    return sum(map(len, words)) + sum(len(value) for value in job.env.values())


def mark_as_newest(path: Path, connection: sqlite3.Connection) -> None:
    """Have the mark say that this is the database, and how far it has come. Raises StoreError."""
    try:
        MarkWriter(path, *reading.meta(connection)).close()
    except (OSError, sqlite3.Error) as error:
        raise store_error(path, "open", error) from error


async def migrate(path: Path) -> Migrated:
    """Make a database, or bring it to the newest schema. Raises StoreError."""

    def work() -> Migrated:
        with sole_writer(path):
            connection, migrated = open_database(path)
            with contextlib.closing(connection):
                mark_as_newest(path, connection)
            return migrated

    return await to_thread.run_sync(work)
