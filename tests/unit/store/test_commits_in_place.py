"""A small commit makes no trip to the thread, unless the disk is slow or the thread is at work."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.store_world import commit, create, data_key, looking_at, save_job, save_value
from torcd.errors import NoSpace, StoreError
from torcd.model import DataKey, JobStatus, WorkflowKey
from torcd.scheduler.commands import SaveValue
from torcd.store import Store, commits, pace, reserve, schema, writing
from torcd.store.mark import Place, read_mark
from torcd.store.pace import QUICK_SECONDS, REST_FACTOR, SLOW_IN_A_ROW, Pace

SMALL = b'"%s"' % (b"x" * 62)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "torcd.db"


@pytest.fixture
async def store(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    # However busy the machine is that runs the tests.
    monkeypatch.setattr(pace, "QUICK_SECONDS", 1e9)
    async with Store.open(path) as store:
        yield store


async def with_data(store: Store) -> DataKey:
    creation = create()
    await commit(store, creation)
    return data_key(creation)


class Writers:
    """Which threads have written, commit by commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.in_place: list[bool] = []
        write = writing.write

        def noting(*arguments: object) -> object:
            self.in_place.append(threading.current_thread() is threading.main_thread())
            return write(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(writing, "write", noting)


async def revisions(store: Store, key: DataKey) -> list[int]:
    return [row.revision for row in await store.revisions(key)]


def is_idle(store: Store) -> bool:
    """The thread has done what it was handed."""
    return store._writer._finished == store._writer._handed


def pages_in_log(store: Store) -> int:
    """Those that are not in the database yet, whoever has written or moved them."""
    _, pages, _, moved = reserve._INDEX_HEADER.unpack(store._commits._reserve._header)
    return 0 if pages == moved else int(pages)


async def test_a_lone_small_store_makes_no_trip_to_the_thread(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)
    writers = Writers(monkeypatch)
    trips = store._writer._handed
    await commit(store, save_value(key, 1, SMALL))
    assert writers.in_place == [True]
    assert store._writer._handed == trips
    assert await revisions(store, key) == [1]


async def test_what_takes_long_is_written_by_the_thread(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = Writers(monkeypatch)
    key = await with_data(store)
    large = b'"%s"' % (b"x" * commits.MAX_VALUES_BYTES_IN_PLACE)
    await commit(store, save_value(key, 1, large))
    await commit(store, *[save_value(key, 2 + n, SMALL) for n in range(1000)])
    assert writers.in_place == [False, False, False]


async def test_a_commit_waits_behind_what_the_thread_is_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)
    writers = Writers(monkeypatch)
    gate, done = threading.Event(), []

    def held(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        assert gate.wait(20)
        connection.execute("COMMIT")
        done.append("held")

    async def store_one() -> None:
        await commit(store, save_value(key, 1, SMALL))
        done.append("stored")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store._writer.call, held)
        tasks.start_soon(store_one)
        await anyio.wait_all_tasks_blocked()
        assert not writers.in_place
        gate.set()
    assert done == ["held", "stored"]
    assert writers.in_place == [False]
    await commit(store, save_value(key, 2, SMALL))
    assert writers.in_place == [False, True]


async def test_a_step_that_nobody_waits_for_keeps_the_thread_busy_too(store: Store) -> None:
    gate = threading.Event()

    def held(_: sqlite3.Connection) -> None:
        assert gate.wait(20)

    store._writer.afterwards(held)
    assert not is_idle(store)
    gate.set()
    await store._writer.call(lambda _: None)
    assert is_idle(store)


async def test_whoever_is_cancelled_while_the_thread_is_at_work_leaves_it_busy(
    store: Store,
) -> None:
    gate = threading.Event()
    calling = asyncio.ensure_future(store._writer.call(lambda _: gate.wait(20)))
    await anyio.lowlevel.checkpoint()
    calling.cancel()
    await asyncio.wait([calling])
    assert not is_idle(store)
    gate.set()
    await store._writer.call(lambda _: None)
    assert is_idle(store)


async def test_after_slow_commits_the_thread_makes_them_for_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)
    writers = Writers(monkeypatch)
    monkeypatch.setattr(pace, "QUICK_SECONDS", -1.0)
    monkeypatch.setattr(pace, "REST_FACTOR", 1e9)
    for revision in range(1, SLOW_IN_A_ROW + 3):
        await commit(store, save_value(key, revision, SMALL))
    assert writers.in_place == [True] * SLOW_IN_A_ROW + [False, False]


async def test_a_lock_of_another_program_holds_up_the_commit_and_nobody_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_SECONDS", 20.0)
    async with Store.open(path) as store:
        key = await with_data(store)
        with looking_at(path) as other, anyio.fail_after(10):
            other.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(commit, store, save_value(key, 1, SMALL))
                await anyio.wait_all_tasks_blocked()
                assert await revisions(store, key) == []
                other.execute("ROLLBACK")
        assert await revisions(store, key) == [1]


