"""restart, and plan of a workflow there is."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_steering import begun, held, release
from tests.daemon_process import Daemon


@pytest.fixture
def key(daemon: Daemon, tmp_path: Path) -> str:
    """`good` completed, `bad` failed with 3, `after` was canceled because of that."""
    spec = {
        "jobs": [
            {"name": "good", "command": "echo good >> ran"},
            {"name": "bad", "command": "echo bad >> ran; test -e mended || exit 3"},
            {"name": "after", "command": "echo after >> ran", "depends_on": ["bad"]},
        ]
    }
    submitted = daemon.submit(spec)
    assert daemon.torcctl("-k", submitted, "wait").returncode == 4
    (tmp_path / "ran").unlink()
    return submitted


def outlooks(items: list[dict[str, Any]]) -> dict[str, str]:
    return {item["name"]: item["outlook"] for item in items}


def test_plan_of_a_workflow_and_a_dry_run_say_the_same_and_change_nothing(
    daemon: Daemon, key: str
) -> None:
    plan = daemon.json("-k", key, "plan")
    assert plan == daemon.json("-k", key, "restart", "--dry-run")
    assert outlooks(plan["items"]) == {
        "good": "up_to_date", "bad": "will_run", "after": "will_run",
    }  # fmt: skip
    assert plan["outlooks"] == {"will_run": 2, "may_run": 0, "up_to_date": 1}
    assert (plan["restarted"], plan["run_id"]) == (False, 2)
    done = daemon.torcctl("-k", key, "plan")
    assert "bad    will run    it failed: exited with status 3" in done.stdout
    assert daemon.json("-k", key, "status")["run_id"] == 1


def test_what_failed_runs_again_and_then_there_is_nothing_left(
    daemon: Daemon, key: str, tmp_path: Path
) -> None:
    (tmp_path / "mended").touch()
    done = daemon.torcctl("-k", key, "restart", "--failed")
    assert (done.returncode, done.stdout) == (0, "")
    assert "run 2 has begun: 2 jobs will run, 1 is up to date" in done.stderr
    assert daemon.torcctl("-k", key, "wait").returncode == 0
    assert (tmp_path / "ran").read_text() == "bad\nafter\n"
    again = daemon.torcctl("-k", key, "restart")
    assert again.returncode == 0
    assert "nothing is out of date, so nothing runs (run 2 was the last)" in again.stderr
    assert daemon.json("-k", key, "status")["run_id"] == 2
    assert len(daemon.json("-k", key, "results", "--run", "1")["items"]) == 2
    assert len(daemon.json("-k", key, "results", "--all")["items"]) == 4
    unknown = daemon.torcctl("-k", key, "results", "--run", "3")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert f"workflow {key} has no run 3: there have been 1 to 2" in unknown.stderr


@pytest.mark.parametrize(
    ("options", "ran"),
    [
        (["good", "--only"], "good\n"),
        (["--return-code", "3", "--only"], "bad\n"),
        (["--status", "completed"], "good\n"),
        (["--name", "g*", "--status", "completed"], "good\n"),
    ],
)
def test_jobs_are_chosen(
    daemon: Daemon, key: str, tmp_path: Path, options: list[str], ran: str
) -> None:
    assert daemon.torcctl("-k", key, "restart", *options).returncode == 0
    daemon.torcctl("-k", key, "wait")
    assert (tmp_path / "ran").read_text() == ran


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["after"], 1, '"after" cannot run: it needs "bad", which failed'),
        (["nobody"], 1, "no job 'nobody'"),
        (["--status", "terminated"], 1, "no job of workflow"),
        (["--only"], 2, "--only needs jobs"),
        (["--failed", "--status", "failed"], 2, "exclude each other"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason_and_nothing_runs(
    daemon: Daemon, key: str, tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    done = daemon.torcctl("-k", key, "restart", *options)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert daemon.json("-k", key, "status")["run_id"] == 1
    assert not (tmp_path / "ran").exists()


def test_a_workflow_that_runs_is_not_restarted(daemon: Daemon) -> None:
    key = daemon.submit({"jobs": [held("a")]})
    begun(daemon, key, "a")
    done = daemon.torcctl("-k", key, "-F", "json", "restart")
    assert done.returncode == 1
    error = json.loads(done.stderr)
    assert error["error"] == "io.torcd.Manager.WrongState"
    assert "has jobs that run" in error["message"]
    release(daemon, "a")


def test_plan_wants_a_spec_or_a_workflow(daemon: Daemon) -> None:
    assert daemon.torcctl("plan").returncode == 2
