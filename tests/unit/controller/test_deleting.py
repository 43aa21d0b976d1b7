"""A workflow that is being deleted."""

from pathlib import Path

import anyio
import pytest

from tests.unit.controller.still_life import still_life
from torcd.errors import UnknownWorkflow
from torcd.executors.base import NotStarted
from torcd.model import WorkflowKey
from torcd.scheduler import events as e


async def test_who_asks_for_it_meanwhile_does_not_bring_it_back(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        controller = world.controller
        key = WorkflowKey(int((await world.submit()).key))
        await controller.request(
            e.CancelRequested(workflow_key=key, jobs=None, at=controller.now())
        )
        (order,) = world.executor.ordered
        world.executor.report([NotStarted(order.attempt_key, controller.now(), None)])
        await controller.settled()
        assert controller.scheduler.workflows[key].is_over

        deciding, may_commit = anyio.Event(), anyio.Event()

        async def hold() -> None:
            deciding.set()
            await may_commit.wait()

        async def ask() -> None:
            with pytest.raises(UnknownWorkflow):
                async with controller.workflow(key):
                    pass

        world.store.before_commit = hold
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(controller.delete, key)
            await deciding.wait()  # it is decided, and still on disk
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            world.store.before_commit = None
            may_commit.set()
        assert key not in controller.scheduler.workflows