async def test_a_full_disk_is_said_and_nothing_is_left_of_the_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)
    writers = Writers(monkeypatch)
    values: list[SaveValue] = [save_value(key, 1 + n, b'"%s"' % (b"x" * 9_000)) for n in range(9)]

    def fill(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await store._writer.call(fill)
    with pytest.raises(NoSpace, match="the disk is full"):
        await commit(store, *values)
    await store._writer.call(lambda connection: connection.execute("PRAGMA max_page_count = 10000"))
    await commit(store, *values)
    assert writers.in_place == [True, True]
    assert await revisions(store, key) == list(range(1, 10))


async def test_any_other_failure_is_said_as_on_the_thread(store: Store) -> None:
    key = await with_data(store)
    with pytest.raises(StoreError, match="FOREIGN KEY constraint failed"):
        await commit(store, save_value(key, 1, SMALL), save_value(DataKey(99), 1, SMALL))
    assert is_idle(store)
    await commit(store, save_value(key, 1, SMALL))
    assert await revisions(store, key) == [1]


async def test_the_thread_moves_the_log_before_a_commit_would(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)
    await store._writer.call(lambda c: c.execute("PRAGMA wal_checkpoint").fetchall())
    assert pages_in_log(store) == 0
    writers = Writers(monkeypatch)
    monkeypatch.setattr(commits, "MAX_LOG_PAGES", 20)
    before, revision, moved = path.stat().st_mtime_ns, 0, False
    while not moved:
        revision += 1
        trips = store._writer._handed
        await commit(store, save_value(key, revision, SMALL))
        moved = store._writer._handed > trips
        assert revision < 20
    await store._writer.call(lambda _: None)
    assert all(writers.in_place)
    assert pages_in_log(store) == 0
    assert path.stat().st_mtime_ns > before
    await commit(store, save_value(key, revision + 1, SMALL))
    assert 0 < pages_in_log(store) <= 10
    assert store._commits._reserve.log_pages == pages_in_log(store)


async def test_after_a_commit_of_its_own_the_thread_moves_the_log_as_well(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)
    monkeypatch.setattr(store._commits._pace, "is_quick", lambda now: False)
    monkeypatch.setattr(commits, "MAX_LOG_PAGES", pages_in_log(store))
    trips = store._writer._handed
    await commit(store, save_value(key, 1, SMALL))
    assert store._writer._handed == trips + 2
    await store._writer.call(lambda _: None)
    assert pages_in_log(store) == 0


async def test_where_a_commit_has_moved_the_log_all_the_same_the_mark_knows_the_file(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)
    writers = Writers(monkeypatch)
    revision = 0
    with looking_at(path) as other:  # what somebody still reads can't be moved
        other.execute("BEGIN")
        other.execute("SELECT * FROM meta").fetchall()
        while pages_in_log(store) <= 1_000:
            revision += 1
            await commit(store, save_value(key, revision, SMALL))
            await store._writer.call(lambda _: None)
        other.execute("ROLLBACK")
    before = Place.of(path)
    await commit(store, save_value(key, revision + 1, SMALL))
    assert all(writers.in_place)
    assert Place.of(path) != before
    assert store._commits._reserve.log_pages == 0
    mark = read_mark(path)
    assert mark is not None
    assert mark.file == Place.of(path)


async def test_the_pages_of_the_log_are_those_that_sqlite_counts(store: Store) -> None:
    key = await with_data(store)
    await commit(store, save_value(key, 1, SMALL))
    pages = store._commits._reserve.log_pages
    found = await store._writer.call(lambda c: c.execute("PRAGMA wal_checkpoint").fetchone())
    assert found == (0, pages, pages)


async def test_a_commit_in_a_cancelled_scope_is_carried_out(store: Store) -> None:
    key = await with_data(store)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await commit(store, save_value(key, 1, SMALL))
    assert await revisions(store, key) == [1]


async def test_a_closed_store_refuses(path: Path) -> None:
    async with Store.open(path) as store:
        key = await with_data(store)
    assert store._writer.at_hand() is None
    with pytest.raises(StoreError):
        await commit(store, save_value(key, 1, SMALL))


async def test_the_end_of_a_job_is_written_in_place_and_those_of_many_are_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await commit(store, create(n_jobs=40))
    writers = Writers(monkeypatch)
    await commit(store, save_job(2, JobStatus.COMPLETED))
    await commit(store, *[save_job(2 + n, JobStatus.COMPLETED) for n in range(40)])
    assert writers.in_place == [True, False]


async def test_nothing_of_a_workflow_as_a_whole_is_written_in_place(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = Writers(monkeypatch)
    await commit(store, create(1))
    assert writers.in_place == [False]
    assert await store.workflow(WorkflowKey(1)) is not None


# How slow a disk may be


def test_one_slow_commit_says_nothing() -> None:
    paced = Pace()
    slow = 2 * QUICK_SECONDS
    paced.took(0.0, slow)
    paced.took(1.0, 1.0 + QUICK_SECONDS / 2)
    paced.took(2.0, 2.0 + slow)
    assert paced.is_quick(2.0 + slow)


def test_one_for_which_all_have_waited_for_long_is_enough() -> None:
    paced = Pace()
    paced.took(0.0, 1.0)
    assert not paced.is_quick(REST_FACTOR)
    assert paced.is_quick(1.0 + REST_FACTOR)


def test_a_disk_that_is_always_slow_keeps_everybody_waiting_for_a_tenth_of_the_time() -> None:
    paced = Pace()
    now = waited = 0.0
    while now < 1000.0:
        if paced.is_quick(now):
            paced.took(now, now + 0.05)
            waited += 0.05
        now += 0.05
    assert 0.05 < waited / now <= SLOW_IN_A_ROW / REST_FACTOR
