"""Two wardens share a lane: what a daemon is told, whoever is killed or robbed meanwhile."""

import os
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests import standing_still
from tests.executor_process import RemoteExecutor
from tests.executor_world import PATIENCE_SECONDS, SilentLog, World, gone
from tests.full_disk import private_mounts
from torcd.errors import ExecutorError
from torcd.executors.base import Exited, Lost, NotStarted
from torcd.executors.local import LocalExecutor, launching
from torcd.executors.warden import processes
from torcd.executors.warden.journal import Journal
from torcd.model import AttemptKey

LIMIT = 2
MANY = 9
"""Attempts: more than are withdrawn at a time."""


ENDING_WELL = (256 - 10, 512 - 10)
"""Keys of which the status is 0: see `command`."""


def attempts(world: World) -> Path:
    return world.directory / "state" / "attempts"


def daemon(world: World) -> RemoteExecutor:
    return RemoteExecutor(world.directory / "state", wardens=2)


def next_daemon(world: World) -> RemoteExecutor:
    """It knows from its database what may have been ordered."""
    return RemoteExecutor(world.directory / "state", wardens=2, ordered_before=range(MANY))


def command(world: World, key: int) -> str:
    """It says that it has run, waits for its gate, and exits with a status of its own."""
    return f"echo {key} >> ran; read < {world.gate(f'gate{key}')}; exit {key + 10}"


def order(world: World, keys: Iterable[int], *, limit: int = LIMIT) -> None:
    world.executor.start([world.order(key, command(world, key), limit=limit) for key in keys])


async def share(world: World, executor: RemoteExecutor) -> tuple[int, int]:
    """Have two wardens run one attempt each, and others wait; the keys of the two."""
    order(world, range(LIMIT + 1))
    second = await executor.warden(2)
    order(world, range(LIMIT + 1, MANY))
    there: set[int] = set()
    while not there:
        # Those that run when the second is there have to end first, for it to have a share.
        await let_end(world, min(await all_places_taken(world)))
        there = {key for key in await all_places_taken(world) if warden_of(world, key) == second}
    [one] = there
    [here] = running(world) - there
    assert warden_of(world, here) == executor.wardens[0]
    return here, one


async def all_places_taken(world: World) -> set[int]:
    """By these."""
    await world.until(lambda: len(running(world)) == LIMIT)
    return running(world)


def warden_of(world: World, key: int) -> int:
    """The parent of one that runs."""
    process = processes.read_process(world.started[AttemptKey(key)].pid)
    return 0 if process is None else process.parent


def running(world: World) -> set[int]:
    return world.started.keys() - world.finals.keys()


async def let_end(world: World, key: int) -> None:
    await world.gate(f"gate{key}").say()
    await world.end_of(key)


async def let_all_end(world: World, *, but: int | None = None, limit: int = LIMIT) -> None:
    """One after the other, as long as any are left; never do more run than may."""
    left = set(range(MANY)) - world.finals.keys() - {but}
    while left:
        await world.until(lambda: bool(running(world) & left))
        assert len(running(world)) <= limit
        key = min(running(world) & left)
        await let_end(world, key)
        left.remove(key)


def check_that_each_ran_once(world: World, keys: range = range(MANY)) -> None:
    assert sorted(world.log_of("ran")) == [str(key) for key in keys]
    for key in keys:
        [end] = set(world.finals[AttemptKey(key)])
        assert isinstance(end, Exited)
        assert end.return_code == key + 10
    assert most_at_once(world) <= LIMIT


def most_at_once(world: World) -> int:
    changes = []
    for key, started in world.started.items():
        end = world.finals[key][0]
        changes += [(started.at, 1), (end.at, -1)]
    most = together = 0
    for _, change in sorted(changes):
        together += change
        most = max(most, together)
    return most


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


async def kill_daemon(executor: RemoteExecutor, *others: int) -> None:
    """And these at the same time."""
    kill(executor.pid, signal.SIGSTOP)
    for pid in others:
        kill(pid)
    kill(executor.pid)
    for pid in (executor.pid, *others):
        await gone(pid)


async def left_behind(world: World) -> RemoteExecutor:
    """A daemon that was killed while its two wardens shared a lane."""
    executor = daemon(world)
    async with world.running(executor):
        await share(world, executor)
        await kill_daemon(executor)
    return executor


# Sharing


