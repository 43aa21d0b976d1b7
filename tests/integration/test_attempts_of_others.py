"""Attempts that root's warden starts as another user: their limits, and what that user has no room
for. What holds for all attempts is in the executor's contract."""

import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.executor_world import SilentLog, World, gone
from tests.full_disk import private_mounts
from tests.second_user import NOBODY, needs_root, others
from torcd.accounts import Account
from torcd.executors.base import AttemptOrder, NotStarted
from torcd.executors.local import LocalExecutor
from torcd.executors.warden import processes
from torcd.executors.warden.as_user import MAX_STARTING
from torcd.executors.warden.starting import CLAIM_BATCH
from torcd.model import AttemptKey

pytestmark = needs_root

USER = Account(NOBODY, NOBODY, "nobody", (NOBODY,))


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="torcd-", ignore_cleanup_errors=True) as directory:
        mask = os.umask(0)
        world = World(Path(directory))
        world.directory.chmod(0o777)
        world.user = USER
        yield world
        os.umask(mask)
        world.clean()
        for pipe in world.directory.glob("pipe"):
            os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))  # let go what still hangs at it


def executor(world: World) -> LocalExecutor:
    return LocalExecutor(world.directory / "state", log=SilentLog())


def limited(order: AttemptOrder, *limits: tuple[int, int, int]) -> AttemptOrder:
    return msgspec.structs.replace(order, user=msgspec.structs.replace(USER, limits=limits))


async def test_an_attempt_has_its_users_limits(world: World) -> None:
    async with world.running(executor(world)):
        order = world.order(1, "ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -Hn 1000 && echo raised")
        limits = (
            (resource.RLIMIT_NOFILE, 100, 200),
            (resource.RLIMIT_CORE, 0, 0),
        )
        world.executor.start([limited(order, *limits)])
        await world.end_of(1)
    assert world.stdout(1).split() == ["100", "200", "0"]


async def test_a_limit_of_locks_does_not_take_the_marker_away(world: World) -> None:
    gate = world.gate("gate")
    async with world.running(executor(world)):
        order = world.order(1, f"setsid sh -c 'echo $$ > {gate}; exec sleep 1000' & wait")
        world.executor.start([limited(order, (processes.RLIMIT_LOCKS, 5, 5))])
        pid = int(await gate.hear())
        world.executor.stop(AttemptKey(1), None)
        await gone(pid)
        assert await world.code_of(1) == -9


async def test_who_may_have_no_more_processes_waits_and_others_do_not(world: World) -> None:
    gate = world.gate("gate")
    async with world.running(executor(world)):
        # The kernel counts who is there already: nobody is never one too many.
        world.start(2, f"cat {gate}", lane=2)
        await world.start_of(2)
        none_left = limited(world.order(1, "true", lane=1), (resource.RLIMIT_NPROC, 0, 0))
        world.executor.start([none_left])
        world.start(3, "true", lane=2)
        assert await world.code_of(3) == 0
        assert not {1} & {*world.started, *world.finals}
        world.executor.stop(AttemptKey(1), None)
        end = await world.end_of(1)
        assert end == NotStarted(AttemptKey(1), end.at, None)
        await gate.say()
        assert await world.code_of(2) == 0


async def test_who_waited_for_room_runs_when_there_is_some(
    world: World,
) -> None:
    with private_mounts() as mount:
        disk = mount(world.directory / "disk", 1 << 20)
        disk.path.chmod(0o777)
        disk.use_up_inodes()
        async with world.running(executor(world)):
            order = world.order(1, "echo ran")
            order = msgspec.structs.replace(order, stdout=str(disk.path / "out"), stderr=None)
            world.executor.start([order])
            world.start(2, "true", lane=2)
            assert await world.code_of(2) == 0
            assert not {1} & {*world.started, *world.finals}
            disk.make_room()
            assert await world.code_of(1) == 0
        assert (disk.path / "out").read_text() == "ran\n"
        assert (disk.path / "out").stat().st_uid == NOBODY


async def test_a_problem_with_the_longest_name_is_told(world: World) -> None:
    name = "/" + "\N{PILE OF POO}" * 2_000
    async with world.running(executor(world)):
        world.start(1, "true", cwd=name)
        end = await world.end_of(1)
        world.start(2, "true")
        assert await world.code_of(2) == 0
    assert isinstance(end, NotStarted)
    assert str(end.problem).startswith("cannot enter the working directory /")
    assert str(end.problem).endswith("File name too long")


async def test_any_number_of_starts_that_hang_leave_room_for_others(world: World) -> None:
    many = 300
    pipe = world.directory / "pipe"
    os.mkfifo(pipe)
    hanging = [
        msgspec.structs.replace(
            world.order(key, "true", lane=1, limit=many), stdout=str(pipe), stderr=str(pipe)
        )
        for key in range(1, many + 1)
    ]
    running = executor(world)
    async with world.running(running):
        running.start(hanging)
        another = Account(others(1)[0], NOBODY, "another", (NOBODY,))
        order = msgspec.structs.replace(world.order(1000, "true", lane=2), user=another)
        running.start([order])
        assert await world.code_of(1000) == 0
        warden = running.warden_pid
        children = Path(f"/proc/{warden}/task/{warden}/children").read_text().split()
        assert len(children) <= MAX_STARTING + CLAIM_BATCH
        for order in hanging:
            running.stop(order.attempt_key, None)
        await world.until(lambda: len(world.finals) == many + 1)
