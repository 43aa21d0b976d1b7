"""No room for a commit: what was decided has never been, what is true stays so, and it goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import structlog
from anyio.lowlevel import checkpoint

from tests.unit.controller.full_disk import (
    FIRST,
    KEY,
    SPEC,
    A,
    B,
    Scene,
    V,
    cancel,
    disable,
    scene,
    store,
)
from tests.unit.controller.still_life import NO_CALL
from torcd import disk, errors
from torcd.executors.base import Exited, Lost, NotStarted, Started
from torcd.model import AttemptKey, JobStatus, Timestamp, WorkflowKey
from torcd.protocol import manager as m
from torcd.protocol import user_data as u
from torcd.scheduler import events as e
from torcd.scheduler.job_states import Pending, Running
from torcd.server.handlers import daemon as daemon_handler
from torcd.server.handlers import data
from torcd.server.handlers.workflows import describe
from torcd.store.value_files import LARGE_BYTES


async def test_what_there_was_no_room_for_has_never_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        node = s.controller.scheduler.workflows[KEY]
        await s.stand_still()
        assert node.data[V].revision == 0
        # Refused at once, without another try.
        with pytest.raises(errors.NoSpace):
            await s.controller.request(store(b"2"))
        assert s.disk.refused == 1
        await s.make_room()
        # Who held the workflow all the time has it as it is now.
        await s.controller.request(e.PauseRequested(KEY, s.controller.now()))
        assert node.status.value == "paused"


LARGE = msgspec.Raw(b'"%s"' % (b"x" * (LARGE_BYTES - 2)))


async def store_large(s: Scene) -> None:
    parameters = u.Store(name="v", data=LARGE, workflow_key=str(KEY))
    await data.store(s.world.context, parameters, NO_CALL)


@pytest.mark.parametrize("waits", [True, False])
async def test_a_large_value_that_there_was_no_room_for_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        s.disk.is_full = True
        with anyio.CancelScope() as asker:
            if not waits:  # it is gone when it could be told
                s.world.store.before_commit = cancelling(asker, s.world.store.before_commit)
            with pytest.raises(errors.NoSpace if waits else anyio.get_cancelled_exc_class()):
                await store_large(s)
        await s.controller.settled()
        assert s.world.store.files.found() == set()
        await s.make_room()


async def test_one_that_there_was_room_for_stays_though_its_asker_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        with anyio.CancelScope() as asker:
            s.world.store.before_commit = cancelling(asker, s.world.store.before_commit)
            await store_large(s)
        assert asker.cancelled_caught
        await s.controller.settled()
        row = await s.world.store.value(V)
        assert row is not None
        assert row.value == bytes(LARGE)


def cancelling(
    scope: anyio.CancelScope, before_commit: Callable[[], Any] | None
) -> Callable[[], Any]:
    async def work() -> None:
        scope.cancel()
        if before_commit is not None:
            await before_commit()

    return work


async def test_those_who_share_a_refused_batch_are_all_refused_and_who_only_waits_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []

    async def ask(event: e.Event) -> None:
        try:
            await s.controller.request(event)
        except errors.NoSpace:
            refused.append(type(event).__name__)

    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        s.disk.is_full = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, store(b"1"))
            tasks.start_soon(ask, disable(B))
            tasks.start_soon(ask, cancel())
            tasks.start_soon(s.controller.settled)
        assert sorted(refused) == ["CancelRequested", "DisableRequested", "StoreRequested"]


async def test_an_attempt_that_ended_meanwhile_has_its_true_end_and_its_true_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        s.report(Started(FIRST, 1, Timestamp(20)))
        await s.controller.settled()
        await s.stand_still()
        s.report(Exited(FIRST, 3, Timestamp(30), 1.5, 1000))
        await checkpoint()
        assert isinstance(s.controller.scheduler.workflows[KEY].jobs[A].state, Running)
        assert s.world.executor.acknowledged == []
        await s.make_room()
        (row,) = await s.world.store.attempts(KEY, job_keys=[A])
        assert (row.return_code, row.started_at, row.ended_at) == (3, 20, 30)
        assert (row.cpu_seconds, row.peak_memory_bytes) == (1.5, 1000)
        assert s.world.executor.acknowledged == [FIRST]


async def test_so_has_one_whose_end_was_in_the_refused_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        s.report(Started(FIRST, 1, Timestamp(20)))
        await s.controller.settled()
        s.disk.is_full = True
        s.report(Exited(FIRST, 0, Timestamp(30), None, None))
        await s.controller.settled()
        node = s.controller.scheduler.workflows[KEY]
        # The end, and the start of the job after it, are taken back.
        assert isinstance(node.jobs[A].state, Running)
        assert node.counts[JobStatus.BLOCKED] == 1
        assert [order.attempt_key for order in s.world.executor.ordered] == [FIRST]
        await s.make_room()
        (row,) = await s.world.store.attempts(KEY, job_keys=[A])
        assert (row.return_code, row.started_at, row.ended_at) == (0, 20, 30)
        assert isinstance(node.jobs[B].state, Pending)
        assert [order.attempt_key for order in s.world.executor.ordered] == [1, 1, 2]


async def test_that_an_active_attempt_never_started_is_heard_again_and_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be what we said ourselves on taking back an order that is given again now."""
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        await s.stand_still()
        s.report(NotStarted(FIRST, Timestamp(30), "a problem"))
        await s.make_room()
        node = s.controller.scheduler.workflows[KEY]
        assert isinstance(node.jobs[A].state, Pending)
        assert [order.attempt_key for order in s.world.executor.ordered] == [FIRST, FIRST]


