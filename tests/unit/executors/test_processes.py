"""Whose a process is, and that no other is hit."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.second_user import NOBODY, needs_root, others
from torcd.executors.warden import processes
from torcd.executors.warden.cleaning import Cleaner
from torcd.executors.warden.others import Others
from torcd.executors.warden.processes import Process


def made_up(pid: int, parent: int, name: bytes = b"x") -> Process:
    fields = b" ".join([b"0"] * 45)
    return Process(pid, b"%d (%s) S %d %d %d %s" % (pid, name, parent, pid, pid, fields))


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


@given(st.integers(1, 2**30 - 1), st.integers(0, 2**32 - 1))
def test_a_marker_tells_state_and_attempt(state_id: int, key: int) -> None:
    mark = processes.marker(state_id, key)
    assert 0 < mark < 2**62
    assert processes.key_of(mark, state_id) == key
    assert processes.key_of(mark, state_id ^ 1) is None


def test_no_marker_is_no_attempt_s() -> None:
    assert processes.key_of(None, 7) is None


def test_a_child_has_the_marker_and_keeps_it_as_a_zombie() -> None:
    before = processes.read_marker(os.getpid())
    mark = processes.marker(7, 9)
    processes.wear_marker(mark)
    child = subprocess.Popen(
        ["setsid", "env", "-i", "sh", "-c", "echo $$; read x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        processes.wear_marker(before if before is not None else processes.resource.RLIM_INFINITY)
        assert child.stdout is not None
        assert processes.read_marker(int(child.stdout.readline())) == mark
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        found = processes.read_process(child.pid)
        assert found is not None
        assert found.over
        assert processes.may_inspect(child.pid)
        assert os.waitstatus_to_exitcode(found.wait_status) == -signal.SIGKILL
        assert processes.read_marker(child.pid) == mark
    assert processes.read_marker(os.getpid()) == before


def test_a_program_s_name_can_hold_anything() -> None:
    assert made_up(5, 3, b") S 1 (").parent == 3


def test_descendants_are_found_however_deep() -> None:
    family = {1: made_up(1, 0), 2: made_up(2, 1), 3: made_up(3, 2), 4: made_up(4, 3)}
    strangers = {7: made_up(7, 1), 8: made_up(8, 7)}
    assert processes.with_descendants({2}, family | strangers) == {2, 3, 4}
    assert processes.with_descendants({2, 7}, family | strangers) == {2, 3, 4, 7, 8}


def test_a_root_that_is_gone_still_tells_its_children() -> None:
    assert processes.with_descendants({2}, {3: made_up(3, 2)}) == {2, 3}


def test_a_signal_reaches_the_process_meant(sleeper: subprocess.Popen[bytes]) -> None:
    process = processes.read_process(sleeper.pid)
    assert process is not None
    assert processes.send_signal(process, signal.SIGTERM)
    assert sleeper.wait(20) == -signal.SIGTERM


def test_a_signal_does_not_reach_a_process_that_has_got_the_pid_since(
    sleeper: subprocess.Popen[bytes],
) -> None:
    process = processes.read_process(sleeper.pid)
    assert process is not None
    process.born -= 1
    assert processes.send_signal(process, signal.SIGKILL)
    sleeper.send_signal(signal.SIGTERM)
    assert sleeper.wait(20) == -signal.SIGTERM


def test_the_children_of_this_process_are_listed(sleeper: subprocess.Popen[bytes]) -> None:
    children = processes.Children()
    assert sleeper.pid in children.pids()
    number = len(children.pids())
    assert children.are(number)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert children.are(number), "one that has ended counts until it is reaped"
    sleeper.wait()
    assert sleeper.pid not in children.pids()
    assert children.are(number - 1)


def test_many_children_are_counted_too() -> None:
    children = processes.Children()
    before = len(children.pids())
    many = processes._CHILDREN_BYTES // 8
    pids = [os.posix_spawn("/bin/true", ["true"], {}) for _ in range(many)]
    try:
        assert children.are(before + many)
        assert not children.are(before + many - 1)
    finally:
        for pid in pids:
            os.waitpid(pid, 0)
    assert children.are(before)


def test_a_process_may_be_its_users_or_one_that_became_root() -> None:
    me, stranger = os.geteuid(), os.geteuid() + 1
    assert processes.may_be_of(os.getpid(), me)
    assert processes.may_be_of(os.getpid(), None)
    assert processes.may_be_of(os.getpid(), stranger) == (me == 0)
    assert not processes.may_be_of(0, me)


@needs_root
def test_a_process_of_somebody_else_that_wears_the_marker_is_not_taken_for_the_leader(
    tmp_path: Path,
) -> None:
    before = processes.read_marker(os.getpid())
    words = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    processes.wear_marker(processes.marker(7, 9))
    with (
        subprocess.Popen(["sh", "-c", "echo; read x"], user=NOBODY, **words) as pretender,  # type: ignore[call-overload]
        subprocess.Popen(["sh", "-c", "echo; read x"], user=others(1)[0], **words) as leader,  # type: ignore[call-overload]
    ):
        processes.wear_marker(before if before is not None else processes.resource.RLIM_INFINITY)
        for process in (pretender, leader):
            process.stdout.readline()
        cleaner = Cleaner(7, marked=True, leave_children=False, others=Others(str(tmp_path)))
        assert cleaner.leaders_by_key({9: others(1)[0]}) == {9: leader.pid}
        assert cleaner.leaders_by_key({9: None}) == {9: pretender.pid}
        for process in (pretender, leader):
            process.kill()
