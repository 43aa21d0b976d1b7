"""`keep_runs`: results, logs and events of old runs go, and nothing that is still needed."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import Daemon, running_daemon

SPEC = {
    "name": "w",
    "jobs": [
        {"name": "steady", "command": "echo steady"},
        {
            "name": "makes",
            "command": 'echo made; echo "v=$(cat in.txt)" >> $TORC_OUTPUT',
            "input_files": ["in"],
            "output_user_data": ["v"],
        },
        {"name": "uses", "command": "echo used", "input_user_data": ["v"]},
    ],
    "files": [{"name": "in", "path": "in.txt"}],
    "user_data": [{"name": "v"}],
    "actions": [
        {
            "trigger_type": "on_workflow_complete",
            "action_type": "run_commands",
            "commands": ["true"],
        }
    ],
}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running_daemon(tmp_path, "keep_runs = 2\n") as running:
        yield running


def first_run(daemon: Daemon) -> str:
    (daemon.directory / "in.txt").write_text("1")
    key = daemon.submit(SPEC)
    assert daemon.torcctl("-k", key, "wait").returncode == 0
    return key


def another_run(daemon: Daemon, key: str, run: int) -> None:
    (daemon.directory / "in.txt").write_text(str(run))
    assert daemon.json("-k", key, "restart")["run_id"] == run
    assert daemon.torcctl("-k", key, "wait").returncode == 0


def until_removed(daemon: Daemon, key: str, run: int) -> None:
    """Until the log of the daemon says that the runs up to that one are."""
    with subprocess.Popen(
        ["tail", "-n", "+1", "-f", str(daemon.log)], stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        for line in tail.stdout:
            if '"runs_removed"' in line:
                told = json.loads(line)
                if (told["workflow"], told["up_to_run"]) == (key, run):
                    break
        tail.kill()


def runs(items: list[dict[str, Any]]) -> set[tuple[str, int]]:
    return {(item["job_name"], item["run_id"]) for item in items}


def logs(daemon: Daemon, key: str) -> set[int]:
    """The runs of which there are logs."""
    names = [path.name for path in (daemon.state_dir / "logs" / key).iterdir()]
    return {int(name.split(".")[1]) for name in names}


KEPT = {("steady", 1), ("makes", 3), ("uses", 3), ("makes", 4), ("uses", 4)}


def looks_right_after_four_runs(daemon: Daemon, key: str) -> None:
    items = daemon.json("-k", key, "results", "--all")["items"]
    assert runs(items) == KEPT
    assert all(Path(item["stdout"]).exists() for item in items)
    assert logs(daemon, key) == {1, 3, 4}
    assert daemon.torcctl("-k", key, "logs", "steady").stdout == "steady\n"
    history = daemon.json("-k", key, "data", "history", "v")["items"]
    assert [(one["data"], one["stored_by"]["job_name"], one["stored_by"]["run_id"])
            for one in history] == [(run, "makes", run) for run in range(1, 5)]  # fmt: skip
    events = daemon.json("-k", key, "events")["items"]
    assert min(event["run_id"] for event in events) == 3
    done = daemon.torcctl("-k", key, "restart")
    assert "nothing is out of date" in done.stderr
    checked = subprocess.run(
        [*daemon.program, "check-db"],
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_old_runs_go_and_what_the_present_comes_from_stays(daemon: Daemon) -> None:
    key = first_run(daemon)
    for run in (2, 3, 4):
        another_run(daemon, key, run)
    until_removed(daemon, key, 2)
    looks_right_after_four_runs(daemon, key)

    reply = daemon.json("-k", key, "results", "--run", "2")
    assert reply == {"items": [], "removed_runs": 2}
    done = daemon.torcctl("-k", key, "results", "--run", "2")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing of this is left" in done.stderr
    assert "runs 1 to 2 are removed (keep_runs in torcd.toml)" in done.stderr
    done = daemon.torcctl("-k", key, "results", "--run", "1")
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [["steady", "1"]]
    assert "are removed" in done.stderr
    assert daemon.torcctl("-k", key, "results").stderr == ""

    daemon.kill()
    daemon.start()
    looks_right_after_four_runs(daemon, key)


def test_it_begins_with_the_setting_also_for_runs_of_before(tmp_path: Path) -> None:
    with running_daemon(tmp_path) as daemon:
        archived = first_run(daemon)
        another_run(daemon, archived, 2)
        another_run(daemon, archived, 3)
        assert daemon.torcctl("-k", archived, "archive").returncode == 0
        key = first_run(daemon)
        for run in (2, 3, 4):
            another_run(daemon, key, run)
        assert logs(daemon, key) == {1, 2, 3, 4}
        daemon.kill()
        daemon.config.write_text("keep_runs = 2")
        daemon.start()
        until_removed(daemon, key, 2)
        looks_right_after_four_runs(daemon, key)
        assert logs(daemon, archived) == {1, 2, 3}

        daemon.config.write_text("keep_runs = 1")
        done = daemon.torcctl("daemon", "reload")
        assert "in force now: keep_runs" in done.stderr
        until_removed(daemon, key, 3)
        assert logs(daemon, key) == {1, 4}


def test_a_removed_workflow_takes_what_is_left_along(daemon: Daemon) -> None:
    key = first_run(daemon)
    for run in (2, 3):
        another_run(daemon, key, run)
    until_removed(daemon, key, 1)
    assert daemon.torcctl("-k", key, "delete").returncode == 0
    assert daemon.json("ls")["items"] == []
    with subprocess.Popen(
        ["tail", "-n", "+1", "-f", str(daemon.log)], stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        assert any("workflow_removed" in line for line in tail.stdout)
        tail.kill()
    daemon.stop()
    checked = subprocess.run(
        [*daemon.program, "check-db"],
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
