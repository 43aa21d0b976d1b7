"""The controller's loop: who is answered when, and what is left by those who go away."""

import itertools
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.unit.controller.still_life import StillLife, still_life
from torcd.controller import loop
from torcd.executors.base import Exited, Lost
from torcd.model import AttemptKey, JobKey, WorkflowKey
from torcd.scheduler import events as e

CHAIN = b"""
{"jobs": [
  {"name": "a", "command": "true"},
  {"name": "b", "command": "true", "depends_on": ["a"]},
  {"name": "c", "command": "true", "depends_on": ["b"]}
]}
"""


async def test_who_waits_for_what_came_in_does_not_wait_for_what_comes_later(
    tmp_path: Path,
) -> None:
    async with still_life(tmp_path) as world:
        key = WorkflowKey(int((await world.submit()).key))
        controller = world.controller
        events = [e.PauseRequested, e.ResumeRequested]
        commits = 0

        async def more_comes_in() -> None:
            nonlocal commits
            commits += 1
            for event in events:
                tasks.start_soon(controller.request, event(key, controller.now()))
            await checkpoint()

        async with anyio.create_task_group() as tasks:
            world.store.before_commit = more_comes_in
            tasks.start_soon(controller.request, e.PauseRequested(key, controller.now()))
            await checkpoint()
            await controller.settled()
            assert commits < 10
            world.store.before_commit = None


async def test_memory_is_not_ahead_of_the_disk_for_who_waited(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        key = WorkflowKey(int((await world.submit()).key))
        controller = world.controller
        node = controller.scheduler.workflows[key]
        seen: list[str] = []

        async def one_more_comes_in() -> None:
            world.store.before_commit = None
            tasks.start_soon(controller.request, e.ResumeRequested(key, controller.now()))
            await checkpoint()

        async def ask() -> None:
            await controller.request(e.PauseRequested(key, controller.now()))
            seen.append(node.status.value)

        async with anyio.create_task_group() as tasks:
            world.store.before_commit = one_more_comes_in
            tasks.start_soon(ask)
        assert seen == ["paused"]


async def test_until_it_is_on_disk_nothing_is_told_answered_ordered_or_acknowledged(
    tmp_path: Path,
) -> None:
    async with still_life(tmp_path) as world:
        key = WorkflowKey(int((await world.submit(CHAIN)).key))
        controller, executor = world.controller, world.executor
        seen: list[object] = []
        told = 0

        async def look() -> None:
            await settle_down()
            seen.append((told, len(executor.ordered), executor.acknowledged.copy(), answered))

        async def settle_down() -> None:
            for _ in range(20):
                await checkpoint()

        async def listen() -> None:
            nonlocal told
            with controller.feed.subscribe() as subscription:
                while True:
                    told += len(await subscription.next_batch())

        async def ask() -> None:
            nonlocal answered
            cancel = e.CancelRequested(
                workflow_key=key, jobs=(JobKey(key + 3),), at=controller.now()
            )
            await controller.request(cancel)
            answered = True

        answered = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await settle_down()
            world.store.before_commit = look
            tasks.start_soon(ask)
            executor.report([Exited(AttemptKey(1), 0, controller.now(), None, None)])
            while not (answered and executor.acknowledged):
                await checkpoint()
            world.store.before_commit = None
            await settle_down()
            tasks.cancel_scope.cancel()
        assert seen == [(0, 1, [], False)]
        assert told > 0
        assert [order.attempt_key for order in executor.ordered] == [1, 2]
        assert executor.acknowledged == [1]


async def test_who_is_cut_off_while_submitting_does_not_confuse_the_keys_of_the_next(
    tmp_path: Path,
) -> None:
    async with still_life(tmp_path) as world:
        first = await world.submit()
        controller = world.controller
        held, go_on = anyio.Event(), anyio.Event()

        async def hold() -> None:
            held.set()
            await go_on.wait()

        async def submit_and_be_cut_off() -> None:
            with cut_off:
                await world.submit()

        cut_off = anyio.CancelScope()
        keys = []
        world.store.before_commit = hold
        async with anyio.create_task_group() as tasks:
            key = WorkflowKey(int(first.key))
            tasks.start_soon(controller.request, e.PauseRequested(key, controller.now()))
            await held.wait()
            tasks.start_soon(submit_and_be_cut_off)
            while not controller._inbox:  # until it waits for the commit that is under way
                await checkpoint()
            cut_off.cancel()
            tasks.start_soon(_submit_into, world, keys)
            while len(controller._inbox) < 2:
                await checkpoint()
            go_on.set()
        assert len(keys) == 1
        assert (await world.submit()).key not in {first.key, *keys}


async def _submit_into(world: StillLife, keys: list[str]) -> None:
    keys.append((await world.submit()).key)


async def test_who_was_answered_together_shares_the_next_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "GATHER_SHARE", 1e9)
    async with still_life(tmp_path) as world, anyio.create_task_group() as tasks:
        key = WorkflowKey(int((await world.submit()).key))
        changes = itertools.cycle([e.PauseRequested, e.ResumeRequested])
        commits = 0

        async def count() -> None:
            nonlocal commits
            commits += 1

        def ask(times: int) -> None:
            for _ in range(times):
                event = next(changes)(key, world.controller.now())
                tasks.start_soon(world.controller.request, event)

        async def commits_for(times: int, *, then: Callable[[], None]) -> tuple[int, int]:
            """Those there are before, and after, the last of them asks."""
            ask(times)
            await anyio.wait_all_tasks_blocked()
            before = commits
            then()
            await world.controller.settled()
            return before, commits

        def the_last_one() -> None:
            ask(1)

        def a_report() -> None:
            world.executor.report([Lost(AttemptKey(1), world.controller.now(), "gone")])

        world.store.before_commit = count
        ask(3)
        await anyio.wait_all_tasks_blocked()
        await world.controller.settled()
        commits = 0
        assert await commits_for(2, then=the_last_one) == (0, 1)
        # What is told of jobs does not wait for them, nor they for more when it has come.
        assert await commits_for(2, then=a_report) == (1, 2)
