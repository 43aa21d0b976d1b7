"""Jobs outlive the daemon, and the next one finds them."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from tests.daemon_process import BIN, Daemon
from tests.integration.test_workflows import Gate, over
from torcd.model import JobStatus, Reason, WorkflowStatus
from torcd.protocol import manager as m


def held(directory: Path, after: str = "exit 5") -> tuple[Gate, dict[str, object]]:
    """A job that waits at a gate and then ends in its own way."""
    gate = Gate(directory, "gate")
    command = f"echo once >> starts; {gate.command}; {after}"
    return gate, {"jobs": [{"name": "held", "command": command}]}


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_job_runs_on_without_the_daemon_and_has_its_true_status(
    daemon: Daemon, tmp_path: Path, end: str
) -> None:
    gate, spec = held(tmp_path)
    key = daemon.submit(spec)
    _wait_for_running(daemon, key)
    warden = daemon.warden_pid()
    getattr(daemon, end)()
    daemon.start()
    assert daemon.warden_pid() == warden
    assert daemon.jobs(key)["held"].status is JobStatus.RUNNING
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.FAILED
    job = daemon.jobs(key)["held"]
    assert (job.return_code, job.reason, job.attempt_id) == (5, Reason.EXIT, 1)
    assert (tmp_path / "starts").read_text() == "once\n"


def test_a_job_that_ends_while_no_daemon_is_there_has_its_true_status(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate, spec = held(tmp_path)
    key = daemon.submit(spec)
    _wait_for_running(daemon, key)
    warden = daemon.warden_pid()
    assert warden is not None
    daemon.kill()
    ended = os.pidfd_open(warden)
    gate.open()
    # The last job has ended and nobody is connected: the warden leaves, its journal stays.
    _wait_for_end(ended)
    daemon.start()
    assert over(daemon, key).status is WorkflowStatus.FAILED
    assert daemon.jobs(key)["held"].return_code == 5


def test_the_warden_may_be_killed_while_the_daemon_lives(daemon: Daemon, tmp_path: Path) -> None:
    gate, spec = held(tmp_path)
    key = daemon.submit(spec)
    _wait_for_running(daemon, key)
    warden = daemon.warden_pid()
    assert warden is not None
    os.kill(warden, signal.SIGKILL)
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.FAILED
    assert daemon.jobs(key)["held"].return_code == 5
    assert daemon.run({"jobs": [{"command": "true"}]}).returncode == 0
    assert daemon.warden_pid() != warden


def test_what_depends_on_a_job_starts_after_the_restart(daemon: Daemon, tmp_path: Path) -> None:
    gate, spec = held(tmp_path, after="true")
    spec["jobs"].append({"name": "next", "command": "true", "depends_on": ["held"]})  # type: ignore[attr-defined]
    key = daemon.submit(spec)
    _wait_for_running(daemon, key)
    daemon.kill()
    gate.open()
    daemon.start()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED


def test_a_job_keeps_its_token_over_a_restart(daemon: Daemon, tmp_path: Path) -> None:
    gate = Gate(tmp_path, "gate")
    key = daemon.submit(
        {
            "user_data": [{"name": "v"}],
            "jobs": [
                {
                    "name": "held",
                    "command": f"{gate.command}; torcctl data put v 1",
                    "output_user_data": ["v"],
                }
            ],
        }
    )
    _wait_for_running(daemon, key)
    daemon.kill()
    daemon.start()
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED


def test_a_cancel_that_was_accepted_is_carried_out_by_the_next_daemon(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate = Gate(tmp_path, "gate")
    ignores = f"trap '' TERM; {gate.command}; echo going > going; sleep 1000"
    daemon.config.write_text("termination_grace_seconds = 1000\n")
    daemon.stop()
    daemon.start()
    key = daemon.submit(
        {"jobs": [{"name": "held", "command": ignores, "supports_termination": True}]}
    )
    gate.open()
    assert daemon.torcctl("-k", key, "cancel").returncode == 0
    assert daemon.jobs(key)["held"].stopping
    daemon.kill()
    daemon.config.write_text("termination_grace_seconds = 0.1\n")
    daemon.start()
    assert over(daemon, key).status is WorkflowStatus.CANCELED


def test_acknowledged_values_survive_a_kill(daemon: Daemon) -> None:
    key = daemon.submit({"user_data": [{"name": "v"}], "jobs": [{"command": "true"}]})
    with daemon.client() as client:
        for number in range(50):
            client.store("v", number, workflow_key=key)
        daemon.kill()
    daemon.start()
    with daemon.client() as client:
        assert client.fetch("v", workflow_key=key) == 49
        assert len(client.history("v", workflow_key=key)) == 50


def test_a_second_daemon_of_the_same_state_is_refused(daemon: Daemon) -> None:
    environment = {**daemon.environment, "TORC_SOCKET": str(daemon.socket) + "2"}
    done = subprocess.run(
        [str(BIN / "torcd"), "run"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "another torcd is using it" in done.stderr
    assert "Traceback" not in done.stderr
    assert daemon.torcctl("daemon", "status").returncode == 0


@pytest.mark.parametrize("mode", ["terminate", "wait"])
def test_the_daemon_can_end_with_its_jobs(daemon: Daemon, tmp_path: Path, mode: str) -> None:
    gate, spec = held(tmp_path, after="true")
    spec["jobs"].append({"name": "next", "command": "true", "depends_on": ["held"]})  # type: ignore[attr-defined]
    key = daemon.submit(spec)
    _wait_for_running(daemon, key)
    warden = daemon.warden_pid()
    assert warden is not None
    ended = os.pidfd_open(warden)
    stopping = subprocess.Popen(
        [str(BIN / "torcctl"), "daemon", "stop", "--jobs", mode], env=daemon.environment
    )
    if mode == "wait":
        gate.open()
    assert stopping.wait(timeout=30) == 0
    assert daemon.process is not None
    assert daemon.process.wait(timeout=30) == 0
    daemon.process = None
    _wait_for_end(ended)
    daemon.start()
    if mode == "terminate":
        assert over(daemon, key).status is WorkflowStatus.CANCELED
    else:
        assert over(daemon, key).status is WorkflowStatus.COMPLETED


def _wait_for_running(daemon: Daemon, key: str) -> None:
    with daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.jobs["running"]:
                return


def _wait_for_end(pidfd: int) -> None:
    readable, _, _ = select.select([pidfd], [], [], 20)
    os.close(pidfd)
    assert readable, "the process is still there"
