"""From the arguments of the clients' methods to requests of the wire."""

import os
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Literal

import msgspec

from torcd.errors import InvalidSpec
from torcd.json_text import Unsayable, encode, to_json
from torcd.model import JobStatus
from torcd.protocol import manager as m
from torcd.protocol import user_data as u

JobLike = msgspec.Struct | SimpleNamespace | Mapping[str, Any]
"""A struct of `torcd.spec`, a record of torc's builder, or a dict."""

Relation = Literal["stores", "consumes"]


class Requests:
    """Makes requests of a job (with its token) or of a person.

    A request that names a workflow is a person's. Without either the workflow is that of
    TORC_WORKFLOW_KEY, or else the newest, which the daemon knows.
    """

    def __init__(self, token: str | None = None) -> None:
        self._token = token

    def store(self, name: str, value: Any, workflow_key: str | None) -> u.Store:
        return u.Store(
            data=to_json(value, name=name),
            name=name,
            token=self._token_unless(workflow_key),
            workflow_key=self._workflow(workflow_key),
        )

    def fetch(
        self,
        name: str,
        workflow_key: str | None,
        *,
        wait: bool = False,
        timeout: float | None = None,
        revision: int | None = None,
    ) -> u.Fetch:
        return u.Fetch(
            name=name,
            token=self._token_unless(workflow_key),
            workflow_key=self._workflow(workflow_key),
            wait=wait or None,
            timeout_seconds=timeout if wait else None,
            revision=revision,
        )

    def records(
        self, relation: Relation | None, job_key: str | None, workflow_key: str | None
    ) -> u.List:
        return u.List(
            relation=relation,
            job_key=job_key,
            token=self._token_unless(workflow_key),
            workflow_key=self._workflow(workflow_key),
        )

    def history(self, name: str, workflow_key: str | None) -> u.History:
        return u.History(
            name=name,
            token=self._token_unless(workflow_key),
            workflow_key=self._workflow(workflow_key),
        )

    def watch(self, name: str | None, workflow_key: str | None) -> u.Watch:
        return u.Watch(
            name=name,
            token=self._token_unless(workflow_key),
            workflow_key=self._workflow(workflow_key),
        )

    def submit(
        self,
        workflow: msgspec.Struct | Mapping[str, Any] | bytes,
        directory: str | None,
        default_name: str | None,
        environment: Mapping[str, str] | None,
        max_parallel_jobs: int | None,
        wait_for_inputs: bool,
    ) -> m.Submit:
        return m.Submit(
            workflow=_spec(workflow),
            directory=os.path.abspath(directory or ""),
            default_name=default_name,
            environment=_text_only(os.environ if environment is None else environment),
            max_parallel_jobs=max_parallel_jobs,
            wait_for_inputs=wait_for_inputs or None,
        )

    def status(self, workflow_key: str | None) -> m.GetWorkflow:
        return m.GetWorkflow(workflow_key=_or_own(workflow_key))

    def follow(self, workflow_key: str | None) -> m.FollowWorkflow:
        return m.FollowWorkflow(workflow_key=_or_own(workflow_key))

    def jobs(
        self,
        jobs: Sequence[str] | None,
        statuses: Sequence[JobStatus] | None,
        workflow_key: str | None,
    ) -> m.ListJobs:
        return m.ListJobs(
            workflow_key=_or_own(workflow_key), statuses=_list(statuses), jobs=_list(jobs)
        )

    def results(
        self,
        jobs: Sequence[str] | None,
        run_id: int | None,
        all_runs: bool,
        workflow_key: str | None,
    ) -> m.ListResults:
        return m.ListResults(
            workflow_key=_or_own(workflow_key),
            run_id=run_id,
            all_runs=all_runs or None,
            jobs=_list(jobs),
        )

    def cancel(self, jobs: Sequence[str] | None, workflow_key: str | None) -> m.Cancel:
        return m.Cancel(workflow_key=_or_own(workflow_key), jobs=_list(jobs))

    def restart(
        self, jobs: Sequence[str] | None, only: bool, dry_run: bool, workflow_key: str | None
    ) -> m.Restart:
        return m.Restart(
            workflow_key=_or_own(workflow_key),
            jobs=_list(jobs),
            only=only or None,
            dry_run=dry_run or None,
        )

    def retry(self, jobs: Sequence[str], workflow_key: str | None) -> m.Retry:
        return m.Retry(jobs=_list(jobs) or [], workflow_key=_or_own(workflow_key))

    def apply(
        self,
        workflow: msgspec.Struct | Mapping[str, Any] | bytes,
        directory: str | None,
        dry_run: bool,
        workflow_key: str | None,
    ) -> m.Apply:
        return m.Apply(
            workflow=_spec(workflow),
            directory=os.path.abspath(directory or ""),
            dry_run=dry_run or None,
            workflow_key=_or_own(workflow_key),
        )

    def add_jobs(
        self,
        jobs: Sequence[JobLike] | msgspec.Struct | Mapping[str, Any] | bytes,
        files: Sequence[JobLike] | None,
        user_data: Sequence[JobLike] | None,
        resource_requirements: Sequence[JobLike] | None,
        failure_handlers: Sequence[JobLike] | None,
        parameters: Mapping[str, Any] | None,
        directory: str | None,
    ) -> m.AddJobs:
        """`jobs`: a list of jobs, with the other sections beside it; or a whole spec of what is to
        be added."""
        spec: Any = jobs
        if isinstance(jobs, Sequence) and not isinstance(jobs, bytes):
            sections = {
                "jobs": jobs,
                "files": files,
                "user_data": user_data,
                "resource_requirements": resource_requirements,
                "failure_handlers": failure_handlers,
                "parameters": parameters,
            }
            spec = {name: _plain(value) for name, value in sections.items() if value is not None}
        return m.AddJobs(
            workflow=_spec(spec),
            token=self._token,
            directory=None if directory is None else os.path.abspath(directory),
        )

    def _token_unless(self, workflow_key: str | None) -> str | None:
        return self._token if workflow_key is None else None

    def _workflow(self, workflow_key: str | None) -> str | None:
        if workflow_key is None and self._token is not None:
            return None
        return _or_own(workflow_key)


