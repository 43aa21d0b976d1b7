"""A restart is prepared in a thread: what happens to the workflow meanwhile counts."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tests.unit.controller.still_life import NO_CALL, StillLife, still_life
from torcd import errors
from torcd.executors.base import NotStarted
from torcd.model import JobStatus, WorkflowKey
from torcd.protocol import manager as m
from torcd.protocol import user_data as u
from torcd.scheduler import restarting
from torcd.scheduler.events import ArchiveRequested
from torcd.scheduler.state import WorkflowNode
from torcd.server.handlers.data import store
from torcd.server.handlers.disable import disable
from torcd.server.handlers.restart import restart
from torcd.server.handlers.retry import retry

SPEC = msgspec.json.encode(
    {
        "jobs": [
            {"name": "a", "command": "true"},
            {"name": "b", "command": "true"},
        ],
        "user_data": [{"name": "v", "data": 1}],
    }
)


class Meanwhile:
    """A restart of a workflow that is over, held when it has been prepared first."""

    def __init__(self, world: StillLife, node: WorkflowNode) -> None:
        self.world = world
        self.node = node
        self.key = str(node.key)
        self.prepared = 0
        self._was_prepared, self._may_go_on = threading.Event(), threading.Event()
        self._prepare = restarting.prepare

    def prepare(self, *arguments: Any) -> restarting.Prepared:
        self.prepared += 1
        found = self._prepare(*arguments)
        if self.prepared == 1:
            self._was_prepared.set()
            assert self._may_go_on.wait(20)
        return found

    async def until_prepared(self) -> None:
        await anyio.to_thread.run_sync(self._was_prepared.wait, 20)

    def go_on(self) -> None:
        self._may_go_on.set()

    async def restart(self) -> m.Restarted:
        return await restart(self.world.context, m.Restart(workflow_key=self.key), NO_CALL)


@asynccontextmanager
async def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Meanwhile]:
    async with still_life(tmp_path) as world:
        submitted = await world.submit(SPEC)
        node = world.controller.scheduler.workflows[WorkflowKey(int(submitted.key))]
        now = world.controller.now()
        world.executor.report(
            [NotStarted(order.attempt_key, now, "no") for order in world.executor.ordered]
        )
        await world.controller.settled()
        assert node.is_over
        found = Meanwhile(world, node)
        monkeypatch.setattr(restarting, "prepare", found.prepare)
        yield found


async def outcome(meanwhile: Meanwhile) -> m.Restarted | errors.UserError:
    try:
        return await meanwhile.restart()
    except errors.UserError as error:
        return error


async def outcome_while(
    meanwhile: Meanwhile, other: Callable[[], Awaitable[None]]
) -> m.Restarted | errors.UserError:
    """Of a restart during which somebody asks for something else."""
    found: list[m.Restarted | errors.UserError] = []

    async def ask() -> None:
        found.append(await outcome(meanwhile))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await meanwhile.until_prepared()
        await other()
        meanwhile.go_on()
    return found[0]


def status(node: WorkflowNode, name: str) -> JobStatus:
    [found] = [job.state.status for job in node.jobs.values() if job.job.name == name]
    return found


async def test_a_job_that_is_disabled_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(tmp_path, monkeypatch) as meanwhile:

        async def other() -> None:
            parameters = m.Disable(workflow_key=meanwhile.key, jobs=["b"])
            await disable(meanwhile.world.context, parameters, NO_CALL)

        told = await outcome_while(meanwhile, other)
        assert isinstance(told, m.Restarted)
        assert {item.name: item.outlook for item in told.items} == {
            "a": "will_run",
            "b": "up_to_date",
        }
        assert status(meanwhile.node, "b") is JobStatus.DISABLED
        assert [job.run_id for job in meanwhile.node.jobs.values()] == [2, 1]


async def test_a_value_that_is_stored_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(tmp_path, monkeypatch) as meanwhile:

        async def other() -> None:
            parameters = u.Store(workflow_key=meanwhile.key, name="v", data=msgspec.Raw(b"2"))
            await store(meanwhile.world.context, parameters, NO_CALL)

        told = await outcome_while(meanwhile, other)
        assert isinstance(told, m.Restarted)
        assert told.restarted
        [data] = meanwhile.node.data.values()
        assert data.revision == 2
        assert data.sha256 != data.initial_sha256


async def test_of_two_restarts_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(tmp_path, monkeypatch) as meanwhile:
        found: list[m.Restarted | errors.UserError] = []

        async def ask() -> None:
            found.append(await outcome(meanwhile))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await meanwhile.until_prepared()
            meanwhile.go_on()
        [told] = [one for one in found if isinstance(one, m.Restarted)]
        assert any(isinstance(one, errors.WrongState) for one in found)
        assert (told.restarted, told.run_id, meanwhile.node.run_id) == (True, 2, 2)
        assert len({order.attempt_key for order in meanwhile.world.executor.ordered}) == 4


async def test_what_is_retried_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with held(tmp_path, monkeypatch) as meanwhile:

        async def other() -> None:
            parameters = m.Retry(workflow_key=meanwhile.key, jobs=["a"])
            await retry(meanwhile.world.context, parameters, NO_CALL)

        assert isinstance(await outcome_while(meanwhile, other), errors.WrongState)
        assert meanwhile.node.run_id == 1
        assert status(meanwhile.node, "a") is JobStatus.PENDING
        assert status(meanwhile.node, "b") is JobStatus.FAILED


async def test_an_archived_one_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(tmp_path, monkeypatch) as meanwhile:
        controller, key = meanwhile.world.controller, meanwhile.node.key

        async def other() -> None:
            await controller.request(
                ArchiveRequested(workflow_key=key, archived=True, at=controller.now())
            )

        assert isinstance(await outcome_while(meanwhile, other), errors.WrongState)
        assert meanwhile.node.is_over


async def test_a_deleted_one_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with held(tmp_path, monkeypatch) as meanwhile:

        async def other() -> None:
            await meanwhile.world.controller.delete(meanwhile.node.key)

        assert isinstance(await outcome_while(meanwhile, other), errors.UnknownWorkflow)
        assert len(meanwhile.world.executor.ordered) == 2


async def test_many_others_do_not_put_it_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(tmp_path, monkeypatch) as meanwhile:
        monkeypatch.setattr("torcd.controller.shelf.MAX_IDLE_JOBS", 0)
        world = meanwhile.world

        async def other() -> None:
            submitted = await world.submit()
            order = world.executor.ordered[-1]
            world.executor.report([NotStarted(order.attempt_key, world.controller.now(), "no")])
            await world.controller.settled()
            assert WorkflowKey(int(submitted.key)) not in world.controller.scheduler.workflows

        told = await outcome_while(meanwhile, other)
        assert isinstance(told, m.Restarted)
        assert world.controller.scheduler.workflows[meanwhile.node.key] is meanwhile.node
        assert meanwhile.prepared == 1
