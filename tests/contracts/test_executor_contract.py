"""The contract of `torcd.executors.base`, checked on every executor."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tests import cgroup_place, standing_still
from tests.daemon_process import command_line
from tests.executor_process import RemoteExecutor
from tests.executor_world import (
    PATIENCE_SECONDS,
    SilentLog,
    World,
    alive,
    gone,
)
from tests.second_user import NOBODY
from torcd.accounts import Account
from torcd.executors.base import Executor, Exited, NotStarted, Started
from torcd.executors.local import LocalExecutor
from torcd.executors.warden import processes
from torcd.model import AttemptKey

Make = Callable[[Path], Executor]


def local(directory: Path) -> Executor:
    return LocalExecutor(directory / "state", log=SilentLog())


def local_in_another_process(directory: Path) -> Executor:
    return RemoteExecutor(directory / "state")


def local_with_two_wardens(directory: Path) -> Executor:
    return LocalExecutor(directory / "state", log=SilentLog(), wardens=2)


def local_with_cgroups(directory: Path, place: str) -> Executor:
    return LocalExecutor(directory / "state", log=SilentLog(), cgroups=place)


def local_as_another_user(directory: Path) -> Executor:
    return LocalExecutor(directory / "state", log=SilentLog())


@pytest.fixture(
    params=[
        local,
        local_in_another_process,
        local_with_two_wardens,
        local_with_cgroups,
        local_as_another_user,
    ]
)
def make(request: pytest.FixtureRequest, world: World) -> Iterator[Make]:
    if request.param is local_with_cgroups:
        with cgroup_place.place() as place:
            if place is None:
                pytest.skip("this user has no cgroup2 to divide")
            yield partial(local_with_cgroups, place=place)
    elif request.param is local_as_another_user:
        with in_a_public_place(world):
            yield request.param
    else:
        yield request.param


@contextmanager
def in_a_public_place(world: World) -> Iterator[None]:
    """Where `nobody`, as whom its attempts run then, can do what the tests have them do."""
    if os.geteuid() != 0:
        pytest.skip("only root can start what runs as another user")
    with tempfile.TemporaryDirectory(prefix="torcd-", ignore_cleanup_errors=True) as directory:
        mask = os.umask(0)
        try:
            world.directory = Path(directory)
            world.directory.chmod(0o777)
            world.user = Account(NOBODY, NOBODY, "nobody", (NOBODY,))
            yield
            world.clean()
        finally:
            os.umask(mask)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.clean()


# 1. At most once


async def test_an_attempt_ordered_twice_runs_once(world: World, make: Make) -> None:
    async with world.running(make(world.directory)):
        order = world.order(1, "echo ran >> ran")
        world.executor.start([order])
        world.executor.start([order])
        await world.end_of(1)
        world.executor.start([order])
        # Or three, if it had ended when the second order came; and two may come at once.
        await world.until(lambda: len(world.finals[1]) >= 2)
    assert (world.directory / "ran").read_text() == "ran\n"
    assert len(set(world.finals[1])) == 1


async def test_a_running_attempt_ordered_again_is_only_reported_again(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        order = world.order(1, f"read < {gate}")
        world.executor.start([order])
        started = await world.start_of(1)
        world.executor.start([order])
        await world.until(lambda: world.history.count(started) == 2)
        await gate.say()
        assert await world.code_of(1) == 0


async def test_a_running_attempt_outlives_the_executor_and_is_reported_by_the_next(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    command = f"echo ran >> ran; read < {gate}; exit 5"
    async with world.running(make(world.directory)):
        world.start(1, command)
        started = await world.start_of(1)
    assert alive(started.pid)
    world.started.clear()
    async with world.running(make(world.directory)):
        world.start(1, command)
        assert await world.start_of(1) == started
        await gate.say()
        assert await world.code_of(1) == 5
    assert (world.directory / "ran").read_text() == "ran\n"


# 2. One final report, repeated until acknowledged


async def test_what_ended_while_no_executor_was_there_is_reported_by_the_next(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}; exit 7")
        pid = (await world.start_of(1)).pid
    await gate.say()
    await gone(pid)
    async with world.running(make(world.directory)):
        assert await world.code_of(1) == 7


async def test_a_final_report_is_repeated_until_it_is_acknowledged(
    world: World, make: Make
) -> None:
    async with world.running(make(world.directory)):
        world.start(1, "exit 3")
        first = await world.end_of(1)
    world.finals.clear()
    async with world.running(make(world.directory)):
        assert await world.end_of(1) == first
        world.executor.acknowledge([AttemptKey(1)])
        world.start(2, "true")  # once this one's end is known, the acknowledgement has arrived
        await world.end_of(2)
    world.finals.clear()
    async with world.running(make(world.directory)):
        await world.end_of(2)
    assert 1 not in world.finals


async def test_an_end_is_reported_once_to_each_executor(world: World, make: Make) -> None:
    async with world.running(make(world.directory)):
        world.start(1, "true")
        await world.end_of(1)
        world.start(2, "true")
        await world.end_of(2)
        assert len(world.finals[1]) == 1


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 0", 0), ("exit 1", 1), ("exit 255", 255), ("kill -9 $$", -9), ("kill -15 $$", -15)],
)
async def test_the_return_code_is_the_status_or_minus_the_signal(
    world: World, make: Make, command: str, code: int
) -> None:
    async with world.running(make(world.directory)):
        world.start(1, command)
        assert await world.code_of(1) == code


async def test_what_cannot_be_started_is_not_started_and_the_problem_names_it(
    world: World, make: Make
) -> None:
    (world.directory / "text").write_text("no program")
    (world.directory / "text").chmod(0o755)
    lost_script = world.directory / "script"
    lost_script.write_text("#!/no/such/interpreter\n")
    lost_script.chmod(0o755)
    here = str(world.directory)
    async with world.running(make(world.directory)):
        world.start(1, ["no-such-program"])
        world.start(2, ["/no/such/program"])
        world.start(3, "true", cwd=f"{here}/nowhere")
        world.start(4, [here])
        world.start(5, [f"{here}/text"])
        world.start(6, [f"{here}/script"])
        world.start(7, ["echo", "x" * 200_000])
        world.start(8, ["echo", "a\0b"])
        world.start(9, "true", base="unknown")
        problems = {}
        for key in range(1, 10):
            end = await world.end_of(key)
            assert isinstance(end, NotStarted)
            problems[key] = end.problem or ""
    assert not world.started
    assert "no-such-program" in problems[1]
    assert "PATH" in problems[1]
    assert "/no/such/program" in problems[2]
    assert f"{here}/nowhere" in problems[3]
    assert "directory" in problems[4]
    assert f"{here}/text" in problems[5]
    assert "interpreter" in problems[6]
    assert "larger" in problems[7]
    assert "null" in problems[8]
    assert "unknown" in problems[9]


async def test_a_log_file_that_cannot_be_created_is_the_problem_named(
    world: World, make: Make
) -> None:
    async with world.running(make(world.directory)):
        (world.directory / "1.err").mkdir()
        world.start(1, "true")
        end = await world.end_of(1)
    assert isinstance(end, NotStarted)
    assert "1.err" in (end.problem or "")


# 3. Lanes


async def test_a_lane_runs_as_many_as_its_limit_in_the_order_given(
    world: World, make: Make
) -> None:
    if make is local_with_two_wardens:
        pytest.skip("these share a lane of several places")
    gates = [world.gate(f"gate{i}") for i in range(5)]
    async with world.running(make(world.directory)):
        world.executor.start([world.order(i, f"read < {gates[i]}", limit=2) for i in range(5)])
        for i in range(5):
            await world.start_of(i)
            if i >= 1:
                running = {k for k in world.started if k not in world.finals}
                assert running == {i - 1, i}
                await gates[i - 1].say()
        await gates[4].say()
        await world.end_of(4)


async def test_a_lane_has_no_empty_place_while_any_wait_and_runs_all(
    world: World, make: Make
) -> None:
    gates = [world.gate(f"gate{i}") for i in range(9)]
    async with world.running(make(world.directory)):
        world.executor.start([world.order(i, f"read < {gates[i]}", limit=3) for i in range(9)])
        for left in range(9, 0, -1):
            await world.until(lambda: len(running(world)) >= min(left, 3))  # noqa: B023
            assert len(running(world)) == min(left, 3)
            one = min(running(world))
            await gates[one].say()
            await world.end_of(one)


def running(world: World) -> set[int]:
    return world.started.keys() - world.finals.keys()


async def test_a_lane_of_one_place_runs_all_in_the_order_given(world: World, make: Make) -> None:
    async with world.running(make(world.directory)):
        world.executor.start([world.order(i, f"echo {i} >> ran", limit=1) for i in range(9)])
        for i in range(9):
            assert await world.code_of(i) == 0
    assert world.log_of("ran") == [str(i) for i in range(9)]


async def test_places_that_come_free_are_filled_without_an_executor(
    world: World, make: Make
) -> None:
    gate, done = world.gate("gate"), world.gate("done")
    async with world.running(make(world.directory)):
        world.executor.start(
            [
                world.order(1, f"read < {gate}", limit=1),
                world.order(2, f"echo second > {done}", limit=1),
            ]
        )
        await world.start_of(1)
    await gate.say()
    assert await done.hear() == "second\n"
    async with world.running(make(world.directory)):
        assert await world.code_of(2) == 0


async def test_lanes_do_not_wait_for_each_other(world: World, make: Make) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}", lane=1, limit=1)
        world.start(2, "true", lane=2, limit=1)
        assert await world.code_of(2) == 0
        await gate.say()
        await world.end_of(1)


async def test_the_newest_order_s_limit_rules_its_lane(world: World, make: Make) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}", limit=1)
        world.start(2, "true", limit=1)
        await world.start_of(1)
        assert 2 not in world.started
        world.start(3, "true", limit=2)
        assert await world.code_of(2) == 0
        assert await world.code_of(3) == 0
        await gate.say()
        await world.end_of(1)


@pytest.mark.parametrize("how", ["stop", "revoke"])
async def test_one_that_waits_can_be_taken_out(world: World, make: Make, how: str) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}", limit=1)
        world.start(2, "echo 2 >> ran", limit=1)
        world.start(3, "echo 3 >> ran", limit=1)
        if how == "stop":
            world.executor.stop(AttemptKey(2), None)
        else:
            world.executor.revoke(AttemptKey(2))
        end = await world.end_of(2)
        assert isinstance(end, NotStarted)
        assert end.problem is None
        await gate.say()
        assert await world.code_of(3) == 0
    assert (world.directory / "ran").read_text() == "3\n"


async def test_one_that_runs_is_not_revoked(world: World, make: Make) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}; exit 4")
        await world.start_of(1)
        world.executor.revoke(AttemptKey(1))
        await gate.say()
        assert await world.code_of(1) == 4


# 4. Nothing is left

HOSTILE = """
import os, signal, sys, time
def child(setup):
    if os.fork() == 0:
        setup()
        with open(sys.argv[1], "w") as gate:
            gate.write(f"{os.getpid()}\\n")
        while True:
            signal.pause()
