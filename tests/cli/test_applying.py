"""apply, as somebody types it."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_steering import begun, held, release, statuses
from tests.daemon_process import BIN, Daemon

SPEC: dict[str, Any] = {
    "name": "w",
    "jobs": [
        {"name": "a", "command": "echo a >> ran"},
        {"name": "b", "command": "echo b >> ran"},
    ],
}
EDITED: dict[str, Any] = {
    "name": "w",
    "jobs": [
        {"name": "a", "command": "echo another >> ran"},
        {"name": "c", "command": "echo c >> ran"},
    ],
}


@pytest.fixture
def key(daemon: Daemon, tmp_path: Path) -> str:
    submitted = daemon.submit(SPEC)
    assert daemon.torcctl("-k", submitted, "wait").returncode == 0
    (tmp_path / "ran").unlink()
    (tmp_path / "edited.json").write_text(json.dumps(EDITED))
    (tmp_path / "same.json").write_text(json.dumps(SPEC))
    return submitted


def on_a_terminal(daemon: Daemon, answer: str, *words: str) -> tuple[int, str]:
    """Its exit code, and what it says on standard error."""
    leader, follower = pty.openpty()
    try:
        process = subprocess.Popen(
            [str(BIN / "torcctl"), *words],
            env=daemon.environment,
            cwd=daemon.directory,
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(leader, answer.encode())
        _, said = process.communicate(timeout=30)
    finally:
        os.close(leader)
        os.close(follower)
    return process.returncode, said


def test_it_prints_the_difference_and_what_runs_and_carries_it_out(
    daemon: Daemon, key: str, tmp_path: Path
) -> None:
    done = daemon.torcctl("-k", key, "apply", "edited.json", "--yes")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "CHANGE   WHAT  NAME  FIELDS",
        "removed  job   b     -",
        "changed  job   a     command",
        "added    job   c     -",
        "",
        "JOB  OUTLOOK   WHY",
        "a    will run  its command or what it is to make has changed",
        "c    will run  it is new",
    ]
    assert done.stderr == (f"workflow {key} is changed, and run 2 has begun: 2 jobs will run\n")
    assert daemon.torcctl("-k", key, "wait").returncode == 0
    assert sorted((tmp_path / "ran").read_text().split()) == ["another", "c"]


def test_the_same_spec_changes_nothing_and_says_so(daemon: Daemon, key: str) -> None:
    done = daemon.torcctl("-k", key, "apply", "same.json", "--yes")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"workflow {key}: the spec is the same, so nothing changes\n"
    assert daemon.json("-k", key, "apply", "same.json", "--yes")["applied"] is False
    assert daemon.json("-k", key, "status")["run_id"] == 1


def test_a_dry_run_changes_nothing(daemon: Daemon, key: str) -> None:
    done = daemon.torcctl("-k", key, "apply", "edited.json", "--dry-run")
    assert done.returncode == 0
    assert "changed  job   a     command" in done.stdout
    assert "would be changed, and run 2 begin: 2 jobs will run" in done.stderr
    would = daemon.json("-k", key, "apply", "edited.json", "--dry-run")
    assert (would["applied"], would["restarted"], would["run_id"]) == (False, True, 2)
    assert [(one["change"], one["name"]) for one in would["changes"]] == [
        ("removed", "b"), ("changed", "a"), ("added", "c"),
    ]  # fmt: skip
    assert set(statuses(daemon, key)) == {"a", "b"}
    did = daemon.json("-k", key, "apply", "edited.json", "--yes")
    assert did == {**would, "applied": True}


def test_without_a_terminal_it_wants_yes(daemon: Daemon, key: str) -> None:
    done = daemon.torcctl("-k", key, "apply", "edited.json")
    assert done.returncode == 2
    assert "give --yes" in done.stderr
    assert set(statuses(daemon, key)) == {"a", "b"}
    assert (
        daemon.torcctl("-k", key, "apply", "-", "--yes", stdin=json.dumps(EDITED)).returncode == 0
    )


def test_on_a_terminal_it_asks(daemon: Daemon, key: str) -> None:
    code, said = on_a_terminal(daemon, "n\n", "-k", key, "apply", "edited.json")
    assert (code, f"change workflow {key}?" in said) == (130, True)
    assert set(statuses(daemon, key)) == {"a", "b"}
    code, said = on_a_terminal(daemon, "", "-k", key, "apply", "same.json")
    assert (code, "nothing changes" in said) == (0, True)
    code, said = on_a_terminal(daemon, "y\n", "-k", key, "apply", "edited.json")
    assert (code, "run 2 has begun" in said) == (0, True)
    assert set(statuses(daemon, key)) == {"a", "c"}


def test_what_runs_is_not_changed_and_is_named(daemon: Daemon, tmp_path: Path) -> None:
    key = daemon.submit({"name": "w", "jobs": [held("a")]})
    begun(daemon, key, "a")
    other = json.dumps({"name": "w", "jobs": [{"name": "a", "command": "true"}]})
    done = daemon.torcctl("-F", "json", "-k", key, "apply", "-", "--yes", stdin=other)
    assert done.returncode == 1
    error = json.loads(done.stderr)
    assert error["error"] == "io.torcd.Manager.WrongState"
    assert 'job "a"' in error["message"]
    assert "cannot be changed (command)" in error["message"]
    more = json.dumps({"name": "w", "jobs": [held("a"), {"name": "b", "command": "true"}]})
    assert daemon.torcctl("-k", key, "apply", "-", "--yes", stdin=more).returncode == 0
    release(daemon, "a")
    assert daemon.torcctl("-k", key, "wait").returncode == 0
    assert statuses(daemon, key) == {"a": "completed", "b": "completed"}


@pytest.mark.parametrize(
    ("words", "code", "match"),
    [
        (["apply"], 2, "Missing argument 'SPEC'"),
        (["apply", "nowhere.yaml", "--yes"], 1, "cannot read nowhere.yaml"),
        (["-k", "99", "apply", "same.json", "--yes"], 1, "no workflow has the key 99"),
    ],
)
def test_what_cannot_be_is_refused(
    daemon: Daemon, key: str, words: list[str], code: int, match: str
) -> None:
    done = daemon.torcctl(*words)
    assert (done.returncode, match in done.stderr) == (code, True), done.stderr
