"""What a program may give to `add_jobs`, and what goes out."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from torcd.client.requests import Requests
from torcd.client.torc_builder import WorkflowBuilder
from torcd.errors import InvalidSpec
from torcd.protocol.manager import AddJobs
from torcd.spec import FileSpec, JobSpec, WorkflowSpec

SENT = {
    "jobs": [{"name": "a", "command": "true", "output_files": ["f"]}],
    "files": [{"name": "f", "path": "f.txt"}],
}


def request_to_add(jobs: Any, directory: str | None = None, **sections: Any) -> AddJobs:
    names = ("files", "user_data", "resource_requirements", "failure_handlers", "parameters")
    assert sections.keys() <= set(names)
    return Requests("token").add_jobs(jobs, *map(sections.get, names), directory)


def sent(jobs: Any, directory: str | None = None, **sections: Any) -> Any:
    request = request_to_add(jobs, directory, **sections)
    assert request.token == "token"
    assert request.workflow_key is None
    return msgspec.json.decode(request.workflow)


def test_jobs_are_dicts_with_what_they_need_beside_them() -> None:
    assert sent(SENT["jobs"], files=SENT["files"], user_data=None) == SENT


def test_jobs_are_structs_of_the_language() -> None:
    job = JobSpec(name="a", command="true", output_files=("f",))
    assert sent([job], files=[FileSpec(name="f", path="f.txt")]) == SENT
    assert sent(WorkflowSpec(jobs=(job,), files=(FileSpec(name="f", path="f.txt"),))) == SENT


def test_jobs_are_records_of_torcs_builder_or_all_that_it_has_built() -> None:
    builder = WorkflowBuilder()
    job = builder.add_job(name="a", command="true", output_files=["f"], scheduler=None)
    file = builder.add_file(name="f", path="f.txt")
    assert sent([job], files=[file]) == SENT
    assert sent(builder.build()) == SENT


def test_a_spec_may_be_json_text() -> None:
    assert sent(msgspec.json.encode(SENT)) == SENT


def test_what_json_cannot_say_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidSpec, match=r"user_data\[0\].data"):
        sent(SENT["jobs"], user_data=[{"name": "v", "data": float("nan")}])


def test_a_directory_is_made_absolute_and_without_one_it_is_the_workflows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert request_to_add(SENT["jobs"], "parts").directory == str(tmp_path / "parts")
    assert request_to_add(SENT["jobs"]).directory is None
