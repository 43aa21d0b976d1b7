"""Who waits for the end of a workflow is told without looking for it on disk."""

from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tests.unit.controller.still_life import NO_CALL, still_life
from torcd.executors.base import NotStarted
from torcd.model import WorkflowStatus
from torcd.protocol import manager as m
from torcd.server.handlers.workflows import follow_workflow


async def test_one_that_memory_would_let_go_is_not_read_again_for_who_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torcd.controller.shelf.MAX_IDLE_JOBS", 0)
    async with still_life(tmp_path) as world:

        async def load(*_: Any) -> None:
            raise AssertionError("it is read")

        monkeypatch.setattr(world.store, "load", load)
        key = (await world.submit()).key
        follows = anyio.Event()
        told: list[m.WorkflowReply] = []

        async def send(reply: object) -> None:
            follows.set()

        async def follow() -> None:
            call = msgspec.structs.replace(NO_CALL, send=send)
            told.append(
                await follow_workflow(world.context, m.FollowWorkflow(workflow_key=key), call)
            )

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await follows.wait()
            now = world.controller.now()
            world.executor.report(
                [NotStarted(order.attempt_key, now, "no") for order in world.executor.ordered]
            )
        assert told[0].workflow.status is WorkflowStatus.FAILED
