"""How a daemon that has been told to wait can still be told to hurry."""

import contextlib
import fcntl
import signal
import socket
from pathlib import Path

import pytest

from tests.daemon_process import START_SECONDS, Daemon
from torcd.protocol import manager as m

FOREVER = {"jobs": [{"name": "j", "command": "sleep 1000"}]}


@pytest.mark.parametrize("slower", ["wait", "terminate"])
def test_a_signal_ends_a_daemon_that_waits_for_its_jobs(daemon: Daemon, slower: str) -> None:
    stubborn = {"command": "trap '' TERM; while :; do sleep 1; done", "supports_termination": True}
    spec = FOREVER if slower == "wait" else {"jobs": [{"name": "j", **stubborn}]}
    key = daemon.submit(spec)
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
