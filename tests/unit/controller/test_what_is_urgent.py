"""What stops jobs is decided and done though the disk is full, and all stands still again."""

from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.unit.controller.full_disk import FIRST, KEY, SPEC, A, B, Scene, cancel, scene, store
from tests.unit.controller.still_life import still_life
from torcd import errors
from torcd.executors.base import Exited, NotStarted, Started
from torcd.model import JobKey, JobStatus, Reason, Timestamp, WorkflowStatus
from torcd.scheduler import events as e
from torcd.scheduler.job_states import Ended, Running

LIMITED = b"""
{
  "jobs": [
    {"name": "a", "command": "true", "resource_requirements": "short"},
    {"name": "b", "command": "true", "depends_on": ["a"]}
  ],
  "resource_requirements": [{"name": "short", "runtime": "PT1H"}],
  "user_data": [{"name": "v"}]
}
"""


async def with_a_reserve(s: Scene, spec: bytes = SPEC, *, start: bool = True) -> None:
    """A job runs, the disk is full, and there is room for what is urgent."""
    await s.world.submit(spec)
    if start:
        s.report(Started(FIRST, 1, s.controller.now()))
        await s.controller.settled()
    s.disk.has_reserve = True


def long_ago(s: Scene) -> Timestamp:
    """Its limit has been reached since."""
    return Timestamp(s.controller.now() - 2 * 3_600_000_000)


async def until_stopped(s: Scene) -> None:
    with anyio.fail_after(5):
        while FIRST not in s.world.executor.stopped:
            await checkpoint()


async def test_a_workflow_is_canceled_and_its_jobs_are_stopped_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await with_a_reserve(s)
        await s.stand_still(store(b"1"))
        await s.controller.request(cancel())
        assert s.world.executor.stopped == [FIRST]
        # It is on disk before it is acknowledged, and all stands still again.
        loaded = await s.world.store.load(KEY)
        assert loaded is not None
        assert loaded.event.stopping
        assert s.controller.shortage is not None
        with pytest.raises(errors.NoSpace):
            await s.controller.request(store(b"1"))
        s.report(Exited(FIRST, -9, Timestamp(50), None, None))
        await s.make_room()
        jobs = s.controller.scheduler.workflows[KEY].jobs
        assert {job.state.status for job in jobs.values()} == {JobStatus.CANCELED}
        assert s.controller.scheduler.workflows[KEY].status is WorkflowStatus.CANCELED


async def test_one_that_comes_first_and_finds_the_disk_full_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await with_a_reserve(s)
        s.disk.is_full = True
        await s.controller.request(cancel(A))
        assert s.disk.refused == 1
        assert s.world.executor.stopped == [FIRST]


async def test_a_pause_freezes_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await with_a_reserve(s)
        await s.stand_still()
        await s.controller.request(e.PauseRequested(KEY, s.controller.now(), freezes=True))
        assert s.world.executor.frozen == [FIRST]
        assert s.controller.scheduler.workflows[KEY].status is WorkflowStatus.PAUSED


async def test_what_is_refused_for_another_reason_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await with_a_reserve(s)
        await s.stand_still()
        with pytest.raises(errors.UnknownJob):
            await s.controller.request(cancel(JobKey(77)))


@pytest.mark.parametrize("starts_late", [False, True])
async def test_a_runtime_limit_ends_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts_late: bool
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await with_a_reserve(s, LIMITED, start=False)
        if starts_late:
            await s.stand_still()
        s.disk.is_full = True
        s.report(Started(FIRST, 1, long_ago(s)))
        await until_stopped(s)
        assert s.controller.shortage is not None
        s.report(Exited(FIRST, -9, s.controller.now(), None, None))
        await s.make_room()
        state = s.controller.scheduler.workflows[KEY].jobs[A].state
        assert isinstance(state, Ended)
        assert (state.status, state.reason) == (JobStatus.TERMINATED, Reason.TIMEOUT)


async def test_a_limit_for_which_there_is_no_room_at_all_waits_until_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await with_a_reserve(s, LIMITED, start=False)
        s.disk.has_reserve = False
        s.disk.is_full = True
        s.report(Started(FIRST, 1, long_ago(s)))
        with anyio.fail_after(5):
            while s.disk.looks < 30:
                await checkpoint()
        assert s.disk.refused == 2  # it was tried once, and not again and again
        assert s.world.executor.stopped == []
        await s.make_room()
        await until_stopped(s)


async def test_a_limit_is_not_refused_with_a_request_that_takes_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await with_a_reserve(s, LIMITED)
        await s.stand_still()
        sizes: list[int] = []
        before = s.disk.before_commit

        async def room_for_one(*_: object) -> None:
            sizes.append(1)
            s.disk.has_reserve = len(sizes) == 1
            await before()

        s.world.store.before_commit = room_for_one
        s.controller.put(e.TimePassed(Timestamp(s.controller.now() + 2 * 3_600_000_000)))
        with pytest.raises(errors.NoSpace):
            await s.controller.request(cancel())
        assert s.world.executor.stopped == [FIRST]


async def test_what_has_not_started_is_taken_back_and_started_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing starts meanwhile, and what one cancel takes back for a while is not canceled."""
    async with scene(tmp_path, monkeypatch) as s:
        await with_a_reserve(s, start=False)
        await s.stand_still()
        await s.controller.request(cancel(B))
        s.report(NotStarted(FIRST, Timestamp(60), None))
        await s.make_room()
        s.report(NotStarted(FIRST, Timestamp(60), None))
        await s.controller.settled()
        node = s.controller.scheduler.workflows[KEY]
        assert node.jobs[A].state.status is JobStatus.PENDING
        assert [order.attempt_key for order in s.world.executor.ordered][-1] == 2


async def test_nothing_is_started_by_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        await s.controller.request(e.DrainRequested(s.controller.now()))
        s.report(Exited(FIRST, 0, Timestamp(30), None, None))
        await s.controller.settled()
    async with scene(tmp_path, monkeypatch, is_full=True) as s:
        s.disk.has_reserve = True
        with pytest.raises(errors.WrongState):
            await s.controller.request(cancel(A))
        assert s.controller.scheduler.workflows[KEY].jobs[B].state.status is JobStatus.READY
        assert s.world.executor.ordered == []
        await s.make_room()
        assert [order.attempt_key for order in s.world.executor.ordered] == [2]


async def test_a_daemon_that_dies_then_leaves_the_cancel_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await with_a_reserve(s)
        await s.stand_still()
        await s.controller.request(cancel())
    async with still_life(tmp_path) as world:
        assert world.executor.stopped == [FIRST]
        assert await world.store.happenings(1)  # numbered without a gap
        numbers = [happening.number for happening in await world.store.happenings(1)]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_who_looks_meanwhile_sees_nothing_that_is_not_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await with_a_reserve(s)
        await s.stand_still()
        seen: list[bool] = []
        before = s.disk.before_commit
        node = s.controller.scheduler.workflows[KEY]

        async def look() -> None:
            await s.controller.settled()
            seen.append(node.stopping)

        async def while_it_is_written() -> None:
            tasks.start_soon(look)
            for _ in range(10):
                await checkpoint()
            assert seen == []
            await before()

        s.world.store.before_commit = while_it_is_written
        async with anyio.create_task_group() as tasks:
            await s.controller.request(cancel())
        assert seen == [True]
        assert isinstance(node.jobs[A].state, Running)