async def test_ends_of_attempts_that_nobody_knows_are_acknowledged_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        await s.stand_still()
        s.report(
            NotStarted(AttemptKey(7), Timestamp(30), None), Lost(AttemptKey(8), Timestamp(1), "?")
        )
        await s.make_room()
        assert s.world.executor.acknowledged == [7, 8]


async def test_a_workflow_is_not_seen_before_it_is_on_disk_and_its_keys_are_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        answers: list[str] = []

        async def look() -> None:
            s.world.store.before_commit = s.disk.before_commit
            tasks.start_soon(look_at_it)
            for _ in range(5):
                await checkpoint()
            await s.disk.before_commit()

        async def look_at_it() -> None:
            try:
                answers.append((await describe(s.world.context, KEY)).workflow.name)
            except errors.UnknownWorkflow:
                answers.append("unknown")

        s.disk.is_full = True
        s.world.store.before_commit = look
        async with anyio.create_task_group() as tasks:
            with pytest.raises(errors.NoSpace):
                await s.world.submit(SPEC)
        assert answers == ["unknown"]
        await s.make_room()
        assert (await s.world.submit(SPEC)).key == "1"


async def test_who_waits_for_a_value_gets_the_one_that_is_stored_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bytes] = []

    async def wait() -> None:
        request = u.Fetch(name="v", workflow_key="1", wait=True)
        reply = await data.fetch(s.world.context, request, NO_CALL)
        found.append(bytes(reply.record.data))  # type: ignore[arg-type]

    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await checkpoint()
                await s.stand_still(store(b"1"))
                assert found == []
                await s.make_room()
                s.report(Started(FIRST, 1, Timestamp(20)))  # any news of the workflow
                await s.controller.settled()
                for _ in range(10):
                    await checkpoint()
                assert found == []
                await s.controller.request(store(b"2"))
        assert found == [b"2"]


async def test_a_workflow_that_is_over_can_be_looked_at_while_all_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await one_that_is_over(s)
        await s.world.submit(SPEC)
        s.controller.scheduler.forget(KEY)
        await s.stand_still(e.PauseRequested(WorkflowKey(3), s.controller.now()))
        reply = await describe(s.world.context, KEY)
        assert reply.workflow.status.value == "completed"
        assert reply.workflow.held_up is None
        async with s.controller.workflow(KEY) as node:
            await s.make_room()
            assert s.controller.scheduler.workflows[KEY] is node


async def one_that_is_over(s: Scene) -> None:
    await s.world.submit(b'{"jobs": [{"command": "true"}]}')
    s.report(Exited(FIRST, 0, Timestamp(30), None, None))
    await s.controller.settled()


