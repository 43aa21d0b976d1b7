"""What a job script sees."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.client.scripted_daemon import ScriptedDaemon, record
from torcd.client import current_job
from torcd.client.job import Job
from torcd.errors import NotInAJob


@pytest.fixture
def variables(daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = {
        "TORC_SOCKET": daemon.path,
        "TORC_TOKEN": "secret",
        "TORC_WORKFLOW_KEY": "1",
        "TORC_JOB_KEY": "2",
        "TORC_JOB_NAME": "work",
        "TORC_RUN_ID": "3",
        "TORC_ATTEMPT_ID": "4",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_a_job_knows_who_it_is(variables: dict[str, str]) -> None:
    job = current_job()
    assert (job.name, job.key, job.workflow_key) == ("work", "2", "1")
    assert (job.run_id, job.attempt_id) == (3, 4)


def test_a_job_stores_and_fetches_as_itself(
    daemon: ScriptedDaemon, variables: dict[str, str]
) -> None:
    daemon.script = lambda call, peer: peer.reply(record=record(data={"result": 1.2}))
    job = current_job()
    job.store("x", {"result": 1.2})
    assert job.fetch("x") == {"result": 1.2}
    assert job.record("x").revision == 1
    assert [call.parameters for call in daemon.calls] == [
        {"name": "x", "data": {"result": 1.2}, "token": "secret"},
        {"name": "x", "token": "secret"},
        {"name": "x", "token": "secret"},
    ]
    assert len(daemon.peers) == 1
    job.client.close()


def test_the_job_is_the_same_each_time_until_the_environment_is_another(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = current_job()
    assert current_job() is job
    monkeypatch.setenv("TORC_TOKEN", "other")
    assert current_job() is not job


@pytest.mark.parametrize("name", ["TORC_TOKEN", "TORC_SOCKET", "TORC_JOB_KEY"])
def test_outside_a_job_it_says_so(
    name: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(NotInAJob, match=rf"not in a job \({name} is not set\)"):
        current_job()


def test_the_inputs_are_read_from_their_file(variables: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "inputs.json"
    file.write_text('{"a": %s, "b": null}' % ("9" * 5000))
    assert Job(variables | {"TORC_INPUTS": str(file)}).inputs == {"a": 10**5000 - 1, "b": None}
    assert Job(variables).inputs == {}


_HEAVY = ["asyncio", "anyio", "click", "rich", "structlog", "logging", "hashlib", "threading"]


def test_importing_the_client_brings_in_nothing_heavy() -> None:
    program = f"import torcd.client, sys; print([m for m in {_HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.stdout == "[]\n"


def test_the_async_client_is_found_where_the_others_are_and_nothing_else() -> None:
    import torcd.client

    assert torcd.client.AsyncClient.__name__ == "AsyncClient"
    with pytest.raises(AttributeError, match="SyncClient"):
        _ = torcd.client.SyncClient
