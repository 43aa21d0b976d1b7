"""The local executor in this process: what a daemon sees of it."""

import ctypes
import os
import signal

import pytest

from tests.executor_world import SilentLog, World, alive, gone
from torcd.errors import ExecutorError
from torcd.executors.local import LocalExecutor, supervisor
from torcd.executors.warden.spawning import DEFAULT_PATH
from torcd.model import AttemptKey


def local(world: World) -> LocalExecutor:
    return LocalExecutor(world.directory / "state", log=SilentLog())


async def test_the_warden_s_pid_is_known_while_there_is_one(world: World) -> None:
    one = local(world)
    assert one.warden_pid is None
    async with world.running(one):
        warden = one.warden_pid
        assert warden is not None
        assert alive(warden)
    assert one.warden_pid is None
    await gone(warden)


async def test_what_was_acknowledged_before_there_is_another_warden_is_not_started_by_it(
    world: World,
) -> None:
    """After a restart an order is repeated whose end was told before. If that is acknowledged, and
    the warden dies before it has told the end once more, the next one must not have the order."""
    one = local(world)
    one.add_environment("base", dict(os.environ))
    one.start([world.order(1, "echo 1 >> ran")])
    one.acknowledge([AttemptKey(1)])
    async with world.running(one):
        world.start(2, "echo 2 >> ran")
        assert await world.code_of(2) == 0
    assert world.log_of("ran") == ["2"]


async def test_a_warden_of_another_version_is_replaced_when_it_has_nothing_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = world.gate("gate")
    first = local(world)
    async with world.running(first):
        world.start(1, f"read < {gate}; exit 3")
        await world.start_of(1)
        old = first.warden_pid
    second = local(world)
    with monkeypatch.context() as patch:
        patch.setattr(supervisor, "__version__", "another")
        async with world.running(second):
            patch.undo()
            assert second.warden_pid == old
            await gate.say()
            assert await world.code_of(1) == 3
            world.executor.acknowledge([AttemptKey(1)])
            assert old is not None
            await gone(old)
            world.start(2, "true")
            assert await world.code_of(2) == 0
            assert second.warden_pid != old


async def test_a_warden_that_cannot_start_ends_the_daemon_and_says_why(world: World) -> None:
    attempts = world.directory / "state" / "attempts"
    attempts.mkdir(parents=True)
    journal = attempts / "warden.journal"
    journal.write_text("nonsense\n")
    with pytest.raises(ExecutorError, match=r"warden\.journal: line 1 is damaged"):
        await local(world).run(world.take)
    assert journal.read_text() == "nonsense\n"


async def test_a_damaged_state_id_is_named(world: World) -> None:
    attempts = world.directory / "state" / "attempts"
    attempts.mkdir(parents=True)
    (attempts / "state_id").write_text("x\n")
    with pytest.raises(ExecutorError, match="state_id"):
        await local(world).run(world.take)


async def test_what_is_said_before_there_is_a_warden_is_not_forgotten(world: World) -> None:
    one = local(world)
    one.add_environment("early", {"WHEN": "early", "PATH": DEFAULT_PATH})
    one.start([world.order(1, "echo $WHEN", base="early"), world.order(2, "sleep 1000")])
    one.stop(AttemptKey(2), None)
    async with world.running(one):
        assert await world.code_of(1) == 0
        await world.end_of(2)
    assert world.stdout(1) == "early\n"


async def test_the_process_inherits_what_a_dead_warden_leaves(world: World) -> None:
    one = local(world)
    async with world.running(one):
        answer = ctypes.c_int()
        ctypes.CDLL(None).prctl(37, ctypes.byref(answer), 0, 0, 0)  # PR_GET_CHILD_SUBREAPER
        assert answer.value == 1


def child_of_ours() -> int:
    return os.posix_spawn("/bin/true", ["true"], {})


def is_reaped_only_now(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None


async def test_children_that_are_no_job_s_are_left_to_who_started_them(world: World) -> None:
    """The daemon's library code may have children too."""
    one = local(world)
    async with world.running(one):
        world.start(1, "true")
        await world.end_of(1)
        child = child_of_ours()
        await gone(child)
        os.kill(os.getpid(), signal.SIGCHLD)
        world.start(2, "true")
        await world.end_of(2)
        assert is_reaped_only_now(child)
