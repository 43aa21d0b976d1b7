"""What the service manager is told: only what is so."""

from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.unit.controller.still_life import still_life
from torcd import supervision


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = anyio.Event()

    def __call__(self, *lines: str) -> None:
        self.lines += lines
        self._more.set()

    async def until(self, line: str) -> None:
        with anyio.fail_after(10):
            while line not in self.lines:
                self._more = anyio.Event()
                await self._more.wait()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    lines = Told()
    monkeypatch.setattr(supervision, "notify", lines)
    monkeypatch.setattr(supervision, "STATUS_SECONDS", 0)
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody")
    return lines


async def test_a_commit_that_hangs_leaves_the_watchdog_hungry(tmp_path: Path, told: Told) -> None:
    async with still_life(tmp_path) as world, anyio.create_task_group() as tasks:
        hangs, goes_on = anyio.Event(), anyio.Event()

        async def hang() -> None:
            hangs.set()
            await goes_on.wait()

        world.store.before_commit = hang
        tasks.start_soon(world.submit)
        await hangs.wait()
        tasks.start_soon(supervision.feed_watchdog, world.controller, 0.0)
        for _ in range(50):
            await checkpoint()
        assert told.lines == []
        goes_on.set()
        await told.until("WATCHDOG=1")
        tasks.cancel_scope.cancel()


async def test_what_holds_the_executor_up_is_told_though_nothing_happens(
    tmp_path: Path, told: Told
) -> None:
    async with still_life(tmp_path) as world, anyio.create_task_group() as tasks:
        tasks.start_soon(supervision.tell_status, world.controller)
        await told.until("STATUS=idle")
        world.executor.held_up = "the disk is full: /d"
        world.executor.report([])
        await told.until("STATUS=nothing can be started: the disk is full: /d (idle)")
        world.executor.held_up = None
        told.lines.clear()
        world.executor.report([])
        await told.until("STATUS=idle")
        tasks.cancel_scope.cancel()


async def test_who_was_told_all_there_is_costs_no_wakeup(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep_until(deadline: float) -> None:
        slept.append(deadline)

    monkeypatch.setattr(anyio, "sleep_until", sleep_until)
    async with still_life(tmp_path) as world, anyio.create_task_group() as tasks:
        tasks.start_soon(supervision.tell_status, world.controller)
        await told.until("STATUS=idle")
        for _ in range(50):
            await checkpoint()
        assert slept == []
        world.executor.held_up = "the disk is full: /d"
        world.executor.report([])
        await told.until("STATUS=nothing can be started: the disk is full: /d (idle)")
        assert len(slept) == 1
        tasks.cancel_scope.cancel()


async def test_with_nobody_to_tell_nothing_is_watched(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET")
    async with still_life(tmp_path) as world:
        await supervision.tell_status(world.controller)
    assert told.lines == []
