"""daemon start|stop|status, and `run` that starts one: with a daemon of the user's own."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_process import BIN, Daemon, command_line, processes_mentioning


class User:
    """Somebody with directories of their own, and no daemon yet."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self.directory = directory
        self.environment = {
            "HOME": str(directory),
            "PATH": f"{BIN}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_STATE_HOME": str(directory / "state"),
            "XDG_CONFIG_HOME": str(directory / "config"),
        }
        self.socket = runtime / "torcd/torcd.sock"
        self.state_dir = directory / "state/torcd"

    def popen(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [BIN / "torcctl", *words],
            env=self.environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def torcctl(self, *words: str) -> "subprocess.CompletedProcess[str]":
        with self.popen(*words) as process:
            out, err = process.communicate(timeout=30)
        return subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    runtime = Path(tempfile.mkdtemp(prefix="torcctl-"))
    home = tmp_path / "user"
    home.mkdir()
    somebody = User(home, runtime)
    yield somebody
    somebody.torcctl("daemon", "stop", "--jobs", "terminate")
    for pid in processes_mentioning(str(home)):
        os.kill(pid, 9)
    shutil.rmtree(runtime, ignore_errors=True)


def test_relative_paths_are_those_of_the_directory_in_which_torcctl_is_run(user: User) -> None:
    user.environment |= {"TORC_SOCKET": "s", "TORCD_STATE_DIR": "st", "TORCD_CONFIG": "torcd.toml"}
    # The path of a socket can have some 100 bytes, and pytest's directories are deep.
    user.directory = user.socket.parent.parent
    (user.directory / "torcd.toml").touch()
    assert user.torcctl("daemon", "start").returncode == 0
    status = json.loads(user.torcctl("daemon", "status", "--json").stdout)
    assert status["socket"] == str(user.directory / "s")
    assert status["state_dir"] == str(user.directory / "st")
    (user.directory / "torcd.toml").write_text("nonsense = 1\n")
    assert "nonsense" in user.torcctl("daemon", "reload").stderr


def test_start_status_stop(user: User) -> None:
    assert user.torcctl("daemon", "status").returncode == 3
    assert user.torcctl("daemon", "stop").returncode == 3

    started = user.torcctl("daemon", "start")
    assert started.returncode == 0, started.stderr
    status = json.loads(user.torcctl("daemon", "status", "--json").stdout)
    assert f"pid {status['pid']}" in started.stderr
    assert status["socket"] == str(user.socket)
    assert status["state_dir"] == str(user.state_dir)
    assert set(status) == {
        "pid",
        "warden_pid",
        "version",
        "socket",
        "state_dir",
        "started_at",
        "workflows",
        "jobs",
        "cgroups",
        "held_up",
    }
    assert os.getsid(status["pid"]) == status["pid"]
    assert Path(f"/proc/{status['pid']}/cwd").resolve() == Path("/")

    again = user.torcctl("daemon", "start")
    assert again.returncode == 0
    assert f"runs already: pid {status['pid']}" in again.stderr

    assert user.torcctl("daemon", "stop").returncode == 0
    assert command_line(status["pid"]) == []
    assert user.torcctl("daemon", "status").returncode == 3


def test_two_starts_at_once_make_one_daemon(user: User) -> None:
    with (
        user.popen("daemon", "start", "--json") as one,
        user.popen("daemon", "start", "--json") as two,
    ):
        codes = one.wait(30), two.wait(30)
    assert codes == (0, 0)
    here = processes_mentioning(str(user.socket))
    assert len([pid for pid in here if b"run" in command_line(pid)]) == 1


def test_run_starts_a_daemon_that_stays(user: User) -> None:
    (user.directory / "w.json5").write_text("{jobs: [{command: 'echo hi'}]}")
    done = user.torcctl("run", "w.json5")
    assert done.returncode == 0, done.stderr
    assert "started torcd" in done.stderr
    assert user.torcctl("logs", "job_1").stdout == "hi\n"
    assert "started" not in user.torcctl("run", "w.json5").stderr


def test_a_daemon_that_cannot_start_says_why(user: User) -> None:
    (user.directory / "config/torcd").mkdir(parents=True)
    (user.directory / "config/torcd/torcd.toml").write_text("nonsense = 1\n")
    done = user.torcctl("daemon", "start")
    assert done.returncode == 1
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_state_that_another_daemon_has_is_refused(daemon: Daemon, user: User) -> None:
    user.environment["TORCD_STATE_DIR"] = str(daemon.state_dir)
    done = user.torcctl("daemon", "start")
    assert done.returncode == 1
    assert str(daemon.state_dir) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_runtime_directory_too_deep_for_a_socket_is_told_with_what_to_do(user: User) -> None:
    deep = user.directory / ("x" * 110)
    deep.mkdir()
    user.environment["XDG_RUNTIME_DIR"] = str(deep)
    done = user.torcctl("daemon", "start")
    assert done.returncode == 1
    assert f"cannot listen on {deep}/torcd/torcd.sock: the path is too long" in done.stderr
    assert "give another with --socket" in done.stderr
    assert list(deep.glob("torcctl-*")) == []

    short = user.socket.with_name("short.sock")
    short.parent.mkdir()
    started = user.torcctl("daemon", "start", "--socket", str(short))
    assert started.returncode == 0, started.stderr
    assert user.torcctl("daemon", "stop", "--socket", str(short)).returncode == 0


def test_a_state_directory_that_cannot_be_made_is_told_with_what_to_do(user: User) -> None:
    (user.directory / "file").touch()
    user.environment["TORCD_STATE_DIR"] = str(user.directory / "file" / "state")
    done = user.torcctl("daemon", "start")
    assert (done.returncode, done.stderr) == (
        1,
        f"torcctl: cannot make the state directory {user.directory}/file/state: Not a directory; "
        "name another one in TORCD_STATE_DIR\n",
    )
