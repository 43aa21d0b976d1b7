"""Large values through a real daemon: each in a file of its own, beside the database."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.daemon_process import BIN, Daemon
from tests.integration.test_values import Gate, pair
from tests.integration.test_workflows import over
from torcd import errors
from torcd.model import JobStatus, Reason, WorkflowStatus

LARGE = "x" * (2 << 20)


def files_of(daemon: Daemon) -> list[Path]:
    return list((daemon.state_dir / "torcd.db-values").iterdir())


def with_value(daemon: Daemon, **fields: object) -> str:
    spec = {"user_data": [{"name": "v", **fields}], "jobs": [{"command": "true"}]}
    return daemon.submit(spec)


def test_it_goes_from_job_to_job_and_survives_the_daemon(daemon: Daemon, tmp_path: Path) -> None:
    gate = Gate(tmp_path, "gate")
    store = f"""python3 -c "print('passed=\\"%s\\"' % ('x' * {len(LARGE)}))" >> $TORC_OUTPUT"""
    key = daemon.submit(pair(store, f"{gate.command}; torcctl data get -r passed | wc -c"))
    with daemon.client() as client:
        assert client.fetch("passed", wait=True, timeout=30, workflow_key=key) == LARGE
    assert [file.stat().st_size for file in files_of(daemon)] == [len(LARGE) + 2]
    daemon.kill()
    daemon.start()
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert int(daemon.torcctl("-k", key, "logs", "fetches").stdout) == len(LARGE) + 1


def test_one_that_the_spec_gives_has_a_file_too(daemon: Daemon) -> None:
    key = with_value(daemon, data=LARGE)
    assert [file.stat().st_size for file in files_of(daemon)] == [len(LARGE) + 2]
    with daemon.client() as client:
        assert client.fetch("v", workflow_key=key) == LARGE
        client.store("v", 1, workflow_key=key)
        (first, second) = client.history("v", workflow_key=key)
        assert bytes(first.data) == f'"{LARGE}"'.encode()
        assert bytes(second.data) == b"1"


def test_what_is_refused_leaves_no_file(daemon: Daemon) -> None:
    key = with_value(daemon, schema={"type": "number"})
    with daemon.client() as client:
        with pytest.raises(errors.InvalidValue):
            client.store("v", LARGE, workflow_key=key)
        too_deep = "[" * 100 + f'"{LARGE}"' + "]" * 100
        done = daemon.torcctl("-k", key, "data", "put", "v", "-", stdin=too_deep)
        assert "levels deep" in done.stderr
        assert files_of(daemon) == []
        client.store("v", 1, workflow_key=key)


def test_the_files_of_a_deleted_workflow_go(daemon: Daemon) -> None:
    key = with_value(daemon)
    over(daemon, key)
    with daemon.client() as client:
        client.store("v", LARGE, workflow_key=key)
        (file,) = files_of(daemon)
        assert daemon.torcctl("delete", "-k", key).returncode == 0
        # They go behind the back of whoever deletes.
        other = with_value(daemon)
        client.store("v", LARGE, workflow_key=other)
    daemon.stop()
    daemon.start()
    assert file not in files_of(daemon)
    assert len(files_of(daemon)) == 1


def test_one_whose_file_is_gone_is_told_of_and_can_be_stored_again(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate = Gate(tmp_path, "gate")
    key = daemon.submit(
        {
            **pair("true"),
            "user_data": [{"name": "passed", "data": LARGE}],
            "jobs": [
                {"name": "waits", "command": gate.command},
                {
                    "name": "reads",
                    "command": "true",
                    "depends_on": ["waits"],
                    "input_user_data": ["passed"],
                },
            ],
        }
    )
    (file,) = files_of(daemon)
    daemon.stop()
    file.unlink()
    daemon.start()
    assert "large values are lost" in (daemon.directory / "daemon.log").read_text()
    with daemon.client() as client:
        with pytest.raises(errors.LostValue, match=f"{file}.*store the value again"):
            client.fetch("passed", workflow_key=key)
        backup = subprocess.run(
            [str(BIN / "torcd"), "backup", str(tmp_path / "backup.db")],
            env=daemon.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "not in it, for their files are gone: 1" in backup.stderr
        watched = next(iter(client.watch("passed", workflow_key=key)))
        for record in (
            *client.list(workflow_key=key),
            *client.history("passed", workflow_key=key),
            watched,
        ):
            assert (record.revision, record.data) == (1, msgspec.UNSET)
        gate.open()
        assert over(daemon, key).status is WorkflowStatus.FAILED
        reads = daemon.jobs(key)["reads"]
        assert (reads.status, reads.reason) == (JobStatus.FAILED, Reason.START_FAILED)
        assert f"the file {file} of a large value is not there" in (reads.message or "")
        client.store("passed", LARGE + "y", workflow_key=key)
        assert client.fetch("passed", workflow_key=key) == LARGE + "y"
        assert len(client.history("passed", workflow_key=key)) == 2
    done = daemon.torcctl("-k", key, "data", "get", "passed")
    assert os.fsencode(done.stdout[-10:]) == b'xxxxxxxy"\n'


ADDER = """
import os, pathlib
from torcd.client import current_job
n = pathlib.Path("count").read_text()
current_job().add_jobs([{"name": f"part_{n}", "command": "true"}])
if n == "2":
    open("ready", "w").close()
    open("go").read()
"""


def test_jobs_for_the_elements_of_a_value_that_is_lost_keep_nobody_from_going_on(
    daemon: Daemon, tmp_path: Path
) -> None:
    """Neither who is to make them nor who is to take other jobs back."""
    (tmp_path / "adder.py").write_text(ADDER)
    (tmp_path / "count").write_text("1")
    ready, go = tmp_path / "ready", tmp_path / "go"
    os.mkfifo(ready)
    os.mkfifo(go)
    spec = {
        "user_data": [{"name": "v", "data": [LARGE]}],
        "files": [{"name": "count", "path": "count"}],
        "jobs": [
            {
                "name": "adder",
                "command": f"{sys.executable} adder.py",
                "input_files": ["count"],
            },
            {"name": "fit", "for_each": "v", "command": "true"},
        ],
    }
    key = daemon.submit(spec)
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    (file,) = files_of(daemon)
    (tmp_path / "count").write_text("2")
    with daemon.client() as client:
        assert client.restart(workflow_key=key).restarted
        ready.read_text()  # it runs, and its jobs are added
        text = file.read_bytes()
        file.unlink()
        go.write_text("")
        assert over(daemon, key).status is WorkflowStatus.COMPLETED
        # What would be left of the jobs is not known without the value.
        assert {"part_1", "part_2"} <= daemon.jobs(key).keys()
        with pytest.raises(errors.LostValue):
            client.apply(spec, workflow_key=key)
        file.write_bytes(text)
        client.store("v", ["y" * (2 << 20)], workflow_key=key)


def test_one_that_is_lost_before_its_jobs_are_made_is_told_of(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate = Gate(tmp_path, "gate")
    spec = {
        "user_data": [{"name": "v"}],
        "jobs": [
            {"name": "lists", "command": gate.command, "output_user_data": ["v"]},
            {"name": "each", "for_each": "v", "command": "true"},
        ],
    }
    key = daemon.submit(spec)
    with daemon.client() as client:
        client.store("v", [LARGE], workflow_key=key)
        (file,) = files_of(daemon)
        file.unlink()
        gate.open()
        assert over(daemon, key).status is WorkflowStatus.FAILED
    assert f"the file {file} of a large value is not there" in (
        daemon.jobs(key)["each"].message or ""
    )