def daemonise():
    os.setsid()
    if os.fork():
        os._exit(0)
def empty():
    if len(sys.argv) < 3:
        os.execve(sys.executable, [sys.executable, __file__, sys.argv[1], "emptied"], {})
def ignore():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
if len(sys.argv) == 3:
    with open(sys.argv[1], "w") as gate:
        gate.write(f"{os.getpid()}\\n")
    while True:
        signal.pause()
for setup in (lambda: None, os.setsid, daemonise, empty, ignore):
    child(setup)
"""


async def hostile_pids(world: World) -> list[int]:
    """The five, all at work."""
    # One descriptor for all: what somebody says between two readers is heard by none.
    gate = os.open(world.gate("pids").path, os.O_RDWR)
    try:
        said = b""
        with anyio.fail_after(PATIENCE_SECONDS):
            while said.count(b"\n") < 5:
                said += await to_thread.run_sync(os.read, gate, 4096, abandon_on_cancel=True)
    finally:
        os.close(gate)
    return [int(pid) for pid in said.split()]


def hostile(world: World, rest: str) -> list[str]:
    program = world.directory / "hostile.py"
    program.write_text(HOSTILE + rest)
    return [python_of(world), str(program), str(world.gate("pids"))]


def python_of(world: World) -> str:
    """One that its attempts can start. Skips where there is none."""
    if world.user is None:
        return str(Path("/proc/self/exe").resolve())
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        pytest.skip("there is no Python that other users can start")
    return found


@pytest.mark.parametrize("grace_seconds", [None, 0.05])
async def test_stopping_an_attempt_kills_its_whole_tree(
    world: World, make: Make, grace_seconds: float | None
) -> None:
    async with world.running(make(world.directory)):
        world.start(1, hostile(world, "signal.pause()"))
        pids = await hostile_pids(world)
        world.executor.stop(AttemptKey(1), grace_seconds)
        code = await world.code_of(1)
        assert not [pid for pid in pids if alive(pid)]
    assert code == (-signal.SIGKILL if grace_seconds is None else -signal.SIGTERM)


async def test_what_an_ended_attempt_leaves_behind_is_killed_before_the_report(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    rest = f"open({str(gate)!r}).read(); sys.exit(6)"
    async with world.running(make(world.directory)):
        world.start(1, hostile(world, rest))
        pids = await hostile_pids(world)
        assert all(alive(pid) for pid in pids)
        await gate.say()
        assert await world.code_of(1) == 6
        assert not [pid for pid in pids if alive(pid)]


async def test_a_tree_that_another_attempt_left_is_not_mixed_up_with_a_running_one(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    background = world.gate("background")
    async with world.running(make(world.directory)):
        world.start(1, f"(setsid bash -c 'echo $$ > {background}; read < {gate}' &); read < {gate}")
        pid = int(await background.hear())
        world.start(2, "sleep 1000 & exit 0")
        assert await world.code_of(2) == 0
        assert alive(pid)
        world.executor.stop(AttemptKey(1), None)
        await world.end_of(1)
        assert not alive(pid)


CAREFUL = """
import signal, sys
def end(number, frame):
    print("saving", open(sys.argv[2]).read(), end="", flush=True)
    sys.exit(9)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1], "w").write("ready")
