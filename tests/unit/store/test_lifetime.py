"""Threads, transactions and cancellation: whatever is cut short, the store is whole."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.store_world import commit, create, looking_at, save_job, save_workflow
from torcd.errors import NoSpace, StoreError
from torcd.model import JobStatus, WorkflowKey, WorkflowStatus
from torcd.store import Store, schema, writing

W = WorkflowKey(1)


class Gate:
    """The writer's thread stands before it until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._is_reached = anyio.Event()
        self._loop = asyncio.get_running_loop()

    def hold(self, connection: sqlite3.Connection) -> None:
        self._loop.call_soon_threadsafe(self._is_reached.set)
        assert self._open.wait(20)

    async def is_reached(self) -> None:
        with anyio.fail_after(20):
            await self._is_reached.wait()

    def open(self) -> None:
        self._open.set()


async def statuses(store: Store) -> list[JobStatus]:
    loaded = await store.load(W)
    assert loaded is not None
    return [job.status for job in loaded.event.jobs]


async def test_a_commit_in_a_cancelled_scope_is_carried_out(store: Store) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await commit(store, create())
    assert await store.workflow(W) is not None


async def test_a_commit_whose_task_is_killed_leaves_no_open_transaction(store: Store) -> None:
    await commit(store, create())
    gate = Gate()
    holding = asyncio.ensure_future(store._writer.call(gate.hold))
    await gate.is_reached()
    # asyncio's own cancellation passes through a shield of anyio's.
    committing = asyncio.ensure_future(commit(store, save_job(2, JobStatus.COMPLETED)))
    await anyio.lowlevel.checkpoint()
    committing.cancel()
    gate.open()
    with contextlib.suppress(asyncio.CancelledError):
        await committing
    await holding

    await commit(store, save_job(3, JobStatus.FAILED))

    assert not await store._writer.call(lambda connection: connection.in_transaction)
    assert await statuses(store) == [JobStatus.COMPLETED, JobStatus.FAILED]


async def test_a_reader_neither_waits_for_a_transaction_nor_sees_into_it(store: Store) -> None:
    await commit(store, create())
    gate = Gate()

    def half_of_it(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE workflow SET status = 'paused'")
        gate.hold(connection)
        connection.execute("COMMIT")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store._writer.call, half_of_it)
        await gate.is_reached()
        row = await store.workflow(W)
        assert row is not None
        assert row.status is WorkflowStatus.RUNNING
        gate.open()
    row = await store.workflow(W)
    assert row is not None
    assert row.status is WorkflowStatus.PAUSED


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await store._reader.call(lambda connection: connection.execute("DELETE FROM meta"))


async def test_a_cancelled_read_does_not_disturb_the_next(store: Store) -> None:
    await commit(store, create())
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.workflows()
    assert scope.cancelled_caught
    assert [row.key for row in await store.workflows()] == [1]


# Commits that fail


async def test_a_batch_that_fails_leaves_nothing_of_itself(store: Store, path: Path) -> None:
    await commit(store, create())
    with pytest.raises(StoreError, match="UNIQUE constraint failed") as caught:
        await commit(store, save_job(2, JobStatus.COMPLETED), create(10), create(1))
    assert caught.value.facts["path"] == str(path)
    assert await statuses(store) == [JobStatus.BLOCKED, JobStatus.BLOCKED]
    assert await store.workflow(WorkflowKey(10)) is None
    await commit(store, save_job(2, JobStatus.COMPLETED))
    assert (await statuses(store))[0] is JobStatus.COMPLETED


async def test_a_job_that_does_not_exist_is_not_saved(store: Store) -> None:
    await commit(store, create())
    with pytest.raises(StoreError, match="FOREIGN KEY constraint failed"):
        await commit(store, save_job(99, JobStatus.COMPLETED))


async def test_what_sqlite_cannot_hold_is_a_failed_commit_too(store: Store) -> None:
    await commit(store, create())
    with pytest.raises(StoreError):
        await commit(store, save_workflow(1, WorkflowStatus.PAUSED, run_id=2**64))
    assert not await store._writer.call(lambda connection: connection.in_transaction)


async def test_a_full_disk_is_said_and_nothing_is_lost(store: Store) -> None:
    await commit(store, create())

    def fill(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await store._writer.call(fill)
    with pytest.raises(NoSpace, match="the disk is full"):
        await commit(store, create(10, n_jobs=1000))
    await store._writer.call(lambda connection: connection.execute("PRAGMA max_page_count = 10000"))
    await commit(store, create(10, n_jobs=1000))
    assert [row.key for row in await store.workflows()] == [1, 10]


async def test_a_commit_waits_for_another_programs_lock_only_so_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_SECONDS", 0.0)
    async with Store.open(path) as store:
        with looking_at(path) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another program has it locked"):
                await commit(store, create())
            assert await store.workflows() == []
        await commit(store, create())
        assert [row.key for row in await store.workflows()] == [1]


async def test_a_failure_that_has_rolled_back_already_is_said_as_it_is(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_transaction(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(writing, "_write_all_but_values", lose_the_transaction)
    with pytest.raises(StoreError, match="disk I/O error") as caught:
        await commit(store, create())
    assert caught.value.facts["path"] == str(path)


# Opening and closing


async def test_no_thread_outlives_the_store(path: Path) -> None:
    async with Store.open(path) as store:
        threads = [store._writer.call, store._reader.call]
        named = [await call(lambda _: threading.current_thread()) for call in threads]
        assert len(set(named)) == 2
    for thread in named:
        thread.join(20)
        assert not thread.is_alive()


async def test_a_store_closed_in_a_cancelled_scope_leaves_no_thread(path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with Store.open(path) as store:
            thread = await store._writer.call(lambda _: threading.current_thread())
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    thread.join(20)
    assert not thread.is_alive()
    async with Store.open(path) as store:
        assert await store.workflows() == []


async def test_a_store_that_cannot_be_opened_leaves_neither_thread_nor_lock(path: Path) -> None:
    with looking_at(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    before = set(threading.enumerate())
    with pytest.raises(StoreError):
        async with Store.open(path):
            pass
    # Workers of anyio's pool stay for the loop's next errand; a database's thread must not.
    left = set(threading.enumerate()) - before
    assert [thread for thread in left if "AnyIO" not in thread.name] == []
    with looking_at(path) as connection:
        connection.execute("DROP TABLE theirs")
    async with Store.open(path) as store:
        assert await store.workflows() == []


async def test_a_closed_store_leaves_no_log(path: Path) -> None:
    async with Store.open(path) as store:
        await commit(store, create())
    assert names_in(path.parent) == [
        "torcd.db",
        "torcd.db-lock",
        "torcd.db-mark",
        "torcd.db-values",
    ]


def names_in(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


def take_away(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replace(path: Path) -> None:
    take_away(path)
    path.touch()


@pytest.mark.parametrize("spoil", [take_away, replace])
async def test_nothing_is_written_to_a_database_that_nobody_will_find_again(
    store: Store, path: Path, spoil: Callable[[Path], None]
) -> None:
    await commit(store, create())
    spoil(path)
    with pytest.raises(StoreError, match="removed, or another file"):
        await commit(store, create(100))
    path.with_name("elsewhere").rename(path)
    await commit(store, create(100))
    assert [row.key for row in await store.workflows()] == [1, 100]
