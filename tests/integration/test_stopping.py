"""How a daemon that has been told to wait can still be told to hurry."""

import contextlib
import fcntl
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.daemon_process import START_SECONDS, Daemon
from torcd.protocol import manager as m

FOREVER = {"jobs": [{"name": "j", "command": "sleep 1000"}]}


def stubborn(is_deaf: Path) -> object:
    """A job that says, by a pipe, when it no longer hears that it is to end."""
    os.mkfifo(is_deaf)
    command = f"trap '' TERM; echo > {is_deaf}; while :; do sleep 1; done"
    return {"jobs": [{"name": "j", "command": command, "supports_termination": True}]}


@pytest.mark.parametrize("slower", ["wait", "terminate"])
def test_a_signal_ends_a_daemon_that_waits_for_its_jobs(daemon: Daemon, slower: str) -> None:
    key = daemon.submit(FOREVER if slower == "wait" else stubborn(daemon.directory / "is_deaf"))
    if slower == "terminate":
        (daemon.directory / "is_deaf").read_bytes()
    with daemon.client() as client:
        client.call(m.Stop(jobs="wait" if slower == "wait" else "terminate"))
        assert client.call(m.GetWorkflow(workflow_key=key)).workflow.status.value == "running"
    assert daemon.stop() == 0
    daemon.start()
    with daemon.client() as client:
        client.call(m.Cancel(workflow_key=key))


def test_ctrl_c_while_it_starts_ends_the_daemon_at_once(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    attempts = daemon.state_dir / "attempts"
    for directory in (daemon.state_dir, attempts):
        directory.mkdir(mode=0o700)
    try:
        # A warden that never says what it knows: this process.
        with (attempts / "warden.lock").open("wb") as lock, socket.socket(socket.AF_UNIX) as warden:
            (attempts / "warden.lock").chmod(0o600)
            fcntl.lockf(lock, fcntl.LOCK_EX)
            with contextlib.chdir(attempts):
                warden.bind("warden.sock")
            warden.listen()
            process = daemon.spawn()
            connection, _ = warden.accept()
            with connection:
                for _ in range(5):
                    process.send_signal(signal.SIGINT)
                assert process.wait(timeout=START_SECONDS) == -signal.SIGINT
        assert "Traceback" not in daemon.log.read_text()
    finally:
        daemon.close()
