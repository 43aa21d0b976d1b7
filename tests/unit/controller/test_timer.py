"""The timer for runtime limits."""

import time

import anyio

from torcd.controller.timer import Timer
from torcd.model import Timestamp


def now() -> Timestamp:
    return Timestamp(time.time_ns() // 1000)


async def test_it_tells_when_the_time_has_come_and_once() -> None:
    told: list[Timestamp] = []
    came = anyio.Event()

    def passed(at: Timestamp) -> None:
        told.append(at)
        came.set()

    timer = Timer(passed)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timer.run)
        timer.set(Timestamp(now() + 3_600_000_000))
        await anyio.wait_all_tasks_blocked()
        at = Timestamp(now() + 1_000)
        timer.set(at)
        await came.wait()
        assert told[0] >= at
        assert now() >= at
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert len(told) == 1


async def test_a_time_that_has_passed_is_told_at_once_and_none_is_waited_for_never() -> None:
    told: list[Timestamp] = []
    timer = Timer(told.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timer.run)
        timer.set(Timestamp(1))
        timer.set(None)
        await anyio.wait_all_tasks_blocked()
        assert told == []
        timer.set(Timestamp(1))
        with anyio.fail_after(5):
            while not told:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert told[0] >= 1
