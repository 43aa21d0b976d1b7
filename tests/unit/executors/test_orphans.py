"""How a process ended that is not the warden's child. Here it is this process's, which plays the
daemon or whoever else is its parent."""

import os
import platform
import select
import signal
import subprocess
from collections.abc import Iterator

import pytest

from torcd.executors.warden import processes
from torcd.executors.warden.ledger import Attempt
from torcd.executors.warden.orphans import Orphans

PIDFD_KEEPS_STATUS = tuple(int(n) for n in platform.release().split(".")[:2]) >= (6, 15)
PATIENCE_SECONDS = 20
NO_DAEMON = 0


class Scene:
    """One orphan that waits for a word."""

    def __init__(self) -> None:
        self.poller = select.epoll()
        self.orphans = Orphans(self.poller)
        self.process = subprocess.Popen(["sh", "-c", "read x; exit 3"], stdin=subprocess.PIPE)
        self.attempt = Attempt(1, None, None)
        self.attempt.pid = self.process.pid
        self.attempt.pidfd = os.pidfd_open(self.process.pid)
        found = processes.read_process(self.process.pid)
        assert found is not None
        self.attempt.born = found.born
        self.orphans.watch(self.attempt)

    def end(self, *, reaped: bool = False) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        if reaped:
            self.process.wait()

    def event(self) -> bool:
        return self.poller.poll(PATIENCE_SECONDS)[0][0] == self.attempt.pidfd

    def told(self, daemon_pid: int = NO_DAEMON) -> int | None:
        answer = self.orphans.ended(self.attempt.pidfd, daemon_pid)
        assert answer is not None
        assert answer[0] is self.attempt
        return answer[1]


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.process.kill()
    scene.process.communicate()
    os.close(scene.attempt.pidfd)
    scene.poller.close()


def test_one_that_runs_makes_no_event_and_is_listed(scene: Scene) -> None:
    assert scene.poller.poll(0) == []
    assert scene.attempt.pidfd in scene.orphans
    assert scene.orphans.pids() == [(1, scene.process.pid)]


def test_the_status_of_one_that_is_not_reaped_is_read(scene: Scene) -> None:
    scene.end()
    assert scene.event()
    assert scene.told() == 3
    assert not scene.orphans


def test_the_signal_that_ended_it_is_read(scene: Scene) -> None:
    scene.process.send_signal(signal.SIGUSR1)
    assert scene.event()
    assert scene.told() == -signal.SIGUSR1


def test_the_status_of_one_that_is_reaped_is_in_its_pidfd(scene: Scene) -> None:
    scene.end(reaped=True)
    assert scene.event()
    assert scene.told() == (3 if PIDFD_KEEPS_STATUS else None)


def test_how_a_child_of_the_daemon_ended_the_daemon_is_to_say(scene: Scene) -> None:
    scene.end()
    assert scene.event()
    assert scene.orphans.ended(scene.attempt.pidfd, os.getpid()) is None
    assert scene.poller.poll(0) == []
    assert scene.orphans.pids() == [(1, scene.process.pid)]
    scene.orphans.told(scene.attempt)
    assert not scene.orphans


def test_what_a_daemon_that_has_gone_did_not_say_is_read(scene: Scene) -> None:
    scene.end()
    scene.orphans.ended(scene.attempt.pidfd, os.getpid())
    scene.orphans.daemon_left()
    assert scene.event()
    assert scene.told() == 3


@pytest.mark.skipif(not PIDFD_KEEPS_STATUS, reason="needs Linux 6.15")
def test_one_that_ran_as_another_user_is_asked_of_its_pidfd_once_it_is_reaped(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "may_inspect", lambda pid: False)
    scene.end()
    assert scene.event()
    assert scene.orphans.ended(scene.attempt.pidfd, NO_DAEMON) is None
    assert scene.poller.poll(0) == []
    scene.process.wait()
    assert scene.event()
    assert scene.told() == 3
