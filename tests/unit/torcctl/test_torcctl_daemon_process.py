"""Starting a daemon, with programs in its place that behave as they were told to."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.torcctl.canned_daemon import CannedDaemon, daemon_status
from tests.unit.torcctl.conftest import Run
from torcctl import daemon_process
from torcd.protocol import manager as m

READY = """
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"STATUS=recovering", os.environ["NOTIFY_SOCKET"])
notify.sendto(b"STATUS=fine\\nREADY=1", os.environ["NOTIFY_SOCKET"])
"""

LISTEN = """
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[sys.argv.index("--socket") + 1])
listener.listen()
"""

WINNER = f"""
{LISTEN}
if os.fork() == 0:
    listener.accept()
    os._exit(0)
sys.exit("torcd: somebody else was first")
"""
"""The one that was asked for ends; somebody else listens, until somebody comes."""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a program of the lines, which stands in for Python with torcd."""

    def make(lines: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!{python} -S\nimport os, socket, sys, signal\n{lines}\n")
        path.chmod(0o755)

    python = sys.executable
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    yield make
    for process in daemon_process._left_behind:
        process.kill()
        process.wait()
    daemon_process._left_behind.clear()


@pytest.fixture
def log(home: Path) -> Path:
    return home / "state/torcd/torcd.log"


def test_start_returns_once_it_serves(home: Path, log: Path, program) -> None:
    program(
        f"{LISTEN}print(sys.argv[1:], os.getcwd(), os.getsid(0) == os.getpid(), flush=True)\n"
        f"{READY}signal.pause()"
    )
    path = str(home / "s")
    started = daemon_process.start(path)
    assert started.pid is not None
    assert daemon_process.answers(path)
    assert log.read_text() == f"['-m', 'torcd', 'run', '--socket', '{path}'] / True\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    assert not list(home.glob("torcctl-*")), "the notify socket is left"


def test_one_that_answers_already_is_as_good(home: Path, daemon: CannedDaemon, program) -> None:
    program("sys.exit('must not run')")
    assert daemon_process.start(daemon.path) == daemon_process.Started(daemon.path, None)


def test_one_that_ends_says_why(home: Path, log: Path, program) -> None:
    log.parent.mkdir(parents=True)
    log.write_text("of an earlier one\n")
    program("sys.exit('torcd: the state is locked \\x1b[31m')")
    with pytest.raises(daemon_process.CannotStart) as caught:
        daemon_process.start(str(home / "s"))
    assert "ended with exit code 1" in caught.value.message
    assert "torcd: the state is locked \\x1b[31m" in caught.value.message
    assert str(log) in caught.value.message
    assert "earlier" not in caught.value.message


def test_one_that_is_killed_says_so(home: Path, program) -> None:
    program("os.kill(os.getpid(), 9)")
    with pytest.raises(daemon_process.CannotStart, match=r"killed by signal 9.*\nit wrote nothing"):
        daemon_process.start(str(home / "s"))


def test_one_that_does_not_get_ready_is_given_up(
    home: Path, program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_process, "START_SECONDS", 0.3)
    program("print('thinking', flush=True)\nsignal.pause()")
    with pytest.raises(daemon_process.CannotStart, match=r"does not serve after 0.3 s"):
        daemon_process.start(str(home / "s"))


def test_the_loser_of_two_starts_is_content_with_the_winner(home: Path, program) -> None:
    # While ours starts, the winner's comes up; ours finds the place taken, and ends.
    program(WINNER)
    path = str(home / "s")
    assert daemon_process.start(path) == daemon_process.Started(path, None)


def test_a_state_directory_that_cannot_be_made_is_an_error(
    home: Path, torcctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCD_STATE_DIR", "/proc/nowhere")
    outcome = torcctl("daemon", "start")
    assert outcome.code == 1
    assert "/proc/nowhere" in outcome.err


def test_start_with_one_running_says_so_and_is_0(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.GetStatus, daemon_status(77))
    outcome = torcctl("daemon", "start")
    assert (outcome.code, outcome.out) == (0, "")
    assert "runs already: pid 77" in outcome.err


def test_stop_returns_when_the_process_is_gone(daemon: CannedDaemon, torcctl: Run) -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None

        def stop(_: object) -> m.Nothing:
            process.stdin.close()
            return m.Nothing()

        daemon.answer(m.GetStatus, daemon_status(process.pid))
        daemon.answer(m.Stop, stop)
        outcome = torcctl("daemon", "stop", "--jobs", "terminate")
        assert outcome.code == 0
        assert os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    assert daemon.asked(m.Stop) == [{"jobs": "terminate"}]
