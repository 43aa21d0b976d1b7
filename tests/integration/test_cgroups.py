"""Attempts in cgroups of their own: what is in them, what they tell, and what becomes of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cgroup_place, standing_still
from tests.executor_process import RemoteExecutor
from tests.executor_world import World, alive, gone
from torcd.executors.base import Exited
from torcd.executors.warden import cgroups
from torcd.model import AttemptKey


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with cgroup_place.place() as place:
        if place is None:
            pytest.skip("this user has no cgroup2 to divide")
        world = World(tmp_path)
        world.place = place
        yield world
        world.clean()


def daemon(world: World, **options: bool) -> RemoteExecutor:
    return RemoteExecutor(world.directory / "state", cgroups=world.place, **options)


def ours(world: World) -> Path:
    [directory] = Path(world.place).glob("torcd-*")
    return directory


def of_attempts(world: World) -> list[str]:
    return sorted(path.name for path in ours(world).iterdir() if path.name.isdigit())


def a_sleeper() -> int:
    return os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


async def test_a_job_and_all_it_starts_are_born_in_a_cgroup_of_its_own(world: World) -> None:
    gate = world.gate("gate")
    async with world.running(executor := daemon(world)):
        world.start(1, f"cat /proc/self/cgroup > inside; (setsid sleep 1000 &); read < {gate}")
        started = await world.start_of(1)
        world.start(2, "true")
        await world.end_of(2)
        name = ours(world).name
        assert of_attempts(world) == ["1"]
        assert started.pid in cgroups.pids(f"{ours(world)}/1")
        assert cgroups.pids(f"{ours(world)}/warden") == {await executor.warden()}
        await gate.say()
        await world.end_of(1)
        assert of_attempts(world) == []
    [line] = [x for x in (world.directory / "inside").read_text().split() if x[:3] == "0::"]
    assert line.endswith(f"/{name}/1")


async def test_cgroups_that_a_job_made_below_its_own_go_with_it(world: World) -> None:
    gate = world.gate("gate")
    async with world.running(daemon(world)):
        below = f"{world.place}/*/1/below"
        world.start(
            1,
            f"mkdir $(echo {world.place}/*/1)/below; sleep 1000 & echo $! > {below}/cgroup.procs;"
            f"echo $! > {gate}",
        )
        pid = int(await gate.hear())
        assert await world.code_of(1) == 0
        assert not alive(pid)
        assert of_attempts(world) == []


async def test_a_job_that_moved_itself_out_is_killed_and_frozen_all_the_same(
    world: World,
) -> None:
    gate = world.gate("gate")
    async with world.running(daemon(world)):
        world.start(
            1,
            f"sleep 1000 & echo 0 > {world.place}/cgroup.procs; sleep 1000 & echo $! > {gate};wait",
        )
        pids = [int(await gate.hear()), (await world.start_of(1)).pid]
        assert pids[1] not in cgroups.pids(f"{ours(world)}/1")
        world.executor.freeze(AttemptKey(1))
        await standing_still.until(pids, still=True)
        world.executor.thaw(AttemptKey(1))
        await standing_still.until(pids, still=False)
        world.executor.stop(AttemptKey(1), None)
        assert await world.code_of(1) == -signal.SIGKILL
        assert not any(alive(pid) for pid in pids)


async def test_cpu_time_counts_what_nobody_waited_for(world: World) -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint(1, flush=True)"
    gate = world.gate("gate")
    async with world.running(daemon(world)):
        world.start(1, f"setsid python3 -c '{burn}' > {gate} & read < {gate}; exit 3")
        end = await world.end_of(1)
    assert isinstance(end, Exited)
    assert end.cpu_seconds is not None
    assert 0.2 <= end.cpu_seconds < 20
    assert end.peak_memory_bytes is not None  # with the memory controller or without
    assert not end.oom_kills


async def test_an_orphan_s_cpu_time_is_told_though_nobody_could_wait_for_it(world: World) -> None:
    burn = 'python3 -c "import time\nwhile time.process_time() < 0.1: pass"'
    gate = world.gate("gate")
    async with world.running(executor := daemon(world)):
        world.start(1, f"read < {gate}; {burn}")
        await world.start_of(1)
        warden = await executor.warden()
        os.kill(executor.pid, signal.SIGSTOP)
        os.kill(warden, signal.SIGKILL)
        await executor.kill()
        await gone(warden)
    async with world.running(daemon(world)):
        await world.start_of(1)
        await gate.say()
        end = await world.end_of(1)
        assert isinstance(end, Exited)
        assert end.cpu_seconds is not None
        assert 0.1 <= end.cpu_seconds < 20


async def test_a_frozen_job_stays_frozen_when_its_warden_is_killed_and_thaws_by_the_next(
    world: World,
) -> None:
    gate = world.gate("gate")
    async with world.running(executor := daemon(world)):
        world.start(1, f"read < {gate}; exit 4")
        pid = (await world.start_of(1)).pid
        world.executor.freeze(AttemptKey(1))
        await standing_still.until([pid], still=True)
        os.kill(await executor.warden(), signal.SIGKILL)
        await executor.warden(2)
        assert standing_still.stands_still(pid)
        world.executor.thaw(AttemptKey(1))
        await gate.say()
        assert await world.code_of(1) == 4


async def test_a_new_warden_removes_and_empties_what_nobody_knows_and_nothing_else(
    world: World,
) -> None:
    async with world.running(daemon(world)):
        world.start(1, "true")
        await world.end_of(1)
        directory = ours(world)
    for _ in range(2):  # the second finds what the first has emptied
        stale, other = Path(f"{directory}/77"), Path(f"{world.place}/not-ours/77")
        strangers = []
        for path in (stale, other):
            path.mkdir(parents=True, exist_ok=True)
            strangers.append(a_sleeper())
            (path / "cgroup.procs").write_text(str(strangers[-1]))
        async with world.running(daemon(world)):
            world.start(2, "true")
            await world.end_of(2)
        await gone(strangers[0])
        assert alive(strangers[1])
        for pid in strangers:
            end(pid)


async def test_what_may_be_left_behind_is_left_in_its_cgroup(world: World) -> None:
    gate = world.gate("gate")
    async with world.running(daemon(world, leave_children=True)):
        world.start(1, f"sleep 1000 & echo $! > {gate}")
        pid = int(await gate.hear())
        assert await world.code_of(1) == 0
        assert alive(pid)
        assert cgroups.pids(f"{ours(world)}/1") == {pid}
        os.kill(pid, signal.SIGKILL)
        await gone(pid)


async def test_without_room_for_another_cgroup_a_job_runs_all_the_same(world: World) -> None:
    async with world.running(daemon(world)):
        world.start(1, "true")
        await world.end_of(1)
        (ours(world) / "cgroup.max.descendants").write_text("1")
        world.start(2, "sleep 1000 & exit 3")
        assert await world.code_of(2) == 3


async def test_a_warden_that_ends_by_itself_leaves_nothing(world: World) -> None:
    async with world.running(executor := daemon(world)):
        world.start(1, "true")
        await world.end_of(1)
        world.executor.acknowledge([AttemptKey(1)])
        world.start(2, "true")
        await world.end_of(2)
        world.executor.acknowledge([AttemptKey(2)])
        warden = await executor.warden()
        directory = ours(world)
    await gone(warden)
    assert not directory.exists()


async def test_a_place_that_cannot_be_had_is_told_and_jobs_run_without(world: World) -> None:
    executor = RemoteExecutor(world.directory / "state", cgroups="/proc/nowhere")
    async with world.running(executor):
        world.start(1, "exit 3")
        assert await world.code_of(1) == 3
    log = (world.directory / "state/attempts/warden.log").read_text()
    assert "cannot make cgroups in /proc/nowhere" in log


ASK = "from torcd.executors.local.delegation import place; print(place('auto'))"


@pytest.mark.parametrize("below", ["", "/daemon"], ids=["in it", "in a cgroup below it"])
def test_a_delegated_cgroup_is_found_by_its_mark(world: World, below: str) -> None:
    def found() -> str:
        move = f"echo 0 > {world.place}{below}/cgroup.procs && exec {sys.executable} -c"
        asked = subprocess.run(["sh", "-c", f'{move} "{ASK}"'], capture_output=True, check=True)
        return asked.stdout.decode().strip()

    os.makedirs(f"{world.place}{below}", exist_ok=True)
    if os.geteuid() == 0:
        assert found() == ""
    os.setxattr(world.place, "user.delegate", b"1")
    assert found() == world.place