def _plain(section: Any) -> Any:
    """A section of a spec. torc's builder gives records, whose fields are those of the spec."""
    if not isinstance(section, Sequence) or isinstance(section, str | bytes):
        return section
    return [
        {name: value for name, value in vars(item).items() if value is not None}
        if isinstance(item, SimpleNamespace)
        else item
        for item in section
    ]


def _spec(workflow: msgspec.Struct | Mapping[str, Any] | bytes) -> msgspec.Raw:
    """A spec as JSON text. Raises InvalidSpec."""
    path = ""
    try:
        text = msgspec.Raw(workflow) if isinstance(workflow, bytes) else encode(workflow)
        msgspec.json.decode(text, type=msgspec.Raw)  # as a part of a message it must be whole
    except Unsayable as e:
        path, problem = e.path, e.problem
    except RecursionError:
        problem = "it is nested too deep"
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        problem = f"not JSON: {str(e).removeprefix('JSON is malformed: ')}"
    else:
        return text
    message = f"{path}: {problem}" if path else problem
    found: dict[str, str | int] = {
        "severity": "error",
        "file": "",
        "path": path,
        "message": problem,
    }
    raise InvalidSpec(message, problems=[found])


def _or_own(workflow_key: str | None) -> str | None:
    return workflow_key or os.environ.get("TORC_WORKFLOW_KEY") or None


def _list(items: Sequence[Any] | None) -> list[Any] | None:
    if isinstance(items, str):
        return [items]
    return None if items is None else list(items)


def _text_only(variables: Mapping[str, str]) -> dict[str, str]:
    """Without the variables that are no text: JSON cannot carry them."""
    return {name: value for name, value in variables.items() if _is_text(name + value)}


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
