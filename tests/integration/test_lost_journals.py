"""The warden's files are taken away: what may have run does not run again."""

import os
import select
import shutil
import signal
from pathlib import Path

import pytest

from tests.daemon_process import Daemon
from tests.integration.test_restarts import held
from tests.integration.test_workflows import Gate, over
from torcd.model import JobStatus, Reason
from torcd.protocol import manager as m


def running_job(daemon: Daemon, directory: Path) -> tuple[Gate, str, int]:
    """One that waits at the gate; its workflow, and the warden's pid."""
    gate, spec = held(directory)
    key = daemon.submit(spec)
    with daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.jobs["running"]:
                break
    warden = daemon.warden_pid()
    assert warden is not None
    return gate, key, warden


def kill(pid: int) -> None:
    """Return when it is gone."""
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([pidfd], [], [])
    os.close(pidfd)


@pytest.mark.parametrize("left", [None, b"", b'{"journal": 1, "bo'], ids=["none", "empty", "torn"])
def test_what_runs_is_found_without_the_journal(
    daemon: Daemon, tmp_path: Path, left: bytes | None
) -> None:
    gate, key, warden = running_job(daemon, tmp_path)
    daemon.kill()
    kill(warden)
    journal = daemon.state_dir / "attempts" / "warden.journal"
    journal.unlink()
    if left is not None:
        journal.write_bytes(left)
    daemon.start()
    assert daemon.jobs(key)["held"].status is JobStatus.RUNNING
    gate.open()
    over(daemon, key)
    # Its status is known where the kernel keeps it.
    assert daemon.jobs(key)["held"].return_code in (5, None)
    assert (tmp_path / "starts").read_text() == "once\n"


def test_what_the_journal_told_of_is_lost_with_it(daemon: Daemon, tmp_path: Path) -> None:
    gate, key, warden = running_job(daemon, tmp_path)
    daemon.kill()
    ended = os.pidfd_open(warden)
    gate.open()
    select.select([ended], [], [])
    os.close(ended)
    (daemon.state_dir / "attempts" / "warden.journal").unlink()
    daemon.start()
    over(daemon, key)
    job = daemon.jobs(key)["held"]
    assert job.reason is Reason.LOST
    assert "journal was removed" in (job.message or "")
    assert (tmp_path / "starts").read_text() == "once\n"
    assert daemon.run({"jobs": [{"command": "true"}]}).returncode == 0


@pytest.mark.parametrize("whose", ["warden killed", "warden at work"])
def test_without_all_the_files_of_attempts_nothing_runs_twice(
    daemon: Daemon, tmp_path: Path, whose: str
) -> None:
    gate, key, warden = running_job(daemon, tmp_path)
    daemon.kill()
    if whose == "warden killed":
        kill(warden)
    shutil.rmtree(daemon.state_dir / "attempts")
    daemon.start()
    over(daemon, key)
    assert daemon.jobs(key)["held"].reason is Reason.LOST
    assert (tmp_path / "starts").read_text() == "once\n"
    gate.open()


@pytest.mark.parametrize("what", ["journal", "directory"])
def test_a_daemon_that_lives_knows_what_its_warden_had_without_the_journal(
    daemon: Daemon, tmp_path: Path, what: str
) -> None:
    gate, key, warden = running_job(daemon, tmp_path)
    if what == "directory":
        shutil.rmtree(daemon.state_dir / "attempts")
    else:
        (daemon.state_dir / "attempts" / "warden.journal").unlink()
    kill(warden)
    gate.open()
    over(daemon, key)
    assert daemon.jobs(key)["held"].return_code == 5
    assert (tmp_path / "starts").read_text() == "once\n"


def test_a_warden_that_nobody_can_find_is_not_taken_for_its_job(
    daemon: Daemon, tmp_path: Path
) -> None:
    _, key, warden = running_job(daemon, tmp_path)
    daemon.kill()
    for name in ("warden.journal", "warden.lock", "warden.sock"):
        (daemon.state_dir / "attempts" / name).unlink()
    daemon.start()
    assert daemon.jobs(key)["held"].status is JobStatus.RUNNING
    assert daemon.torcctl("cancel", "--wait", "-k", key).returncode == 0
    assert daemon.jobs(key)["held"].status is JobStatus.CANCELED
    assert (tmp_path / "starts").read_text() == "once\n"
    kill(warden)  # it had not been killed with the job
