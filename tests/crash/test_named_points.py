"""Daemon, warden or both get SIGKILL at each border that an attempt crosses: every job has run at
most once, every status is true, and nothing that was acknowledged is gone.

How somebody dies at a named point, `stumbling.py` says.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.crash import other_boot, stumbling
from tests.crash.stumbling import Stumble
from tests.crash.test_killed_daemon import check_database
from tests.daemon_process import TORCD, Daemon, processes_mentioning
from tests.integration.test_workflows import over
from torcd.client import Client
from torcd.errors import TorcError
from torcd.model import JobStatus, Reason
from torcd.protocol import manager as m

STUMBLING = (sys.executable, stumbling.__file__)

SPEC = {
    "name": "w",
    "user_data": [{"name": "v"}, {"name": "told"}],
    "jobs": [
        {
            "name": "makes",
            "command": "echo ran >> makes; echo v=1 >> $TORC_OUTPUT",
            "output_user_data": ["v"],
        },
        {
            "name": "stores",
            "command": "echo ran >> stores; torcctl -q data put told 5 && echo yes >> told",
            "output_user_data": ["told"],
        },
        {
            "name": "reads",
            "command": "echo ran >> reads; grep -q '\"v\": *1' $TORC_INPUTS && exit 7",
            "input_user_data": ["v"],
        },
        {"name": "follows", "command": "echo ran >> follows; exit 3", "depends_on": ["makes"]},
    ],
}

ENDS = {
    "makes": (JobStatus.COMPLETED, 0),
    "stores": (JobStatus.COMPLETED, 0),
    "reads": (JobStatus.FAILED, 7),
    "follows": (JobStatus.FAILED, 3),
}

OF_THE_DAEMON = (
    "before_commit_of_submission",
    "after_commit_of_submission",
    "before_commit_of_intent",
    "after_commit_of_intent",
    "after_writing_inputs",
    "after_sending_start",
    "before_hearing_of_a_start",
    "before_commit_of_value",
    "after_commit_of_value",
    "before_hearing_of_an_end",
    "after_looking_at_outputs",
    "before_commit_of_end",
    "after_commit_of_end",
    "after_sending_acknowledge",
    "before_commit_of_last_end",
    "after_commit_of_last_end",
)

OF_THE_WARDEN = (
    "after_reading_an_order",
    "after_writing_claimed",
    "after_spawning",
    "after_writing_started",
    "after_telling_started",
    "before_writing_exited",
    "after_writing_exited",
    "after_reaping",
    "after_telling_exited",
    "after_reading_an_acknowledgement",
)

BOTH = (
    "before_commit_of_submission",
    "after_commit_of_submission",
    "after_commit_of_intent",
    "after_sending_start",
    "before_hearing_of_an_end",
    "after_commit_of_end",
    *OF_THE_WARDEN,
)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """One that can stumble."""
    running = Daemon(tmp_path)
    running.program = STUMBLING
    try:
        running.start()
        yield running
        running.check()
    finally:
        running.close()


@pytest.mark.parametrize("point", OF_THE_DAEMON)
def test_the_daemon_dies_and_all_is_as_if_it_had_not(daemon: Daemon, point: str) -> None:
    assert lost_in(daemon, Stumble(point, both=False)) == set()


@pytest.mark.parametrize("point", OF_THE_WARDEN)
def test_the_warden_dies_and_all_is_as_if_it_had_not(daemon: Daemon, point: str) -> None:
    assert lost_in(daemon, Stumble(point, both=False)) == set()


@pytest.mark.parametrize("point", BOTH)
def test_both_die_and_what_is_not_known_is_lost_and_not_guessed(daemon: Daemon, point: str) -> None:
    """Nothing that had not been claimed is lost, nor anything whose end was written down."""
    lost = lost_in(daemon, Stumble(point, both=True))
    if point.startswith(("before_commit_of_s", "after_commit_of_s", "after_reading_an_order")):
        assert lost == set()


def test_a_daemon_that_dies_while_it_starts_is_followed_by_one_that_goes_on(
    daemon: Daemon, tmp_path: Path
) -> None:
    key = submit(daemon)
    daemon.kill()
    stumble = Stumble("before_serving", both=False)
    stumble.set(daemon.state_dir)
    assert daemon.spawn().wait(20) == -signal.SIGKILL
    daemon.program = TORCD
    daemon.start()
    assert judge(daemon, key, tmp_path) == set()


@pytest.mark.parametrize("point", ["before_renaming_the_journal", "after_renaming_the_journal"])
def test_a_warden_that_dies_while_it_takes_over_is_followed_by_one_that_goes_on(
    daemon: Daemon, tmp_path: Path, point: str
) -> None:
    os.mkfifo(tmp_path / "gate")
    command = "echo ran >> held; read < gate; exit 5"
    key = daemon.submit({"name": "w", "jobs": [{"name": "held", "command": command}]})
    first = warden_of_a_running_job(daemon, key)
    Stumble(point, both=False).set(daemon.state_dir)
    os.kill(first, signal.SIGKILL)
    (tmp_path / "gate").write_text("go\n")
    over(daemon, key)
    assert not stumbling.is_set(daemon.state_dir)
    assert daemon.jobs(key)["held"].return_code == 5
    assert (tmp_path / "held").read_text() == "ran\n"


@pytest.mark.parametrize("both", [False, True], ids=["daemon", "both"])
@pytest.mark.parametrize("point", ["after_commit_of_cancel", "after_sending_stop"])
def test_a_cancel_that_is_written_down_is_carried_out_whoever_dies(
    daemon: Daemon, point: str, both: bool
) -> None:
    spec = {"name": "w", "jobs": [{"name": "held", "command": "exec sleep 1000"}]}
    key = daemon.submit(spec)
    warden_of_a_running_job(daemon, key)
    Stumble(point, both=both).set(daemon.state_dir)
    with contextlib.suppress(TorcError), impatient(daemon) as client:
        client.call(m.Cancel(workflow_key=key))
    start_again(daemon)
    over(daemon, key)
    assert daemon.jobs(key)["held"].status is JobStatus.CANCELED


@pytest.mark.parametrize("point", ["before_commit_of_edit", "after_commit_of_edit"])
def test_an_edit_is_taken_whole_or_not_at_all(daemon: Daemon, tmp_path: Path, point: str) -> None:
    """A workflow that is over, so that it also begins a new run or does not."""
    kept = {"name": "kept", "command": "echo kept >> ran"}
    gone = {"name": "gone", "command": "echo gone >> ran", "input_user_data": ["v"]}
    before = {"name": "w", "jobs": [kept, gone], "user_data": [{"name": "v", "data": 1}]}
    new = {"name": "new", "command": "echo new >> ran", "input_user_data": ["v"]}
    after = {**before, "jobs": [kept, new], "user_data": [{"name": "v", "data": 2}]}
    key = daemon.submit(before)
    over(daemon, key)
    (tmp_path / "ran").unlink()
    Stumble(point, both=False).set(daemon.state_dir)
    with contextlib.suppress(TorcError), impatient(daemon) as client:
        client.apply(after, directory=str(tmp_path), workflow_key=key)
    start_again(daemon)
    info = over(daemon, key)
    ran = (tmp_path / "ran").read_text() if (tmp_path / "ran").exists() else ""
    with daemon.client() as client:
        value = client.fetch("v", workflow_key=key)
        is_old = not client.apply(
            before, directory=str(tmp_path), workflow_key=key, dry_run=True
        ).changes
        is_new = not client.apply(
            after, directory=str(tmp_path), workflow_key=key, dry_run=True
        ).changes
    assert (is_old, is_new) == ((True, False) if point.startswith("before") else (False, True))
    assert (set(daemon.jobs(key)), value, info.run_id, ran) == (
        ({"kept", "gone"}, 1, 1, "") if is_old else ({"kept", "new"}, 2, 2, "new\n")
    )
    check_database(daemon)


def test_after_a_restart_of_the_machine_what_ran_is_lost_at_once_and_the_rest_goes_on(
    daemon: Daemon, tmp_path: Path
) -> None:
    """What had ended has its true status; the processes went with the machine."""
    held = {"name": "held", "command": "echo ran >> held; exec sleep 1000"}
    follows = {"name": "follows", "command": "true", "depends_on": ["held"]}
    anyhow = {"name": "anyhow", "command": "echo ran >> anyhow; exit 4", "depends_on": ["held"]}
    anyhow["cancel_on_blocking_job_failure"] = False  # type: ignore[assignment]
    key = daemon.submit({"name": "w", "jobs": [held, follows, anyhow]})
    warden_of_a_running_job(daemon, key)
    daemon.kill()
    for pid in processes_mentioning(str(daemon.state_dir)):  # the warden and the job
        os.kill(pid, signal.SIGKILL)
    daemon.program = (sys.executable, other_boot.__file__)
    daemon.start()
    over(daemon, key)
    jobs = daemon.jobs(key)
    assert (jobs["held"].status, jobs["held"].reason) == (JobStatus.FAILED, Reason.LOST)
    assert "restarted" in (jobs["held"].message or "")
    assert jobs["follows"].reason is Reason.DEPENDENCY
    assert jobs["anyhow"].return_code == 4
    assert (tmp_path / "held").read_text() == (tmp_path / "anyhow").read_text() == "ran\n"
    check_database(daemon)


def lost_in(daemon: Daemon, stumble: Stumble) -> set[str]:
    """Run the workflow, have somebody die on the way, start again; the jobs that were lost."""
    stumble.set(daemon.state_dir)
    key = submit(daemon)
    if stumble.both or stumble.point in OF_THE_DAEMON:
        start_again(daemon)
    if key is None:
        key = submitted_before(daemon)
        # What is only written down was not promised to anybody, but it must not run twice either.
        assert (key is None) == (stumble.point == "before_commit_of_submission")
    lost = judge(daemon, key or submit(daemon), daemon.directory)
    assert not stumbling.is_set(daemon.state_dir), "nobody came to this point"
    return lost


def submit(daemon: Daemon) -> str | None:
    """Its key; None: nobody has answered."""
    request = m.Submit(
        workflow=msgspec.Raw(json.dumps(SPEC).encode()),
        directory=str(daemon.directory),
        environment=daemon.environment,
    )
    try:
        with impatient(daemon) as client:
            return client.call(request).key
    except (TorcError, OSError):
        return None


def impatient(daemon: Daemon) -> Client:
    return Client(str(daemon.socket), restart_timeout_seconds=0)


def start_again(daemon: Daemon) -> None:
    assert daemon.process is not None
    assert daemon.process.wait(20) == -signal.SIGKILL
    daemon.program = TORCD
    daemon.start()


def submitted_before(daemon: Daemon) -> str | None:
    with daemon.client() as client:
        keys = [info.key for info in client.call(m.ListWorkflows()).items]
    assert len(keys) <= 1
    return keys[0] if keys else None


def warden_of_a_running_job(daemon: Daemon, key: str) -> int:
    with daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.jobs["running"]:
                break
        pid = client.call(m.GetStatus()).warden_pid
    assert pid is not None
    return pid


def judge(daemon: Daemon, key: str | None, directory: Path) -> set[str]:
    """Everything is true that can be known of the workflow; returns the jobs that were lost."""
    assert key is not None
    over(daemon, key)
    lost = set()
    for name, job in daemon.jobs(key).items():
        runs = (directory / name).read_text().count("ran") if (directory / name).exists() else 0
        assert runs <= 1, f"{name} ran {runs} times"
        assert job.attempt_id is None or job.attempt_id <= 1
        if job.reason is Reason.LOST:
            lost.add(name)
        elif job.reason is Reason.DEPENDENCY:
            assert runs == 0
            assert "makes" in lost
        else:
            assert (job.status, job.return_code, runs) == (*ENDS[name], 1)
    if (directory / "told").exists():
        with daemon.client() as client:
            assert client.fetch("told", workflow_key=key) == 5
    check_database(daemon)
    return lost