while True:
    signal.pause()
"""
"""Says at the first gate that it is ready, and when told to end waits at the second."""


async def test_a_grace_time_lets_it_end_by_itself(world: World, make: Make) -> None:
    ready, last = world.gate("ready"), world.gate("last")
    async with world.running(make(world.directory)):
        world.start(1, ["python3", "-c", CAREFUL, str(ready), str(last)])
        await ready.hear()
        world.executor.stop(AttemptKey(1), 1000.0)
        await last.say("all\n")
        assert await world.code_of(1) == 9
    assert world.stdout(1) == "saving all\n"


async def test_a_grace_time_is_for_all_processes_of_the_tree(world: World, make: Make) -> None:
    ready, last = world.gate("ready"), world.gate("last")
    async with world.running(make(world.directory)):
        world.start(
            1,
            f'setsid python3 -c "$CAREFUL" {ready} {last} & wait',
            environment={"CAREFUL": CAREFUL},
        )
        await ready.hear()
        world.executor.stop(AttemptKey(1), 1000.0)
        await last.say("all\n")
        assert await world.code_of(1) == -signal.SIGTERM
    assert world.stdout(1) == "saving all\n"


async def test_a_second_stop_can_cut_a_grace_time_short(world: World, make: Make) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"trap '' TERM; echo > {gate}; while :; do read < {gate}; done")
        await gate.hear()
        world.executor.stop(AttemptKey(1), 1000.0)
        world.executor.stop(AttemptKey(1), None)
        assert await world.code_of(1) == -signal.SIGKILL


async def test_a_stopped_process_is_woken_to_end_in_its_grace_time(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"echo > {gate}; kill -STOP $$; exit 1")
        await gate.hear()
        world.executor.stop(AttemptKey(1), 1000.0)
        assert await world.code_of(1) == -signal.SIGTERM


async def test_stopping_what_is_over_or_unknown_does_nothing(world: World, make: Make) -> None:
    async with world.running(make(world.directory)):
        world.start(1, "true")
        await world.end_of(1)
        world.executor.stop(AttemptKey(1), None)
        world.executor.stop(AttemptKey(99), None)
        world.executor.revoke(AttemptKey(99))
        world.start(2, "true")
        assert await world.code_of(2) == 0
        assert set(world.finals) == {1, 2}


# What an order says


async def test_a_job_gets_its_streams_directory_and_environment(world: World, make: Make) -> None:
    where = world.directory / "where"
    where.mkdir()
    command = "pwd; echo $MINE $SHARED; echo oops >&2; cat"
    async with world.running(make(world.directory)):
        world.executor.add_environment(
            "shared", {"SHARED": "ours", "MINE": "no", "PATH": os.environ["PATH"]}
        )
        world.start(1, command, environment={"MINE": "mine"}, cwd=str(where), base="shared")
        assert await world.code_of(1) == 0
    assert world.stdout(1) == f"{where}\nmine ours\n"
    assert world.stderr(1) == "oops\n"


async def test_the_first_set_of_an_environment_s_name_stays(world: World, make: Make) -> None:
    async with world.running(make(world.directory)):
        world.executor.add_environment("e", {"WHICH": "first", "PATH": os.environ["PATH"]})
        world.executor.add_environment("e", {"WHICH": "second", "PATH": os.environ["PATH"]})
        world.start(1, "echo $WHICH", base="e")
        await world.end_of(1)
        world.executor.remove_environment("e")
        world.executor.add_environment("e", {"WHICH": "third", "PATH": os.environ["PATH"]})
        world.start(2, "echo $WHICH", base="e")
        await world.end_of(2)
    assert world.stdout(1) == "first\n"
    assert world.stdout(2) == "third\n"


async def test_one_file_for_both_streams_keeps_the_order_written(world: World, make: Make) -> None:
    async with world.running(make(world.directory)):
        world.start(1, "echo a; echo b >&2; echo c", stdio="combined")
        await world.end_of(1)
        world.start(2, "echo nowhere; echo at all >&2", stdio="none")
        assert await world.code_of(2) == 0
    assert world.stdout(1) == "a\nb\nc\n"
    assert not (world.directory / "2.out").exists()


async def test_logs_are_readable_by_their_owner_only(world: World, make: Make) -> None:
    async with world.running(make(world.directory)):
        world.start(1, "true")
        await world.end_of(1)
    for name in ("1.out", "1.err"):
        assert (world.directory / name).stat().st_mode & 0o777 == 0o600


async def test_a_program_is_looked_up_in_the_job_s_own_path(world: World, make: Make) -> None:
    program = world.directory / "mine"
    program.write_text("#!/bin/sh\necho mine\n")
    program.chmod(0o755)
    async with world.running(make(world.directory)):
        world.start(1, ["mine"], environment={"PATH": f"/nowhere::{world.directory}"}, cwd="/")
        world.start(2, ["mine"])
        await world.end_of(1)
        await world.end_of(2)
    assert world.stdout(1) == "mine\n"
    assert isinstance(world.finals[2][0], NotStarted)


async def test_a_job_has_default_signals_and_no_descriptors_but_the_three(
    world: World, make: Make
) -> None:
    async with world.running(make(world.directory)):
        world.start(1, ["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"])
        world.start(2, ["ls", "/proc/self/fd"])
        world.start(3, ["readlink", "/proc/self/fd/0"])
        for key in (1, 2, 3):
            await world.end_of(key)
    for line in world.stdout(1).splitlines():
        # The C library of posix_spawn keeps two above 31 for itself.
        assert int(line.split()[1], 16) & 0x7FFFFFFF == 0
    assert world.stdout(2).split() == ["0", "1", "2", "3"]  # the last is ls reading the directory
    assert world.stdout(3) == "/dev/null\n"


async def test_a_report_tells_time_and_what_it_took(world: World, make: Make) -> None:
    burn = "b = bytearray(64 << 20)\nimport time\nwhile time.process_time() < 0.05: pass"
    async with world.running(make(world.directory)):
        world.start(1, ["python3", "-c", burn])
        end = await world.end_of(1)
        assert isinstance(end, Exited)
        started = world.started[AttemptKey(1)]
        assert isinstance(started, Started)
        assert end.cpu_seconds is not None
        assert 0.05 <= end.cpu_seconds < 20
        assert end.peak_memory_bytes is not None
        assert 64 << 20 <= end.peak_memory_bytes < 1 << 30
        assert started.at <= end.at


async def test_many_attempts_all_run_and_all_end_once(world: World, make: Make) -> None:
    keys = range(1, 201)
    async with world.running(make(world.directory)):
        world.executor.start([world.order(k, ["true"], limit=4, stdio="none") for k in keys])
        await world.until(lambda: len(world.finals) == len(keys))
        assert {await world.code_of(k) for k in keys} == {0}
        assert all(len(ends) == 1 for ends in world.finals.values())


MIX = "(forks_and_ends, forks_and_ends, forks_and_stays)"
FORKING = """
import os, sys, time
def forks_and_ends():
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
def forks_and_stays():
    while time.monotonic() < end:
        if os.fork() == 0:
            os.setsid()
            time.sleep(0.5)
            os._exit(0)
        time.sleep(0.001)
