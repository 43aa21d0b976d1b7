"""Daemon and warden killed, in any order: statuses stay true, and nothing runs twice."""

import os
import platform
import random
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pytest

from tests import cgroup_place, standing_still
from tests.executor_process import RemoteExecutor
from tests.executor_world import (
    PATIENCE_SECONDS,
    Gate,
    SilentLog,
    World,
    alive,
    gone,
)
from tests.inheriting import inherit_orphans
from torcd.executors.base import AttemptOrder, Exited, Lost, NotStarted, Started
from torcd.executors.local import LocalExecutor
from torcd.executors.warden import processes
from torcd.model import AttemptKey

PIDFD_KEEPS_STATUS = tuple(int(n) for n in platform.release().split(".")[:2]) >= (6, 15)


@pytest.fixture(params=["by marker", "in cgroups"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(tmp_path)
    if request.param == "by marker":
        yield world
        world.clean()
        return
    with cgroup_place.place() as place:
        if place is None:
            pytest.skip("this user has no cgroup2 to divide")
        world.place = place
        yield world
        world.clean()


@pytest.fixture
def heir() -> None:
    """What the daemon and the warden leave is this process's to reap, and only when it wants."""
    inherit_orphans(True)


def daemon(world: World, **options: bool) -> RemoteExecutor:
    return RemoteExecutor(world.directory / "state", cgroups=world.place, **options)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


def reap(pid: int) -> None:
    os.waitpid(pid, 0)


def zombie(pid: int) -> bool:
    process = processes.read_process(pid)
    return process is not None and process.over


def children_of(pid: int) -> set[int]:
    found = processes.all_processes().values()
    return {process.pid for process in found if process.parent == pid}


async def one_with_a_running_job(world: World, executor: RemoteExecutor, end: str) -> int:
    """Job 1 waits at the gate, and ends as told; its pid."""
    world.start(1, f"echo ran >> ran; read < {world.gate('gate')}; {end}")
    return (await world.start_of(1)).pid


# The warden is killed


@pytest.mark.parametrize(("end", "code"), [("exit 3", 3), ("kill -6 $$", -6), ("exit 0", 0)])
async def test_a_job_that_outlives_its_warden_has_its_true_status(
    world: World, end: str, code: int
) -> None:
    executor = daemon(world)
    async with world.running(executor):
        await one_with_a_running_job(world, executor, end)
        kill(await executor.warden())
        await executor.warden(2)
        await world.gate("gate").say()
        assert await world.code_of(1) == code
    assert world.log_of("ran") == ["ran"]


async def test_a_job_that_ends_before_the_next_warden_is_there_has_its_true_status(
    world: World,
) -> None:
    executor = daemon(world)
    async with world.running(executor):
        pid = await one_with_a_running_job(world, executor, "exit 3")
        kill(executor.pid, signal.SIGSTOP)  # it can't start another yet
        kill(await executor.warden())
        await world.gate("gate").say()
        await gone(pid)
        kill(executor.pid, signal.SIGCONT)
        assert await world.code_of(1) == 3


async def test_a_status_that_the_warden_had_no_time_to_take_is_not_lost(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        pid = await one_with_a_running_job(world, executor, "exit 3")
        warden = await executor.warden()
        kill(executor.pid, signal.SIGSTOP)  # or it would have the warden go on
        kill(warden, signal.SIGSTOP)
        await world.gate("gate").say()
        await gone(pid)
        assert zombie(pid)
        kill(warden)
        kill(executor.pid, signal.SIGCONT)
        assert await world.code_of(1) == 3
        assert not zombie(pid)


async def test_an_adopted_job_s_cpu_time_is_told(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        burn = 'python3 -c "import time\nwhile time.process_time() < 0.05: pass"'
        await one_with_a_running_job(world, executor, burn)
        kill(await executor.warden())
        await executor.warden(2)
        await world.gate("gate").say()
        end = await world.end_of(1)
    assert isinstance(end, Exited)
    assert end.cpu_seconds is not None
    assert end.cpu_seconds >= 0.05


async def test_what_waited_in_the_dead_warden_is_started_by_the_next(world: World) -> None:
    executor = daemon(world)
    gate = world.gate("gate")
    async with world.running(executor):
        world.executor.start(
            [
                world.order(1, f"read < {gate}", limit=1),
                world.order(2, "echo 2 >> ran", limit=1),
                world.order(3, "echo 3 >> ran", limit=1),
            ]
        )
        await world.start_of(1)
        kill(await executor.warden())
        await executor.warden(2)
        world.start(9, "true", lane=2)
        await world.end_of(9)  # given after the others, so these have been seen to
        assert 2 not in world.started  # the adopted one has the place
        await gate.say()
        assert await world.code_of(3) == 0
    assert world.log_of("ran") == ["2", "3"]


async def test_ends_that_were_not_acknowledged_survive_the_warden(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        world.start(1, "exit 3")
        world.start(2, "exit 4")
        first, second = await world.end_of(1), await world.end_of(2)
        world.executor.acknowledge([AttemptKey(1)])
        world.start(3, "true")
        await world.end_of(3)
        kill(await executor.warden())
        await world.until(lambda: len(world.finals[2]) == 2)
    assert world.finals[1] == [first]
    assert world.finals[2] == [second, second]


async def test_an_adopted_job_is_stopped_with_its_tree(world: World) -> None:
    executor = daemon(world)
    pids = world.gate("pids")
    async with world.running(executor):
        world.start(
            1,
            f"(setsid env -i bash -c 'trap \"\" TERM; echo $$ > {pids}; read < {pids}' &); "
            f"read < {world.gate('gate')}",
        )
        background = int(await pids.hear())
        leader = (await world.start_of(1)).pid
        kill(await executor.warden())
        await executor.warden(2)
        assert alive(background)
        world.executor.stop(AttemptKey(1), 0.05)
        assert await world.code_of(1) in (-signal.SIGTERM, -signal.SIGKILL)
        assert not alive(background)
        assert not alive(leader)


async def test_a_stop_that_the_dead_warden_did_not_read_is_carried_out_by_the_next(
    world: World,
) -> None:
    async with world.running(first := daemon(world)):
        await one_with_a_running_job(world, first, "exit 3")
        await first.kill()
    async with world.running(second := daemon(world)):
        warden = await second.warden()
        world.start(1, "exit 4")  # as after every start; it is known already
        kill(warden, signal.SIGSTOP)  # of which only its parent is told
        world.executor.stop(AttemptKey(1), None)
        world.start(2, "true")
        kill(warden)
        await ended_as_far_as_known(world, -signal.SIGKILL)
        assert await world.code_of(2) == 0


async def test_what_an_adopted_job_leaves_is_killed_and_no_zombie_stays(world: World) -> None:
    executor = daemon(world)
    pids = world.gate("pids")
    async with world.running(executor):
        world.start(
            1,
            f"(setsid bash -c 'echo $$ > {pids}; read < {pids}' &); "
            f"read < {world.gate('gate')}; exit 3",
        )
        background = int(await pids.hear())
        kill(await executor.warden())
        second = await executor.warden(2)
        await world.gate("gate").say()
        assert await world.code_of(1) == 3
        assert not alive(background)
        kill(executor.pid, signal.SIGCHLD)  # a look more: what it is to reap it has to reap now
        world.start(2, "true")
        await world.end_of(2)
        assert children_of(executor.pid) == {second}


async def test_a_warden_stopped_in_the_middle_of_a_spawn_leaves_one_process_and_no_doubt(
    world: World,
) -> None:
    """The child opens its log before it becomes the program. If the log is a FIFO it waits there,
    and the warden with it: claimed, spawned, and not yet written down."""
    executor = daemon(world)
    log = world.gate("1.out")
    async with world.running(executor):
        world.executor.start(
            [world.order(1, "echo 1 >> ran; exit 3"), world.order(2, "echo 2 >> ran; exit 4")]
        )
        warden = await executor.warden()
        await spawning(warden)
        kill(warden)
        await executor.warden(2)
        assert await world.code_of(2) == 4  # claimed as well, but never spawned
        assert 1 not in world.finals
        assert await log.hear() == ""
        assert await world.code_of(1) == 3
    assert sorted(world.log_of("ran")) == ["1", "2"]


async def spawning(warden: int) -> None:
    """Wait until the warden waits for its child to become the program."""
    with anyio.fail_after(PATIENCE_SECONDS):
        # The state D of a parent in vfork has no event; it is reached in microseconds. It may be
        # in that state for other reasons, too, but then it has no child.
        while (process := processes.read_process(warden)) is None or not (
            process.state == b"D" and children_of(warden)
        ):
            await anyio.lowlevel.checkpoint()


async def test_a_warden_is_not_ended_by_signals_that_end_a_daemon(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        await one_with_a_running_job(world, executor, "exit 3")
        warden = await executor.warden()
        for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM"):
            kill(warden, signal.Signals[f"SIG{name}"])
        assert os.getsid(warden) == warden
        await world.gate("gate").say()
        assert await world.code_of(1) == 3
        assert executor.wardens == [warden]


async def test_a_warden_that_is_stopped_goes_on(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        await one_with_a_running_job(world, executor, "exit 3")
        kill(await executor.warden(), signal.SIGSTOP)
        await world.gate("gate").say()
        assert await world.code_of(1) == 3


async def test_a_warden_that_was_stopped_goes_on_for_the_next_daemon(world: World) -> None:
    async with world.running(first := daemon(world)):
        await one_with_a_running_job(world, first, "exit 3")
        await first.kill()
    kill(await first.warden(), signal.SIGSTOP)
    async with world.running(second := daemon(world)):
        assert await second.warden() == await first.warden()
        await world.gate("gate").say()
        assert await world.code_of(1) == 3


async def test_a_warden_takes_over_more_jobs_than_it_may_have_descriptors_at_first(
    world: World,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(os.listdir("/proc/self/fd")) + 40  # this process has to do with them, too
    keys = range(1, few + 20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        async with world.running(executor := daemon(world)):
            sleeps = ["sleep", "1000"]
            executor.start([world.order(k, sleeps, limit=len(keys), stdio="none") for k in keys])
            await world.until(lambda: len(world.started) == len(keys))
            kill(await executor.warden())
            for key in keys:
                executor.stop(AttemptKey(key), None)
            assert {await world.code_of(key) for key in keys} == {-signal.SIGKILL}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# The daemon is killed


async def test_a_killed_daemon_s_job_is_found_running_by_the_next(world: World) -> None:
    async with world.running(first := daemon(world)):
        pid = await one_with_a_running_job(world, first, "exit 3")
        await first.kill()
    world.started.clear()
    async with world.running(second := daemon(world)):
        assert await second.warden() == await first.warden()
        assert (await world.start_of(1)).pid == pid
        await world.gate("gate").say()
        assert await world.code_of(1) == 3
    assert world.log_of("ran") == ["ran"]


async def test_a_warden_without_a_daemon_and_without_work_ends_and_its_reports_stay(
    world: World,
) -> None:
    async with world.running(first := daemon(world)):
        await one_with_a_running_job(world, first, "exit 3")
        await first.kill()
    assert alive(await first.warden())
    await world.gate("gate").say()
    await gone(await first.warden())
    async with world.running(second := daemon(world)):
        assert await world.code_of(1) == 3
        assert await second.warden() != await first.warden()


async def test_the_warden_of_an_earlier_daemon_is_killed(world: World) -> None:
    async with world.running(first := daemon(world)):
        await one_with_a_running_job(world, first, "exit 3")
        await first.kill()
    async with world.running(second := daemon(world)):
        kill(await second.warden())
        await second.warden(2)
        await world.gate("gate").say()
        await ended_as_far_as_known(world, 3)


async def test_a_job_that_ends_before_the_next_warden_is_there_is_known_to_a_daemon_that_is_no_heir(
    world: World, heir: None
) -> None:
    async with world.running(first := daemon(world)):
        pid = await one_with_a_running_job(world, first, "exit 3")
        await first.kill()
    world.started.clear()
    async with world.running(second := daemon(world)):
        await world.start_of(1)
        kill(second.pid, signal.SIGSTOP)  # it can't start another warden yet
        warden = await second.warden()
        kill(warden)
        await gone(warden)  # and the job is ours
        await world.gate("gate").say()
        await gone(pid)
        reap(pid)
        kill(second.pid, signal.SIGCONT)
        await ended_as_far_as_known(world, 3)


async def test_the_daemon_that_adopted_a_job_is_killed(world: World) -> None:
    async with world.running(first := daemon(world)):
        pid = await one_with_a_running_job(world, first, "exit 3")
        kill(await first.warden())
        await first.warden(2)
        await first.kill()
    await world.gate("gate").say()
    await gone(pid)
    async with world.running(daemon(world)):
        await ended_as_far_as_known(world, 3)
    assert world.log_of("ran") == ["ran"]


async def test_a_status_that_an_adopting_daemon_had_no_time_to_tell_is_asked_of_the_pidfd(
    world: World,
) -> None:
    async with world.running(first := daemon(world)):
        pid = await one_with_a_running_job(world, first, "exit 3")
        kill(await first.warden())
        await first.warden(2)
        kill(first.pid, signal.SIGSTOP)
        await world.gate("gate").say()
        await gone(pid)
        await first.kill()
    async with world.running(daemon(world)):
        await ended_as_far_as_known(world, 3)


async def ended_as_far_as_known(world: World, code: int) -> None:
    end = await world.end_of(1)
    if PIDFD_KEEPS_STATUS:
        assert isinstance(end, Exited)
        assert end.return_code == code
    else:
        assert isinstance(end, Lost) or end.return_code == code


# Both are killed


async def both_killed(world: World, end: str) -> int:
    async with world.running(executor := daemon(world)):
        pid = await one_with_a_running_job(world, executor, end)
        warden = await executor.warden()
        kill(executor.pid, signal.SIGSTOP)
        kill(warden)
        await executor.kill()
        await gone(warden)
    return pid


async def test_a_job_that_outlives_both_is_found_and_waited_for(world: World) -> None:
    pid = await both_killed(world, "exit 3")
    assert alive(pid)
    world.started.clear()
    async with world.running(daemon(world)):
        assert (await world.start_of(1)).pid == pid
        await world.gate("gate").say()
        await ended_as_far_as_known(world, 3)
    assert world.log_of("ran") == ["ran"]


async def test_a_job_that_outlives_both_can_be_stopped(world: World) -> None:
    pid = await both_killed(world, "exit 3")
    async with world.running(daemon(world)):
        await world.start_of(1)
        world.executor.stop(AttemptKey(1), None)
        await ended_as_far_as_known(world, -signal.SIGKILL)
        assert not alive(pid)


@pytest.mark.skipif(not PIDFD_KEEPS_STATUS, reason="needs Linux 6.15")
async def test_how_a_job_ended_that_somebody_else_has_reaped_is_asked_of_its_pidfd(
    world: World, heir: None
) -> None:
    pid = await both_killed(world, "exit 3")
    async with world.running(executor := daemon(world)):
        warden = await executor.warden()
        kill(executor.pid, signal.SIGSTOP)  # or it would have the warden go on
        kill(warden, signal.SIGSTOP)
        await world.gate("gate").say()
        await gone(pid)
        reap(pid)
        kill(warden, signal.SIGCONT)
        kill(executor.pid, signal.SIGCONT)
        assert await world.code_of(1) == 3


async def test_a_job_that_ended_while_nobody_was_there_and_is_not_reaped_has_its_true_status(
    world: World, heir: None
) -> None:
    pid = await both_killed(world, "kill -6 $$")
    await world.gate("gate").say()
    await gone(pid)
    async with world.running(daemon(world)):
        assert await world.code_of(1) == -6
    reap(pid)


async def test_a_frozen_job_thaws_by_a_daemon_and_a_warden_that_have_not_frozen_it(
    world: World,
) -> None:
    command = f"read < {world.gate('gate')}; exit 3"
    async with world.running(executor := daemon(world)):
        world.start(1, command)
        pid = (await world.start_of(1)).pid
        world.executor.freeze(AttemptKey(1))
        await standing_still.until([pid], still=True)
        warden = await executor.warden()
        kill(executor.pid, signal.SIGSTOP)
        kill(warden)
        await executor.kill()
        await gone(warden)
    assert standing_still.stands_still(pid)
    async with world.running(daemon(world)):
        world.start(1, command)
        await world.start_of(1)
        world.executor.thaw(AttemptKey(1))
        await world.gate("gate").say()
        await standing_still.until([pid], still=False)
        await world.end_of(1)


async def test_a_job_that_ended_while_nobody_was_there_is_lost_and_not_started_again(
    world: World, heir: None
) -> None:
    pid = await both_killed(world, "exit 3")
    await world.gate("gate").say()
    await gone(pid)
    reap(pid)
    async with world.running(daemon(world)):
        world.start(1, "echo again >> ran")
        end = await world.end_of(1)
        assert isinstance(end, Lost)
        assert "neither" in end.problem
        world.start(2, "true")
        await world.end_of(2)
    assert world.log_of("ran") == ["ran"]


async def test_what_a_lost_job_left_is_killed_before_it_is_reported(
    world: World, heir: None
) -> None:
    pids = world.gate("pids")
    async with world.running(executor := daemon(world)):
        world.start(
            1,
            f"(setsid bash -c 'echo $$ > {pids}; read < {pids}' &); read < {world.gate('gate')}",
        )
        background = int(await pids.hear())
        leader = (await world.start_of(1)).pid
        warden = await executor.warden()
        kill(executor.pid, signal.SIGSTOP)
        kill(warden)
        await executor.kill()
        await gone(warden)
    await world.gate("gate").say()
    await gone(leader)
    reap(leader)
    assert alive(background)
    async with world.running(daemon(world)):
        assert isinstance(await world.end_of(1), Lost)
        assert not alive(background)


async def test_a_claim_that_nobody_can_explain_is_lost(world: World) -> None:
    """The second of a batch when the first blocks the warden: it never ran, but who could tell?"""
    async with world.running(executor := daemon(world)):
        world.gate("1.out")
        world.executor.start([world.order(1, "exit 3"), world.order(2, "echo 2 >> ran")])
        warden = await executor.warden()
        await spawning(warden)
        kill(executor.pid, signal.SIGSTOP)
        kill(warden)
        await executor.kill()
        await gone(warden)
    async with world.running(daemon(world)):
        assert isinstance(await world.end_of(2), Lost)
        assert (await world.start_of(1)).pid
        assert await world.gate("1.out").hear() == ""
        await ended_as_far_as_known(world, 3)
    assert world.log_of("ran") == []


async def test_what_was_never_claimed_is_started_by_the_next(world: World) -> None:
    orders = [
        world.order(1, f"read < {world.gate('gate')}", limit=1),
        world.order(2, "echo 2 >> ran", limit=1),
    ]
    async with world.running(executor := daemon(world)):
        world.executor.start(orders)
        await world.start_of(1)
        warden = await executor.warden()
        kill(executor.pid, signal.SIGSTOP)
        kill(warden)
        await executor.kill()
        await gone(warden)
    async with world.running(daemon(world)):
        world.executor.start(orders)
        await world.start_of(1)
        await world.gate("gate").say()
        assert await world.code_of(2) == 0
    assert world.log_of("ran") == ["2"]


async def test_a_reused_pid_is_not_taken_for_the_job(world: World) -> None:
    await both_killed(world, "exit 3")
    journal = world.directory / "state" / "attempts" / "warden.journal"
    pid = world.started[1].pid
    await world.gate("gate").say()
    await gone(pid)
    async with world.running(other := RemoteExecutor(world.directory / "other")):
        world.start(7, f"read < {world.gate('other gate').path.as_posix().replace(' ', '?')}")
        stranger = (await world.start_of(7)).pid
        text = journal.read_text()
        assert f'"started",1,{pid},' in text
        journal.write_text(text.replace(f'"started",1,{pid},', f'"started",1,{stranger},'))
        del world.started[1]
        fresh = daemon(world)
        sub = World(world.directory)
        async with sub.running(fresh):
            end = await sub.end_of(1)
            assert isinstance(end, Lost)
        assert alive(stranger)
        world.executor = other
        world.executor.stop(AttemptKey(7), None)
        assert await world.code_of(7) == -signal.SIGKILL


async def test_after_a_reboot_what_ran_is_lost_and_what_had_ended_is_told(world: World) -> None:
    async with world.running(executor := daemon(world)):
        world.start(2, "exit 4")
        await world.end_of(2)
    world.finals.clear()
    pid = await both_killed(world, "exit 3")
    async with world.running(RemoteExecutor(world.directory / "state", boot_id="another")):
        end = await world.end_of(1)
        assert isinstance(end, Lost)
        assert "restarted" in end.problem
        assert await world.code_of(2) == 4
    kill(pid)  # which no restart would have left
    assert alive(await executor.warden()) is False


# Anything, at any time


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_killed_when_every_attempt_runs_at_most_once(
    world: World, seed: int
) -> None:
    chance = random.Random(seed)
    jobs = 40
    orders: dict[int, AttemptOrder] = {
        key: world.order(key, f"echo {key} >> ran; exit {key}", lane=key % 3, limit=2)
        for key in range(1, jobs + 1)
    }
    lost_at_most = 0
    while len(world.finals) < jobs:
        executor = daemon(world)
        async with world.running(executor):
            world.executor.start([o for key, o in orders.items() if key not in world.finals])
            while len(world.finals) < jobs:
                seen = len(world.history)
                await world.until(lambda seen=seen: len(world.history) > seen)  # type: ignore[misc]
                what = chance.random()
                if what < 0.15:
                    number = len(executor.wardens)
                    kill(executor.wardens[-1])
                    await executor.warden(number + 1)
                elif what < 0.25:
                    await executor.kill()
                    break
                elif what < 0.3:
                    lost_at_most += 16 + 6  # claimed at once, and running in three lanes
                    warden = executor.wardens[-1]
                    kill(executor.pid, signal.SIGSTOP)
                    kill(warden)
                    await executor.kill()
                    await gone(warden)
                    break
    ran = world.log_of("ran")
    assert len(ran) == len(set(ran))
    lost = 0
    for key, ends in world.finals.items():
        for end in ends:
            if isinstance(end, Lost):
                lost += 1
            else:
                assert isinstance(end, Exited)
                assert end.return_code == key
                assert str(key) in ran
    assert lost <= lost_at_most
    assert all(isinstance(report, Started | Exited | Lost) for report in world.history)


# After another


async def test_what_comes_after_a_job_waits_for_it_when_the_warden_is_killed(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        await one_with_a_running_job(world, executor, "echo 1 >> order")
        world.start(2, "echo 2 >> order", after=1)
        world.start(3, "echo 3 >> order", after=2)
        kill(await executor.warden(1))
        await executor.warden(2)
        await Gate(world.directory / "gate").say()
        assert await world.code_of(3) == 0
    assert world.log_of("order") == ["1", "2", "3"]


async def test_what_comes_after_a_job_is_not_started_by_a_warden_that_lost_its_end(
    world: World,
) -> None:
    executor = daemon(world)
    async with world.running(executor):
        await one_with_a_running_job(world, executor, "true")
        world.start(2, "echo 2 >> ran", after=1)
        kill(await executor.warden(1))
        await executor.warden(2)
        world.executor.stop(AttemptKey(1), None)
        assert isinstance(await world.end_of(2), NotStarted)
    assert world.log_of("ran") == ["ran"]


async def test_a_warden_that_knows_no_after_starts_nothing_too_early(tmp_path: Path) -> None:
    world = World(tmp_path)
    gate = world.gate("gate")
    executor = LocalExecutor(tmp_path / "state", log=SilentLog())
    async with world.running(executor):
        link = executor._supervisors[0]._link
        assert link is not None
        assert link.hello is not None
        assert link.hello.takes_after
        link.hello = msgspec.structs.replace(link.hello, takes_after=False)
        world.start(1, f"read < {gate}; exit 4")
        await world.start_of(1)
        world.start(2, "true", after=1)
        end = await world.end_of(2)
        assert end == NotStarted(AttemptKey(2), end.at, None)
        world.start(1, "true", after=0)  # as a new daemon does; it is known
        await gate.say()
        assert await world.code_of(1) == 4


# What may be left


async def test_children_may_be_left_behind_where_that_is_configured(world: World) -> None:
    pids = world.gate("pids")
    async with world.running(daemon(world, leave_children=True)):
        world.start(1, f"(setsid bash -c 'echo $$ > {pids}; read < {pids}' &)")
        pid = int(await pids.hear())
        assert await world.code_of(1) == 0
        assert alive(pid)
        kill(pid)
        await gone(pid)


async def test_a_stopped_attempt_leaves_none_even_so(world: World) -> None:
    pids = world.gate("pids")
    async with world.running(daemon(world, leave_children=True)):
        world.start(1, f"(setsid bash -c 'echo $$ > {pids}; read < {pids}' &); read < {pids}.not")
        world.gate("pids.not")
        pid = int(await pids.hear())
        world.executor.stop(AttemptKey(1), None)
        await world.end_of(1)
        assert not alive(pid)
