"""A listening socket that outlives the daemon: whoever calls while none runs waits for the next."""

import os
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_process import GIVEN_A_SOCKET, START_SECONDS, Daemon
from torcd.model import JobStatus
from torcd.protocol import manager as m


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that does not run yet, and that will be given its socket."""
    daemon = Daemon(tmp_path)
    daemon.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(daemon.socket))
        listener.listen()
        daemon.listener = listener
        # The one that is passed counts.
        daemon.environment["TORC_SOCKET"] = str(tmp_path / "another.sock")
        try:
            yield daemon
            daemon.check()
        finally:
            daemon.close()


def until_somebody_calls(listener: socket.socket) -> None:
    readable, _, _ = select.select([listener], [], [], START_SECONDS)
    assert readable


def test_it_serves_on_what_it_was_given_and_leaves_it(given: Daemon, tmp_path: Path) -> None:
    given.start()
    with given.client() as client:
        assert client.call(m.GetStatus()).socket == str(given.socket)
    assert not (tmp_path / "another.sock").exists()
    assert given.stop() == 0
    assert given.socket.exists()
    given.start()
    with given.client() as client:
        client.call(m.GetStatus())


def test_a_job_that_stores_while_the_daemon_is_away_waits_and_succeeds(
    given: Daemon, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    given.start()
    spec = {
        "jobs": [
            {
                "name": "j",
                "command": f"read x < {gate} && torcctl data put v 7",
                "output_user_data": ["v"],
            }
        ],
        "user_data": [{"name": "v"}],
    }
    assert given.listener is not None
    given.environment["TORC_SOCKET"] = str(given.socket)
    key = given.submit(spec)
    gate_opened = gate.open("w")  # returns when the job reads from it
    assert given.stop() == 0
    with gate_opened:
        gate_opened.write("go\n")
    until_somebody_calls(given.listener)
    given.start()
    done = given.torcctl("-k", key, "wait")
    assert done.returncode == 0, done.stderr
    assert given.jobs(key)["j"].status is JobStatus.COMPLETED
    with given.client() as client:
        assert client.fetch("v", workflow_key=key) == 7


def test_a_restart_refuses_nobody(given: Daemon) -> None:
    """The queue is the socket's: who calls between two daemons is in it."""
    given.start()
    given.kill()
    assert given.listener is not None
    given.environment["TORC_SOCKET"] = str(given.socket)
    with subprocess.Popen(
        ["torcctl", "daemon", "status", "--json"],
        env=given.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as asking:
        until_somebody_calls(given.listener)
        given.start()
        assert given.process is not None
        printed, _ = asking.communicate(timeout=START_SECONDS)
    assert f'"pid": {given.process.pid}' in printed


def run_with(
    daemon: Daemon, passed: socket.socket, script: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", script, str(passed.fileno()), "torcd", "run"],
        env=daemon.environment,
        pass_fds=[passed.fileno()],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def test_two_sockets_are_refused(given: Daemon) -> None:
    assert given.listener is not None
    done = run_with(given, given.listener, GIVEN_A_SOCKET.replace("FDS=1", "FDS=2"))
    assert done.returncode == 1
    assert done.stderr == (
        "torcd: 2 sockets were passed to torcd, which listens on one; give torcd.socket one "
        "ListenStream= only\n"
    )


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_socket_of_another_kind_is_refused(given: Daemon, family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as other:
        if family == socket.AF_INET:
            other.bind(("127.0.0.1", 0))
            other.listen()
        done = run_with(given, other, GIVEN_A_SOCKET)
    assert done.returncode == 1
    assert "no listening Unix stream socket with a path" in done.stderr
    assert "Traceback" not in done.stderr


def test_sockets_that_were_passed_to_another_process_are_none_of_ours(given: Daemon) -> None:
    assert given.listener is not None
    own = Path(given.environment["TORC_SOCKET"])
    given.environment |= {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    given.listener = None
    given.start()
    assert own.exists()
    assert given.stop() == 0
    assert not own.exists()


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None,
    reason="systemd-socket-activate is not installed",
)
def test_the_first_who_calls_starts_it(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    daemon.socket.parent.mkdir(mode=0o700)
    names = [name for name in daemon.environment if name != "TORC_SOCKET"]
    daemon.process = subprocess.Popen(
        [
            "systemd-socket-activate",
            *(f"--setenv={name}" for name in names),
            f"--listen={daemon.socket}",
            shutil.which("torcd", path=daemon.environment["PATH"]) or "torcd",
            "run",
        ],
        env=daemon.environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert daemon.process.stderr is not None
        assert b"Listening on" in daemon.process.stderr.readline()
        assert daemon.json("daemon", "status")["pid"] == daemon.process.pid
        daemon.process.send_signal(signal.SIGTERM)
        _, _ = daemon.process.communicate(timeout=START_SECONDS)
        assert daemon.process.returncode == 0
        assert daemon.socket.exists()
        daemon.process = None
    finally:
        daemon.close()