end = time.monotonic() + 120  # should nobody end it
for grow in MIX:
    if os.fork() == 0:
        grow()
with open(sys.argv[1], "w") as gate:
    gate.write("growing")
time.sleep(120)
""".replace("MIX", MIX)


@pytest.mark.parametrize("grace_seconds", [None, 0.05])
async def test_what_forks_while_it_is_being_killed_dies_too(
    world: World, make: Make, grace_seconds: float | None
) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, ["python3", "-c", FORKING, str(gate)])
        await gate.hear()
        world.executor.stop(AttemptKey(1), grace_seconds)
        await world.end_of(1)
        assert with_markers(world) == []


async def test_what_an_ended_attempt_leaves_forking_dies_before_the_report(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, ["python3", "-c", FORKING.replace("time.sleep(120)", ""), str(gate)])
        await gate.hear()
        await world.end_of(1)
        assert with_markers(world) == []


def with_markers(world: World) -> list[int]:
    """Living processes of any attempt of this world."""
    state_id = int((world.directory / "state/attempts/state_id").read_text())
    return [
        process.pid
        for process in processes.all_processes().values()
        if not process.over
        and processes.key_of(processes.read_marker(process.pid), state_id) is not None
        and process.pid not in wardens(state_id)
    ]


def wardens(state_id: int) -> set[int]:
    """They wear the marker of what they spawned last."""
    found = set()
    for pid in processes.all_processes():
        words = command_line(pid)
        if b"-I" in words and str(state_id).encode() in words:
            found.add(pid)
    return found


# 5. Standing still


async def test_a_frozen_attempt_stands_still_with_its_whole_tree_until_it_thaws(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    rest = f"open({str(gate)!r}).read(); sys.exit(6)"
    async with world.running(make(world.directory)):
        world.start(1, hostile(world, rest))
        pids = [*await hostile_pids(world), (await world.start_of(1)).pid]
        world.executor.freeze(AttemptKey(1))
        await standing_still.until(pids, still=True)
        world.executor.thaw(AttemptKey(1))
        await standing_still.until(pids, still=False)
        await gate.say()
        assert await world.code_of(1) == 6


async def test_freezing_one_leaves_the_others_alone(world: World, make: Make) -> None:
    gates = [world.gate(f"gate{i}") for i in range(2)]
    async with world.running(make(world.directory)):
        for i, gate in enumerate(gates):
            world.start(i, f"read < {gate}; exit {i + 3}")
        frozen = (await world.start_of(0)).pid
        await world.start_of(1)
        world.executor.freeze(AttemptKey(0))
        await standing_still.until([frozen], still=True)
        await gates[1].say()
        assert await world.code_of(1) == 4
        assert standing_still.stands_still(frozen)
        world.executor.thaw(AttemptKey(0))
        await gates[0].say()
        assert await world.code_of(0) == 3


async def test_freezing_has_what_forks_all_the_time_stand_still(world: World, make: Make) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, ["python3", "-c", FORKING.replace(MIX, "(forks_and_stays,)"), str(gate)])
        await gate.hear()
        world.executor.freeze(AttemptKey(1))
        await standing_still.until([(await world.start_of(1)).pid], still=True)
        world.start(2, "true")  # once this one's end is known, all of them have been found
        await world.end_of(2)
        await standing_still.until(with_markers(world), still=True)
        before = set(with_markers(world))
        assert before == set(with_markers(world))
        world.executor.stop(AttemptKey(1), None)
        await world.end_of(1)
        assert with_markers(world) == []


@pytest.mark.parametrize("grace_seconds", [None, 0.05])
async def test_a_frozen_attempt_can_be_stopped(
    world: World, make: Make, grace_seconds: float | None
) -> None:
    async with world.running(make(world.directory)):
        world.start(1, hostile(world, "signal.pause()"))
        pids = await hostile_pids(world)
        world.executor.freeze(AttemptKey(1))
        await standing_still.until(pids, still=True)
        world.executor.stop(AttemptKey(1), grace_seconds)
        code = await world.code_of(1)
        assert not [pid for pid in pids if alive(pid)]
    assert code == (-signal.SIGKILL if grace_seconds is None else -signal.SIGTERM)


async def test_a_frozen_attempt_that_is_stopped_has_its_grace_time(
    world: World, make: Make
) -> None:
    ready, last = world.gate("ready"), world.gate("last")
    async with world.running(make(world.directory)):
        world.start(1, ["python3", "-c", CAREFUL, str(ready), str(last)])
        await ready.hear()
        world.executor.freeze(AttemptKey(1))
        await standing_still.until([(await world.start_of(1)).pid], still=True)
        world.executor.stop(AttemptKey(1), 1000.0)
        world.executor.freeze(AttemptKey(1))  # too late
        await last.say("all\n")
        assert await world.code_of(1) == 9


async def test_a_frozen_attempt_outlives_the_executor_and_thaws_by_the_next(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}; exit 4")
        pid = (await world.start_of(1)).pid
        world.executor.freeze(AttemptKey(1))
        await standing_still.until([pid], still=True)
    world.started.clear()
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}; exit 4")
        await world.start_of(1)
        assert standing_still.stands_still(pid)
        world.executor.thaw(AttemptKey(1))
        await gate.say()
        assert await world.code_of(1) == 4


async def test_freezing_what_waits_is_over_or_unknown_does_nothing(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, "true")
        await world.end_of(1)
        world.start(2, f"read < {gate}", lane=2, limit=1)
        world.start(3, "exit 5", lane=2, limit=1)
        await world.start_of(2)
        for key in (1, 3, 99):
            world.executor.freeze(AttemptKey(key))
        world.executor.thaw(AttemptKey(2))
        await gate.say()
        assert await world.code_of(3) == 5


# 6. After another


async def test_one_that_comes_after_another_starts_when_that_has_ended_well(
    world: World, make: Make
) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}; echo 1 >> ran")
        world.start(2, "echo 2 >> ran", after=1)
        world.start(3, "echo 3 >> ran", after=2)
        world.start(4, "true")  # there are places
        assert await world.code_of(4) == 0
        assert not {2, 3} & {*world.started}
        await gate.say()
        assert await world.code_of(3) == 0
    assert (world.directory / "ran").read_text() == "1\n2\n3\n"
    for key in (1, 2):
        assert world.finals[key][0].at <= world.started[key + 1].at


@pytest.mark.parametrize("how", ["exit 3", "touch {left}", "kill -TERM $$"])
async def test_what_comes_after_one_that_did_not_end_well_never_starts(
    world: World, make: Make, how: str
) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}; " + how.format(left=world.left_by(1)))
        world.start(2, "true", after=1)
        world.start(3, "true", after=2)
        await gate.say()
        for key in (2, 3):
            end = await world.end_of(key)
            assert end == NotStarted(AttemptKey(key), end.at, None)


async def test_what_comes_after_one_that_was_stopped_never_starts(world: World, make: Make) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"trap 'exit 0' TERM; sleep 1000 & echo > {gate}; wait")
        world.start(2, "true", after=1)
        await gate.hear()
        world.executor.stop(AttemptKey(1), 60)
        assert await world.code_of(1) == 0
        assert isinstance(await world.end_of(2), NotStarted)


async def test_what_comes_after_one_that_is_over_starts_at_once(world: World, make: Make) -> None:
    async with world.running(make(world.directory)):
        world.start(1, "true")
        world.start(2, "exit 1")
        await world.end_of(1)
        await world.end_of(2)
        world.start(3, "true", after=1)
        world.start(4, "true", after=2)
        assert await world.code_of(3) == 0
        assert isinstance(await world.end_of(4), NotStarted)


async def test_what_comes_after_nobody_never_starts(world: World, make: Make) -> None:
    async with world.running(make(world.directory)):
        world.start(1, "true", after=99)
        end = await world.end_of(1)
        assert end == NotStarted(AttemptKey(1), end.at, None)


@pytest.mark.parametrize("how", ["stop", "revoke"])
async def test_one_that_is_to_come_after_another_can_be_taken_out(
    world: World, make: Make, how: str
) -> None:
    gate = world.gate("gate")
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}")
        world.start(2, "echo 2 >> ran", after=1)
        world.start(3, "echo 3 >> ran", after=1)
        if how == "stop":
            world.executor.stop(AttemptKey(2), None)
        else:
            world.executor.revoke(AttemptKey(2))
        assert isinstance(await world.end_of(2), NotStarted)
        await gate.say()
        assert await world.code_of(3) == 0
    assert (world.directory / "ran").read_text() == "3\n"


async def test_one_comes_after_another_without_an_executor(world: World, make: Make) -> None:
    gate, done = world.gate("gate"), world.gate("done")
    async with world.running(make(world.directory)):
        world.start(1, f"read < {gate}")
        world.start(2, f"echo second > {done}", after=1)
        await world.start_of(1)
    await gate.say()
    assert await done.hear() == "second\n"
    async with world.running(make(world.directory)):
        world.start(2, "echo again > ran", after=0)  # it is known
        assert await world.code_of(2) == 0
    assert not (world.directory / "ran").exists()
