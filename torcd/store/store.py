"""The store: one connection that writes, one that reads, each on a thread of its own."""

import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

import anyio
import anyio.to_thread

from torcd.model import DataKey, Happening, JobKey, WorkflowKey
from torcd.scheduler.commands import Record
from torcd.store import reading, writing
from torcd.store.connection import ThreadedConnection, on_its_thread
from torcd.store.failure import store_error
from torcd.store.lock import sole_writer
from torcd.store.rows import AttemptRow, Counters, LoadedWorkflow, RevisionRow, WorkflowRow
from torcd.store.schema import Migrated, open_database, open_reader


class Store:
    """What torcd remembers. Use `Store.open`."""

    def __init__(
        self,
        path: Path,
        writer: ThreadedConnection,
        reader: ThreadedConnection,
        secret: bytes,
        counters: Counters,
    ) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._counters = counters
        self._boots: dict[str, int] = {}
        self.secret = secret
        """32 random bytes, made with the database: what tokens are made from."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator["Store"]:
        """Open, and make or migrate it if need be. Raises StoreError."""
        with sole_writer(path):
            async with (
                on_its_thread(lambda: open_database(path)[0]) as writer,
                on_its_thread(lambda: open_reader(path)) as reader,
            ):
                secret, *counters = await writer.call(
                    lambda connection: connection.execute(
                        "SELECT secret, next_key, next_attempt_key, next_event_number FROM meta"
                    ).fetchone()
                )
                yield cls(path, writer, reader, secret, Counters(*counters))

    def counters(self) -> Counters:
        """Where counting went on when it was opened."""
        return self._counters

    async def commit(
        self,
        records: Sequence[Record],
        happenings: Sequence[Happening],
        *,
        environments: writing.Environments,
        boot_id: str,
    ) -> None:
        """Write a batch; it is on disk for good when this returns. Raises StoreError, and then
        nothing of it is. A caller who is cancelled meanwhile waits for the end all the same."""
        with anyio.CancelScope(shield=True):
            try:
                boot = self._boots.get(boot_id)
                if boot is None:
                    boot = self._boots[boot_id] = await self._writer.call(
                        lambda connection: writing.boot_key(connection, boot_id)
                    )
                await self._writer.call(
                    lambda connection: writing.write(
                        connection, records, happenings, environments, boot
                    )
                )
            except Exception as error:
                raise store_error(self._path, "write to", error) from error

    async def unfinished(self) -> list[WorkflowKey]:
        """Workflows that are running or paused, oldest first."""
        return await self._reader.call(reading.unfinished)

    async def load(self, key: WorkflowKey) -> LoadedWorkflow | None:
        return await self._reader.call(lambda connection: reading.load(connection, key))

    async def newest_workflow(self) -> WorkflowKey | None:
        return await self._reader.call(reading.newest_workflow)

    async def workflows(self) -> list[WorkflowRow]:
        return await self._reader.call(reading.workflows)

    async def workflow(self, key: WorkflowKey) -> WorkflowRow | None:
        return await self._reader.call(lambda connection: reading.workflow(connection, key))

    async def attempts(
        self, key: WorkflowKey, *, run_id: int | None, job_keys: Collection[JobKey] | None
    ) -> list[AttemptRow]:
        """By job, run and number. `None`: of all runs, of all jobs."""
        return await self._reader.call(
            lambda connection: reading.attempts(connection, key, run_id, job_keys)
        )

    async def value(self, key: DataKey, revision: int | None = None) -> RevisionRow | None:
        """The newest, or that of a number; None when there is none."""
        return await self._reader.call(lambda connection: reading.value(connection, key, revision))

    async def revisions(self, key: DataKey) -> list[RevisionRow]:
        """All, oldest first."""
        return await self._reader.call(lambda connection: reading.revisions(connection, key))

    async def happenings(
        self, since: int, *, workflow_key: WorkflowKey | None = None, limit: int | None = None
    ) -> list[Happening]:
        """From number `since` on."""
        return await self._reader.call(
            lambda connection: reading.happenings(connection, since, workflow_key, limit)
        )


async def migrate(path: Path) -> Migrated:
    """Bring a database to the newest schema. Raises StoreError."""

    def work() -> Migrated:
        with sole_writer(path):
            connection, migrated = open_database(path)
            connection.close()
            return migrated

    return await anyio.to_thread.run_sync(work)
