"""Files are looked at before a workflow that is over goes on, which others may let it do, too."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.controller.still_life import NO_CALL, StillLife, still_life
from torcd.controller.looking import States
from torcd.executors.base import NotStarted
from torcd.model import WorkflowKey
from torcd.protocol import manager as m
from torcd.scheduler import events as e
from torcd.scheduler.state import WorkflowNode
from torcd.server.context import Context
from torcd.server.handlers.apply import apply
from torcd.server.handlers.restart import restart
from torcd.server.handlers.retry import retry


def spec(directory: Path, command: str) -> bytes:
    job = {"name": "a", "command": command, "input_files": ["in"]}
    file = {"name": "in", "path": str(directory / "in")}
    return msgspec.json.encode({"name": "w", "jobs": [job], "files": [file]})


async def fail_all(world: StillLife, node: WorkflowNode) -> None:
    """What was ordered last does not start, and the workflow is over."""
    order = world.executor.ordered[-1]
    world.executor.report([NotStarted(order.attempt_key, world.controller.now(), "no")])
    await world.controller.settled()
    assert node.is_over


async def ask_to_restart(context: Context, key: str, directory: Path) -> None:
    await restart(context, m.Restart(workflow_key=key), NO_CALL)


async def ask_to_retry(context: Context, key: str, directory: Path) -> None:
    await retry(context, m.Retry(workflow_key=key, jobs=["a"]), NO_CALL)


async def ask_to_apply(context: Context, key: str, directory: Path) -> None:
    edited = msgspec.Raw(spec(directory, "false"))
    await apply(context, m.Apply(workflow_key=key, workflow=edited, directory="/"), NO_CALL)


@pytest.mark.parametrize("ask", [ask_to_restart, ask_to_retry, ask_to_apply])
async def test_if_it_went_on_and_is_over_again_files_are_looked_at_again(
    tmp_path: Path, ask: Callable[[Context, str, Path], Awaitable[None]]
) -> None:
    (tmp_path / "in").write_text("before")
    async with still_life(tmp_path) as world:
        controller, gatherer = world.controller, world.controller.gatherer
        submitted = await world.submit(spec(tmp_path, "true"))
        node = controller.scheduler.workflows[WorkflowKey(int(submitted.key))]
        await fail_all(world, node)
        states_of = gatherer.states_of
        looked = 0

        async def with_others(*arguments: Any) -> States:
            nonlocal looked
            looked += 1
            found = await states_of(*arguments)
            if looked == 1:
                (tmp_path / "in").write_text("written meanwhile")
                async with controller.revived(node):
                    await controller.request(
                        e.RetryRequested(
                            workflow_key=node.key,
                            jobs=tuple(node.jobs),
                            absent_files=frozenset(),
                            files={},
                            at=controller.now(),
                        )
                    )
                await fail_all(world, node)
            return found

        gatherer.states_of = with_others  # type: ignore[assignment, method-assign]
        await ask(world.context, submitted.key, tmp_path)
        assert not node.is_over
        assert [state.size for state in node.file_states.values()] == [len("written meanwhile")]
        assert looked == 2