async def test_who_is_called_in_gets_some_of_those_that_wait(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        order(world, range(MANY))
        second = await executor.warden(2)
        while all(warden_of(world, key) != second for key in await all_places_taken(world)):
            await let_end(world, min(running(world)))
        await let_all_end(world)
    check_that_each_ran_once(world)


async def test_a_shared_lane_runs_as_many_as_it_may_and_all_of_them(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        await share(world, executor)
        await let_all_end(world)
    check_that_each_ran_once(world)
    assert most_at_once(world) == LIMIT


@pytest.mark.parametrize("whose", ["the first one's", "the second one's"])
async def test_what_waits_behind_one_that_takes_long_is_run_by_the_other_warden(
    world: World, whose: str
) -> None:
    executor = daemon(world)
    async with world.running(executor):
        here, there = await share(world, executor)
        long = here if whose == "the first one's" else there
        await let_all_end(world, but=long)
        assert running(world) == {long}
        await let_end(world, long)
    check_that_each_ran_once(world)


async def test_what_comes_after_one_that_is_over_starts_at_once_whoever_ran_that(
    world: World,
) -> None:
    executor = daemon(world)
    async with world.running(executor):
        await share(world, executor)
        order(world, ENDING_WELL)
        await let_all_end(world)
        both = await all_places_taken(world)
        assert {warden_of(world, key) for key in both} == set(executor.wardens)
        for n, key in enumerate(ENDING_WELL):
            await let_end(world, key)
            world.start(1000 + n, "exit 3", limit=LIMIT, after=key)
            assert await world.code_of(1000 + n) == 3


# What is wanted of an attempt that the second one has


async def test_one_that_the_second_runs_is_stopped(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        _, there = await share(world, executor)
        executor.stop(AttemptKey(there), None)
        assert await world.code_of(there) == -signal.SIGKILL
        await let_all_end(world)
    assert sorted(world.log_of("ran")) == [str(key) for key in range(MANY)]


@pytest.mark.parametrize("how", ["stop", "revoke"])
async def test_those_that_wait_are_taken_out_whoever_has_them(world: World, how: str) -> None:
    executor = daemon(world)
    async with world.running(executor):
        here, there = await share(world, executor)
        over = set(world.finals)
        wait = set(range(MANY)) - {*over, here, there}
        for key in wait:
            if how == "stop":
                executor.stop(AttemptKey(key), None)
            else:
                executor.revoke(AttemptKey(key))
        for key in wait:
            end = await world.end_of(key)
            assert end == NotStarted(AttemptKey(key), end.at, None)
        await let_end(world, here)
        await let_end(world, there)
    assert sorted(map(int, world.log_of("ran"))) == sorted({*over, here, there})


async def test_one_that_the_second_runs_is_frozen_and_thawed(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        here, there = await share(world, executor)
        pid = world.started[AttemptKey(there)].pid
        executor.freeze(AttemptKey(there))
        await standing_still.until([pid], still=True)
        assert not standing_still.stands_still(world.started[AttemptKey(here)].pid)
        kill(executor.wardens[1])
        await executor.warden(3)
        assert standing_still.stands_still(pid)
        executor.thaw(AttemptKey(there))
        await let_end(world, there)
        await let_all_end(world)
    check_that_each_ran_once(world)


async def test_a_second_one_that_somebody_has_stopped_goes_on(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        _, there = await share(world, executor)
        kill(executor.wardens[1], signal.SIGSTOP)
        await let_end(world, there)
        await let_all_end(world)
    check_that_each_ran_once(world)


# Somebody dies


@pytest.mark.parametrize("which", [0, 1])
async def test_one_of_them_is_killed(world: World, which: int) -> None:
    executor = daemon(world)
    async with world.running(executor):
        await share(world, executor)
        kill(executor.wardens[which])
        await executor.warden(3)
        await let_all_end(world)
    check_that_each_ran_once(world)


async def test_both_are_killed(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        await share(world, executor)
        for pid in executor.wardens[:2]:
            kill(pid)
        await executor.warden(4)
        await let_all_end(world)
    check_that_each_ran_once(world)


@pytest.mark.parametrize("with_it", [(), (0,), (1,), (0, 1)])
async def test_the_daemon_is_killed_alone_or_with_wardens(
    world: World, with_it: tuple[int, ...]
) -> None:
    executor = daemon(world)
    async with world.running(executor):
        here, there = await share(world, executor)
        await kill_daemon(executor, *(executor.wardens[number] for number in with_it))
    known = set(world.finals)
    async with world.running(next_daemon(world)):
        order(world, range(MANY))
        await let_all_end(world)
    assert known <= set(world.finals)
    check_that_each_ran_once(world)
    assert {here, there} <= running_before(world)


def running_before(world: World) -> set[int]:
    """Told as started more than once: by the warden that did it, and to the next daemon."""
    told = [report.attempt_key for report in world.history if report in world.started.values()]
    return {key for key in told if told.count(key) > 1}


async def test_what_waits_is_run_by_those_who_have_it_while_no_daemon_is_there(
    world: World,
) -> None:
    executor = daemon(world)
    async with world.running(executor):
        here, there = await share(world, executor)
        await kill_daemon(executor)
    ends = [world.started[AttemptKey(key)].pid for key in (here, there)]
    for key in (here, there):
        await world.gate(f"gate{key}").say()
    for pid in ends:
        await gone(pid)
    async with world.running(next_daemon(world)):
        order(world, range(MANY))
        await let_all_end(world)
    check_that_each_ran_once(world)


# Files are taken away while no daemon is there


def take_away_the_count(world: World) -> None:
    (attempts(world) / "wardens").unlink()


def take_away_the_journal(world: World) -> None:
    (attempts(world) / "warden.1" / "warden.journal").unlink()


def take_away_the_directory(world: World) -> None:
    shutil.rmtree(attempts(world) / "warden.1")


async def test_without_the_count_both_are_found(world: World) -> None:
    executor = await left_behind(world)
    take_away_the_count(world)
    async with world.running(another := next_daemon(world)):
        assert another.wardens == executor.wardens
        order(world, range(MANY))
        await let_all_end(world)
    check_that_each_ran_once(world)


async def test_without_the_journal_of_one_that_lives_all_goes_on(world: World) -> None:
    executor = await left_behind(world)
    take_away_the_journal(world)
    async with world.running(another := next_daemon(world)):
        assert sorted(another.wardens) == sorted(executor.wardens)
        order(world, range(MANY))
        await let_all_end(world)
    check_that_each_ran_once(world)


@pytest.mark.parametrize("taken", [take_away_the_journal, take_away_the_directory])
async def test_without_the_files_of_one_that_is_dead_what_runs_is_found_and_nothing_runs_twice(
    world: World, taken: Callable[[World], None]
) -> None:
    executor = daemon(world)
    async with world.running(executor):
        here, there = await share(world, executor)
        await kill_daemon(executor, executor.wardens[1])
    taken(world)
    async with world.running(next_daemon(world)):
        order(world, range(MANY))
        await world.until(lambda: {*world.finals, *running(world)} >= {here, there})
        assert {here, there} <= running(world)
        for key in (here, there):
            await let_end(world, key)
        lost = set()
        for key in range(MANY):
            await world.until(lambda: key in world.started or key in world.finals)  # noqa: B023
            if key in running(world):
                await let_end(world, key)
            end = await world.end_of(key)
            if isinstance(end, Lost):
                lost.add(key)
                assert "journal was removed" in end.problem
    ran = world.log_of("ran")
    assert len(set(ran)) == len(ran)
    assert lost.isdisjoint(map(int, ran))
    assert lost | set(map(int, ran)) == set(range(MANY))


# Its life


async def test_one_that_has_nothing_to_do_when_a_daemon_starts_is_dismissed(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        await share(world, executor)
        await let_all_end(world)
        executor.acknowledge([AttemptKey(key) for key in range(MANY)])
        order(world, range(MANY, MANY + 1))
        await let_end(world, MANY)
        executor.acknowledge([AttemptKey(MANY)])
    for pid in executor.wardens:
        await gone(pid)
    assert launching.wardens(attempts(world)) == 2
    async with world.running(another := next_daemon(world)):
        assert len(another.wardens) == 1
        assert not (attempts(world) / "warden.1").exists()
        assert launching.wardens(attempts(world)) == 1
        world.start(50, "exit 7", limit=2)
        assert await world.code_of(50) == 7


async def test_while_the_second_one_lives_nobody_can_restore(world: World) -> None:
    executor = daemon(world)
    async with world.running(executor):
        _, there = await share(world, executor)
        await kill_daemon(executor, executor.wardens[0])
    with pytest.raises(ExecutorError, match=r"warden\.1/warden\.lock"):
        launching.newest_attempt(attempts(world))
    kill(executor.wardens[1])
    await gone(executor.wardens[1])
    newest = launching.newest_attempt(attempts(world))
    assert there <= newest < MANY
    assert Journal(str(attempts(world) / "warden.1"), "", 0).read().entries


@pytest.mark.parametrize("room_bytes", [0, 4 << 10, 8 << 10])
async def test_where_there_is_no_room_for_a_second_one_the_first_does_it_all(
    world: World, room_bytes: int
) -> None:
    with private_mounts() as mount:
        disk = mount(world.directory / "state", 8 << 20)
        executor = daemon(world)
        async with world.running(executor):
            order(world, range(1))
            await world.start_of(0)
            disk.fill()
            ballast = disk.path / "ballast"
            os.truncate(ballast, ballast.stat().st_size // 4096 * 4096 - room_bytes)
            order(world, range(1, MANY))
            await world.gate("gate0").say()
            if not room_bytes:
                disk.make_room()
            await world.end_of(0)
            await world.until(lambda: len(running(world)) == LIMIT)
            disk.make_room()
            await let_all_end(world)
        check_that_each_ran_once(world)


async def test_a_second_one_for_which_the_room_goes_while_it_is_called_in_is_done_without(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with private_mounts() as mount:
        disk = mount(world.directory / "state", 8 << 20)
        log = Recorder()
        launched = launching.launch

        def launch_without_room(*words: Any, **options: Any) -> Any:
            disk.fill()
            return launched(*words, **options)

        async with world.running(LocalExecutor(world.directory / "state", log=log, wardens=2)):
            monkeypatch.setattr(launching, "launch", launch_without_room)
            order(world, range(MANY))
            await log.until("no second warden: the first one does it all")
            disk.make_room()
            await world.until(lambda: len(running(world)) == LIMIT)
            await let_all_end(world)
            assert log.events.count("warden_ready") == 1
        check_that_each_ran_once(world)


class Recorder(SilentLog):
    """A log that can be waited for."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._changed = anyio.Event()

    def info(self, event: str, **facts: object) -> None:
        self.events.append(event)
        self._changed.set()

    warning = error = info

    async def until(self, event: str) -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            while event not in self.events:
                self._changed = anyio.Event()
                await self._changed.wait()
