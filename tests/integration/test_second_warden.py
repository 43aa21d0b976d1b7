"""The second warden of a local executor: one that cannot be had, and one beside cgroups."""

import os
import signal
from pathlib import Path

import anyio
import pytest

from tests import cgroup_place
from tests.executor_world import PATIENCE_SECONDS, SilentLog, World, alive
from torcd.errors import ExecutorError
from torcd.executors.local import LocalExecutor, launching
from torcd.executors.warden import ledger
from torcd.executors.warden.journal import Journal
from torcd.executors.warden.ledger import Attempt


class Log(SilentLog):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.ready: list[int] = []
        """The pids of wardens."""
        self._said = anyio.Event()

    def info(self, event: str, **facts: object) -> None:
        if event == "warden_ready":
            pid = facts["pid"]
            assert isinstance(pid, int)
            self.ready.append(pid)
            self._said.set()

    def warning(self, event: str, **facts: object) -> None:
        self.warnings.append(f"{event}: {facts.get('problem')}")
        self._said.set()

    async def said(self) -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            await self._said.wait()
        self._said = anyio.Event()


async def test_where_no_second_warden_can_be_had_the_first_one_does_it_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = launching.launch

    def launch_the_first(directory: Path, *facts: object, **options: object) -> object:
        if directory.name == "warden.1":
            raise ExecutorError("no more processes")
        return launch(directory, *facts, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(launching, "launch", launch_the_first)
    log = Log()
    async with world.running(LocalExecutor(world.directory / "state", log=log, wardens=2)):
        gate = world.gate("gate")
        world.executor.start([world.order(k, f"read < {gate}", limit=2) for k in (1, 2, 3, 4)])
        while not log.warnings:
            await log.said()
        assert log.warnings == ["no second warden: the first one does it all: no more processes"]
        for key in (1, 2, 3, 4):
            world.executor.stop(world.order(key, "").attempt_key, None)
        for key in (1, 2, 3, 4):
            await world.end_of(key)
        world.executor.start([world.order(k, "true", limit=2) for k in range(5, 15)])
        for key in range(5, 15):
            assert await world.code_of(key) == 0


async def test_a_second_warden_from_before_there_were_cgroups_leaves_those_of_the_first_alone(
    world: World,
) -> None:
    attempts = world.directory / "state" / "attempts"
    state_id = launching.prepare(attempts)
    launching.add_warden(attempts, 1, launching.read_boot_id(), state_id)
    journal = Journal(str(attempts / "warden.1"), launching.read_boot_id(), state_id)
    journal.rewrite([ledger.claimed([Attempt(77, None, None)])])  # or it would be dismissed
    os.close(journal._fd)
    log = Log()
    with cgroup_place.place() as place:
        if place is None:
            pytest.skip("this user has no cgroup2 to divide")
        one = LocalExecutor(world.directory / "state", log=log, cgroups=place, wardens=2)
        async with world.running(one):
            assert one.cgroups is not None
            world.start(1, "exec sleep 1000")
            started = await world.start_of(1)
            [second] = [pid for pid in log.ready if pid != one.warden_pid]
            os.kill(second, signal.SIGKILL)
            while len(log.ready) < 3:
                await log.said()
            world.start(2, "true")
            assert await world.code_of(2) == 0
            assert alive(started.pid)
            one.stop(world.order(1, "").attempt_key, None)
            assert await world.code_of(1) == -signal.SIGKILL