async def test_a_workflow_that_there_was_no_room_to_delete_is_there_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await one_that_is_over(s)
        s.disk.is_full = True
        with pytest.raises(errors.NoSpace):
            await s.controller.delete(KEY)
        assert (await describe(s.world.context, KEY)).workflow.status.value == "completed"
        await s.make_room()
        await s.controller.delete(KEY)
        with pytest.raises(errors.UnknownWorkflow):
            await describe(s.world.context, KEY)


async def test_what_is_left_of_a_deleted_workflow_goes_when_there_is_room_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await one_that_is_over(s)
        sweep, tries = s.world.store.sweep, 0
        is_gone = anyio.Event()

        async def without_room_at_first(key: WorkflowKey) -> bool:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise disk.no_space(str(tmp_path / "torcd.db"), "the database")
            done = await sweep(key)
            if done:
                is_gone.set()
            return done

        monkeypatch.setattr(s.world.store, "sweep", without_room_at_first)
        await s.controller.delete(KEY)
        with anyio.fail_after(5):
            await is_gone.wait()
        assert await s.world.store.deleted() == []


async def test_a_daemon_that_was_told_to_drain_starts_nothing_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        await s.stand_still()
        await s.controller.request(e.DrainRequested(s.controller.now()))
        s.report(Exited(FIRST, 0, Timestamp(30), None, None))
        await s.make_room()
        node = s.controller.scheduler.workflows[KEY]
        assert node.counts[JobStatus.COMPLETED] == 1
        assert node.counts[JobStatus.READY] == 1


async def test_it_starts_on_a_full_disk_and_takes_up_what_is_unfinished_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        s.report(Started(FIRST, 1, Timestamp(20)), Exited(FIRST, 0, Timestamp(30), None, None))
        s.disk.is_full = True  # before this is decided
        await s.controller.settled()
    async with scene(tmp_path, monkeypatch, is_full=True) as s:
        s.report(Started(FIRST, 1, Timestamp(20)), Exited(FIRST, 0, Timestamp(30), None, None))
        await s.controller.settled()
        assert s.world.executor.acknowledged == []
        await s.make_room()
        (row,) = await s.world.store.attempts(KEY, job_keys=[A])
        assert (row.started_at, row.ended_at) == (20, 30)


async def test_what_could_be_started_is_not_seen_as_chosen_while_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        await s.controller.request(e.DrainRequested(s.controller.now()))
        s.report(Exited(FIRST, 0, Timestamp(30), None, None))
        await s.controller.settled()
    async with scene(tmp_path, monkeypatch, is_full=True) as s:
        node = s.controller.scheduler.workflows[KEY]
        assert node.counts[JobStatus.READY] == 1
        await s.make_room()
        assert node.counts[JobStatus.PENDING] == 1


async def test_only_a_commit_shows_that_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as s:
        await s.world.submit(SPEC)
        await s.stand_still()
        monkeypatch.setattr(disk, "has_room", lambda *_: True)
        with anyio.fail_after(5):
            while s.disk.refused < 3:
                await checkpoint()
        assert s.controller.shortage is not None
        await s.make_room()


async def test_that_all_stands_still_is_logged_once_and_told_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with structlog.testing.capture_logs() as lines:
        async with scene(tmp_path, monkeypatch) as s:
            await s.world.submit(SPEC)
            await s.stand_still()
            for _ in range(3):
                with pytest.raises(errors.NoSpace):
                    await s.world.submit(SPEC)
            status = await daemon_handler.get_status(s.world.context, m.GetStatus(), NO_CALL)
            assert str(tmp_path / "torcd.db") in (status.held_up or "")
            with pytest.raises(errors.NoSpace):
                await daemon_handler.stop(s.world.context, m.Stop(jobs="terminate"), NO_CALL)
            await daemon_handler.stop(s.world.context, m.Stop(), NO_CALL)
            await s.make_room()
            status = await daemon_handler.get_status(s.world.context, m.GetStatus(), NO_CALL)
            assert status.held_up is None
    told = [line["event"] for line in lines if "room" in line["event"]]
    assert told == ["no room: standing still", "there is room again: going on"]
