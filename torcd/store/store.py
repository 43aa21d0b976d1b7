"""The store: one connection that writes, one that reads, each on a thread of its own.

Reads see what has been committed, all of it and nothing else, and neither wait for a commit nor
keep one waiting. How it is written, and on which thread, says `torcd.store.commits`.
"""

import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from anyio import to_thread

from torcd.model import (
    AttemptKey,
    DataKey,
    Happening,
    JobKey,
    KeptSpec,
    Timestamp,
    WorkflowKey,
)
from torcd.scheduler.commands import Record, SaveValue
from torcd.store import loading, pruning, reading, sweeping, writing
from torcd.store.commits import Commits, What
from torcd.store.connection import ThreadedConnection, on_its_thread
from torcd.store.copying import remove_unfinished
from torcd.store.failure import store_error
from torcd.store.lock import sole_writer
from torcd.store.mark import MarkWriter
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
from torcd.store.value_files import LARGE_BYTES, ValueFiles, known_files, life_of

T = TypeVar("T")


class Store:
    """What torcd remembers. Use `Store.open`. Every method may raise StoreError."""

    def __init__(
        self,
        path: Path,
        writer: ThreadedConnection,
        reader: ThreadedConnection,
        meta: tuple[bytes, Counters],
        commits: Commits,
        files: ValueFiles,
        lost_files: Collection[str],
        migrated: Migrated,
    ) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._commits = commits
        self.secret, self._counters = meta
        """32 random bytes, made with the database: what tokens are made from."""
        self.files = files
        """What large values are written to ahead, so that nobody waits for it who commits."""
        self.lost_files = lost_files
        """Of large values, which were not there when it was opened."""
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
            with contextlib.suppress(OSError):
                remove_unfinished(path)
            async with (
                on_its_thread(connect) as writer,
                on_its_thread(lambda: open_reader(path)) as reader,
            ):
                try:
                    secret, counters = await reader.call(reading.meta)
                    life = await reader.call(life_of)
                    known = await reader.call(known_files)
                except (sqlite3.Error, TypeError) as error:
                    raise store_error(path, "read", error) from error
                try:
                    reserve = closed_last.enter_context(contextlib.closing(Reserve(path)))
                    with contextlib.suppress(OSError):  # full: the first write says so
                        await to_thread.run_sync(reserve.keep, 0)
                    files = ValueFiles(path, life)
                    found = await to_thread.run_sync(files.found)
                    unknown = filter(files.is_own, found - known.keys())
                    await to_thread.run_sync(files.remove, list(unknown))
                    mark = await to_thread.run_sync(MarkWriter, path, secret, counters)
                except OSError as error:
                    raise store_error(path, "open", error) from error
                with contextlib.closing(mark):
                    commits = Commits(path, writer, counters, mark, reserve, files)
                    lost = {name for name, is_there in known.items() if is_there} - found
                    meta = secret, counters
                    yield cls(path, writer, reader, meta, commits, files, lost, migrated[0])

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
        await self._commits.commit(
            What(records, happenings, environments, boot_id), is_urgent=is_urgent
        )

    def commit_at_once(
        self,
        records: Sequence[Record],
        happenings: Sequence[Happening],
        *,
        environments: writing.Environments,
        boot_id: str,
    ) -> bool:
        """The same without waiting for another thread, where that keeps nobody waiting for long.
        False: it would, and nothing was done."""
        return self._commits.at_once(What(records, happenings, environments, boot_id))

    def commit_value_at_once(self, saved: SaveValue, told: Happening) -> bool:
        """The same for a value and that it was stored. False also where there is no room: `commit`
        says so."""
        return self._commits.value_at_once(saved, told)

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
        is_over, files = await self._remove(lambda connection: sweeping.sweep(connection, key))
        if files:
            await to_thread.run_sync(self.files.remove, files)
        return is_over

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
        return await self._commits.remove(step)

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
        `max_bytes` is left where it is, and only told about. Raises LostValue, if its file is
        gone."""
        return await self._read(
            lambda connection: reading.value(connection, self.files, key, revision, max_bytes)
        )

    async def revisions(self, key: DataKey, *, max_bytes: int = LARGE_BYTES) -> list[RevisionRow]:
        """All, oldest first. Of values of more than `max_bytes`, and of large ones, it is only told
        that they are there."""
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
