"""The daemon ends: how soon, and what becomes of the jobs."""

from pathlib import Path

import anyio
import pytest

from tests.unit.controller.still_life import StillLife, still_life
from torcd import feed
from torcd.daemon import End, _end_jobs
from torcd.executors.base import NotStarted
from torcd.model import AttemptKey, WorkflowStatus


def give_back_what_is_stopped(world: StillLife) -> None:
    """As an executor whose attempts have not started."""
    controller, executor = world.controller, world.executor

    def stop(attempt_key: AttemptKey, grace_seconds: float | None = None) -> None:
        executor.report([NotStarted(attempt_key, controller.now(), None)])

    executor.stop = stop  # type: ignore[method-assign]
    executor.revoke = stop  # type: ignore[method-assign]


async def test_terminating_ends_many_large_workflows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_BACKLOG", 3)
    async with still_life(tmp_path) as world:
        give_back_what_is_stopped(world)
        jobs = b", ".join([b'{"command": "true"}'] * 20)
        for _ in range(3):
            await world.submit(b'{"jobs": [%s]}' % jobs)
        with anyio.fail_after(10):
            await _end_jobs(world.controller, "terminate")
        statuses = {node.status for node in world.controller.scheduler.workflows.values()}
        assert statuses == {WorkflowStatus.CANCELED}


async def test_nothing_starts_any_more_while_the_daemon_ends(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        give_back_what_is_stopped(world)
        with anyio.fail_after(10):
            await _end_jobs(world.controller, "terminate")
        await world.submit()
        await world.controller.settled()
        assert world.executor.ordered == []


async def test_a_workflow_that_ends_meanwhile_does_not_stop_the_stopping(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        give_back_what_is_stopped(world)
        await world.submit()
        await _end_jobs(world.controller, "terminate")
        await world.submit()
        with anyio.fail_after(10):
            await _end_jobs(world.controller, "terminate")


async def test_the_most_urgent_request_counts() -> None:
    end = End()
    end.request("wait")
    assert await end.wait() == "wait"
    with anyio.fail_after(5):
        with end.until_more_is_asked():
            end.request("wait")
            end.request("terminate")
            await anyio.sleep_forever()
        assert await end.wait() == "terminate"
        with end.until_more_is_asked():
            end.request("wait")
            end.request("leave")
            await anyio.sleep_forever()
        assert await end.wait() == "leave"
