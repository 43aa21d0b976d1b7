"""What takes long is thought through in a thread, and holds if nothing happens meanwhile."""

import threading
from pathlib import Path

import anyio
import pytest

from tests.unit.controller.still_life import StillLife, still_life
from torcd.executors.base import NotStarted
from torcd.model import WorkflowKey
from torcd.scheduler import events as e
from torcd.scheduler.state import WorkflowNode


async def over(world: StillLife) -> WorkflowNode:
    """A workflow that is."""
    controller = world.controller
    key = WorkflowKey(int((await world.submit()).key))
    await controller.request(e.CancelRequested(workflow_key=key, jobs=None, at=controller.now()))
    (order,) = world.executor.ordered
    world.executor.report([NotStarted(order.attempt_key, controller.now(), None)])
    await controller.settled()
    node = controller.scheduler.workflows[key]
    assert node.is_over
    return node


class Look:
    """In a thread it waits until it may go on."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.threads: list[int] = []
        self.began, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> int:
        self.threads.append(threading.get_ident())
        if len(self.threads) == 1:
            self.began.set()
            assert self.may_end.wait(20)
            if self.error is not None:
                raise self.error
        return len(self.threads)


async def archive(world: StillLife, node: WorkflowNode, *, archived: bool) -> None:
    controller = world.controller
    await controller.request(e.ArchiveRequested(workflow_key=node.key, archived=archived, at=1))


async def test_others_are_served_meanwhile(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        node, look = await over(world), Look()
        found: list[int] = []

        async def ask() -> None:
            found.append(await world.controller.ahead(node, look))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.to_thread.run_sync(look.began.wait)
            await world.submit()
            look.may_end.set()
        assert found == [1]
        assert look.threads != [threading.get_ident()]


@pytest.mark.parametrize("error", [None, RuntimeError("it changed under it")])
async def test_it_looks_again_if_something_has_happened(
    tmp_path: Path, error: Exception | None
) -> None:
    async with still_life(tmp_path) as world:
        node, look = await over(world), Look(error)
        found: list[int] = []

        async def ask() -> None:
            found.append(await world.controller.ahead(node, look))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.to_thread.run_sync(look.began.wait)
            await archive(world, node, archived=True)
            look.may_end.set()
        assert found == [2]
        assert look.threads[1] == threading.get_ident()


async def test_what_it_raises_is_raised(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        node, look = await over(world), Look(RuntimeError("so it is"))
        look.may_end.set()
        with pytest.raises(RuntimeError, match="so it is"):
            await world.controller.ahead(node, look)
