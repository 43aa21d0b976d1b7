"""The job that a script runs in, as the script sees it."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from torcd.client.blocking import Client
from torcd.client.conversation import RESTART_TIMEOUT_SECONDS
from torcd.client.requests import JobLike
from torcd.errors import NotInAJob
from torcd.json_text import from_json
from torcd.protocol import manager as m
from torcd.protocol import user_data as u


class Job:
    """Stores what the job has declared as output, fetches what it has declared at all, and adds
    jobs to its workflow."""

    def __init__(self, variables: dict[str, str]) -> None:
        """Of the variables that a job finds in its environment. Raises NotInAJob without them."""
        missing = [name for name in _VARIABLES if not variables.get(name)]
        if missing:
            raise NotInAJob(
                f"this process is not in a job ({missing[0]} is not set): run it as a job of a "
                "workflow, or use torcd.client.Client"
            )
        self.key = variables["TORC_JOB_KEY"]
        self.name = variables["TORC_JOB_NAME"]
        self.workflow_key = variables["TORC_WORKFLOW_KEY"]
        self.run_id = int(variables["TORC_RUN_ID"])
        self.attempt_id = int(variables["TORC_ATTEMPT_ID"])
        self._inputs_file = variables.get("TORC_INPUTS")
        self.client = Client(
            variables["TORC_SOCKET"],
            token=variables["TORC_TOKEN"],
            restart_timeout_seconds=RESTART_TIMEOUT_SECONDS,
        )
        """Speaks as this job."""

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """The values of all user_data that the job has declared as input, as they were when it
        started; empty for a job without any."""
        if not self._inputs_file:
            return {}
        with open(self._inputs_file, "rb") as file:
            inputs: dict[str, Any] = from_json(file.read(), name="TORC_INPUTS")
        return inputs

    def store(self, name: str, value: Any) -> u.Record:
        """Make `value` the newest revision of the output `name`. It is on disk when this returns.

        Raises NotDeclared, InvalidValue for what JSON cannot say (NaN, infinities), or TooLarge.
        """
        return self.client.store(name, value)

    def fetch(self, name: str, *, wait: bool = False, timeout: float | None = None) -> Any:
        """The newest revision of an input or output, as Python data.

        Without a value: NoValue; or with `wait` it returns as soon as there is one, or raises
        TimedOut after `timeout` seconds. Raises NotDeclared for what the job has not declared.
        """
        return self.client.fetch(name, wait=wait, timeout=timeout)

    def record(self, name: str) -> u.Record:
        """The newest revision of an input or output, with who stored it and when."""
        return self.client.record(name)

    def add_jobs(
        self,
        jobs: Sequence[JobLike] | msgspec.Struct | Mapping[str, Any] | bytes,
        *,
        files: Sequence[JobLike] | None = None,
        user_data: Sequence[JobLike] | None = None,
        resource_requirements: Sequence[JobLike] | None = None,
        failure_handlers: Sequence[JobLike] | None = None,
        parameters: Mapping[str, Any] | None = None,
        directory: str | None = None,
    ) -> m.AddedJobs:
        """Add jobs to the workflow of this one, as `Client.add_jobs` says."""
        return self.client.add_jobs(
            jobs,
            files=files,
            user_data=user_data,
            resource_requirements=resource_requirements,
            failure_handlers=failure_handlers,
            parameters=parameters,
            directory=directory,
        )


_VARIABLES = (
    "TORC_SOCKET",
    "TORC_TOKEN",
    "TORC_WORKFLOW_KEY",
    "TORC_JOB_KEY",
    "TORC_JOB_NAME",
    "TORC_RUN_ID",
    "TORC_ATTEMPT_ID",
)

_current: dict[tuple[str | None, ...], Job] = {}


def current_job() -> Job:
    """The job that this process runs in. Raises NotInAJob elsewhere.

    The same object each time, so that all calls share a connection.
    """
    identity = tuple(map(os.environ.get, (*_VARIABLES, "TORC_INPUTS")))
    if identity not in _current:
        job = Job(dict(os.environ))
        _current.clear()
        _current[identity] = job
    return _current[identity]
