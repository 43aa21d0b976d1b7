"""Failure handlers with a real daemon and real processes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import Daemon
from tests.integration.test_running_again import Halt
from tests.integration.test_workflows import over
from torcd.model import JobStatus, Reason, WorkflowStatus
from torcd.protocol import manager as m


def spec(command: str, **rule: Any) -> dict[str, Any]:
    return {
        "jobs": [
            {"name": "a", "command": command, "failure_handler": "h", "env": {"OWN": "own"}},
            {"name": "b", "command": "echo b >> ran", "depends_on": ["a"]},
        ],
        "failure_handlers": [{"name": "h", "rules": [{"match_all_exit_codes": True, **rule}]}],
    }


AGAIN = 'echo "a$TORC_ATTEMPT_ID" >> ran; echo told >&2; test -e mended || exit 7'


def test_a_script_mends_what_failed_and_sees_how(daemon: Daemon, tmp_path: Path) -> None:
    script = (
        'echo "$TORC_RETURN_CODE $TORC_REASON $TORC_ATTEMPT_ID $TORC_JOB_NAME $OWN" > seen; '
        'cat "$TORC_STDERR" >> seen; echo "token=$TORC_TOKEN" >> seen; echo mending; touch mended'
    )
    key = daemon.submit(spec(AGAIN, recovery_script=script, backoff=0.05))
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert (tmp_path / "ran").read_text() == "a1\na2\nb\n"
    assert (tmp_path / "seen").read_text() == "7 exit 1 a own\ntold\ntoken=\n"
    with daemon.client() as client:
        results = client.results(["a"], workflow_key=key)
    assert [(r.attempt_id, r.status, r.return_code) for r in results] == [
        (1, JobStatus.FAILED, 7),
        (2, JobStatus.COMPLETED, 0),
    ]
    logs = Path(results[0].stdout or "").parent
    assert (logs / f"{results[0].job_key}.1.1.recovery.out").read_text() == "mending\n"
    checked = subprocess.run(
        [sys.executable, "-m", "torcd", "check-db"],
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is sound" in checked.stdout, checked.stdout + checked.stderr


def test_a_script_that_fails_ends_the_retries_with_a_reason(daemon: Daemon, tmp_path: Path) -> None:
    key = daemon.submit(spec(AGAIN, recovery_script="exit 3"))
    assert over(daemon, key).status is WorkflowStatus.FAILED
    job = daemon.jobs(key)["a"]
    assert (job.reason, job.return_code, job.attempt_id) == (Reason.SCRIPT, 7, 1)
    assert job.message == (
        "its recovery script exited with status 3; before, the job exited with status 7"
    )
    assert daemon.jobs(key)["b"].status is JobStatus.CANCELED
    assert (tmp_path / "ran").read_text() == "a1\n"


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_retry_that_waits_outlives_the_daemon(daemon: Daemon, tmp_path: Path, end: str) -> None:
    key = daemon.submit(spec(AGAIN, backoff=3600))
    waiting = _resting(daemon, key)
    assert (waiting.reason, waiting.return_code, waiting.attempt_id) == (Reason.EXIT, 7, 1)
    daemon.kill() if end == "kill" else daemon.stop()
    daemon.start()
    job = daemon.jobs(key)["a"]
    assert (job.retry_at, job.message) == (waiting.retry_at, "exited with status 7")
    with daemon.client() as client:
        told = client.call(m.Explain(job="a", workflow_key=key)).summary
        assert told.startswith("it is tried again at ")
        assert told.endswith("because its attempt 1 ended badly: exited with status 7")
        client.cancel(workflow_key=key)
    assert over(daemon, key).status is WorkflowStatus.CANCELED
    assert (tmp_path / "ran").read_text() == "a1\n"


def test_a_rest_that_is_over_when_the_next_daemon_comes_is_over(
    daemon: Daemon, tmp_path: Path
) -> None:
    key = daemon.submit(spec(AGAIN, backoff=0.3))
    _resting(daemon, key)
    daemon.kill()
    (tmp_path / "mended").touch()
    daemon.start()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert (tmp_path / "ran").read_text() == "a1\na2\nb\n"


def test_a_script_runs_on_without_the_daemon_and_once(daemon: Daemon, tmp_path: Path) -> None:
    gate = Halt(tmp_path, "gate")
    script = f"echo script >> ran; {gate.command}; touch mended"
    key = daemon.submit(spec(AGAIN, recovery_script=script))
    gate.wait()
    with daemon.client() as client:
        told = client.call(m.Explain(job="a", workflow_key=key)).summary
    assert told.startswith("its recovery script is run")
    daemon.kill()
    gate.open()
    daemon.start()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert (tmp_path / "ran").read_text() == "a1\nscript\na2\nb\n"


def test_canceling_kills_the_script(daemon: Daemon, tmp_path: Path) -> None:
    gate = Halt(tmp_path, "gate")
    key = daemon.submit(spec(AGAIN, recovery_script=gate.command))
    gate.wait()
    with daemon.client() as client:
        client.cancel(["a"], workflow_key=key)
    assert over(daemon, key).status is WorkflowStatus.FAILED
    assert daemon.jobs(key)["a"].status is JobStatus.CANCELED
    gate.open()


def _resting(daemon: Daemon, key: str) -> m.JobInfo:
    """The job when it rests."""
    with daemon.client() as client:
        for reply in client.stream(m.FollowEvents(workflow_key=key, since=1)):
            if reply.event.job_name == "a" and reply.event.reason is Reason.EXIT:
                break
    job = daemon.jobs(key)["a"]
    assert job.status is JobStatus.BLOCKED
    assert job.retry_at is not None
    return job
