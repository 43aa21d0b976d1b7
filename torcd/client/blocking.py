"""The blocking client, for scripts and programs."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any

import msgspec

from torcd import errors, locations
from torcd.client import calls, conversation
from torcd.client.conversation import RESTART_TIMEOUT_SECONDS, ConnectionBroken, Patience
from torcd.client.requests import JobLike, Relation, Requests
from torcd.model import WORKFLOW_OVER, JobStatus
from torcd.protocol import manager as m
from torcd.protocol import user_data as u
from torcd.protocol.request import Reply, Request

# A method is called `list`, and hides the type of that name from the annotations below it.
Records = list[u.Record]
Jobs = list[m.JobInfo]
Results = list[m.Result]


class Client:
    """A program's way to the daemon.

    `socket` is where the daemon listens (default: TORC_SOCKET, then the user's own daemon, then
    the system's). With a `token` it speaks as the job of that token, otherwise as a person. Where
    a method takes a `workflow_key`, the default is TORC_WORKFLOW_KEY, then the newest workflow.

    A daemon that restarts is waited for, up to `restart_timeout_seconds`: requests that are safe
    to repeat (all that read, and `store`) are sent again when the connection breaks, others are
    sent at most once. A `store` whose answer was lost may so make two revisions of equal values.

    All methods raise the classes of `torcd.errors`; NoDaemon when nobody answers.

    Several threads may use one client, and so may a process and its forks. Connections are kept
    and used again until `close`, or until the client is garbage.
    """

    def __init__(
        self,
        socket: str | None = None,
        *,
        token: str | None = None,
        restart_timeout_seconds: float = RESTART_TIMEOUT_SECONDS,
    ) -> None:
        self.socket = locations.client_socket() if socket is None else socket
        self._requests = Requests(token)
        self._restart_timeout = restart_timeout_seconds
        self._calls = calls.Calls(self.socket, restart_timeout_seconds)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use. The client may be used again."""
        self._calls.close()

    # Any request

    def call(self, parameters: Request[Reply]) -> Reply:
        """Send a request, a struct of `torcd.protocol`, and return the reply to it."""
        return self._calls.call(parameters, None)

    def stream(self, parameters: Request[Reply]) -> Generator[Reply, None, None]:
        """Send a request that is answered more than once, and yield the replies as they come.

        It has a connection of its own, which closes with the iterator. A daemon that restarts is
        waited for until the first reply; a connection that breaks later is a NoDaemon.
        """
        return self._calls.stream(parameters, None)

    # Values

    def store(self, name: str, value: Any, *, workflow_key: str | None = None) -> u.Record:
        """Make `value` the newest revision of `name`. It is on disk when this returns.

        Raises InvalidValue for what JSON cannot say (NaN, infinities, lone surrogates), TooLarge,
        NotDeclared, NotFound or Denied.
        """
        return self.call(self._requests.store(name, value, workflow_key)).record

    def fetch(
        self,
        name: str,
        *,
        wait: bool = False,
        timeout: float | None = None,
        workflow_key: str | None = None,
    ) -> Any:
        """The newest revision of `name` as Python data.

        Without a value: NoValue; or with `wait` it returns as soon as there is one, or raises
        TimedOut after `timeout` seconds.
        """
        request = self._requests.fetch(name, workflow_key, wait=wait, timeout=timeout)
        return conversation.value_of(self._calls.call(request, timeout if wait else None).record)

    def record(
        self, name: str, *, revision: int | None = None, workflow_key: str | None = None
    ) -> u.Record:
        """The newest revision of `name`, or another, with who stored it and when, and with its
        text as `data`. Raises NoValue when there is none."""
        return self.call(self._requests.fetch(name, workflow_key, revision=revision)).record

    def list(
        self,
        *,
        relation: Relation | None = None,
        job_key: str | None = None,
        workflow_key: str | None = None,
    ) -> Records:
        """All values of the workflow, or those that a job (the token's, or `job_key`) stores or
        consumes."""
        return self.call(self._requests.records(relation, job_key, workflow_key)).items

    def history(self, name: str, *, workflow_key: str | None = None) -> Records:
        """All revisions of `name`, oldest first."""
        return self.call(self._requests.history(name, workflow_key)).items

    def watch(
        self, name: str | None = None, *, workflow_key: str | None = None
    ) -> Generator[u.Record, None, None]:
        """First the present record of each value (or of `name`), then each as it is stored.

        Goes on after a restart of the daemon: no record comes twice, and of several revisions
        stored meanwhile the newest is sure to come.
        """
        request = self._requests.watch(name, workflow_key)
        patience = Patience(self._restart_timeout)
        seen: dict[str, int] = {}
        while True:
            began = time.monotonic()
            try:
                with closing(self._calls.stream(request, None)) as replies:
                    for reply in replies:
                        record = reply.record
                        if seen.get(record.key, -1) < record.revision:
                            seen[record.key] = record.revision
                            yield record
                return
            except (ConnectionBroken, errors.ShuttingDown, errors.Lagged) as e:
                calls.pause(patience, began, e)

    # Workflows

    def submit(
        self,
        workflow: msgspec.Struct | Mapping[str, Any] | bytes,
        *,
        directory: str | None = None,
        name: str | None = None,
        environment: Mapping[str, str] | None = None,
        max_parallel_jobs: int | None = None,
        wait_for_inputs: bool = False,
    ) -> m.Submitted:
        """Create a workflow and start it. It is on disk when this returns.

        `workflow` is a spec: a `torcd.spec.WorkflowSpec`, the same as Python data, or JSON text;
        `directory` where its relative paths are taken from (default: the working directory);
        `name` what it is called where the spec does not say; `environment` what its jobs inherit
        (default: this process's); `max_parallel_jobs` how many of them run at once (default: as
        many as there are CPUs).

        Raises InvalidSpec with all its `problems`, or MissingInputs unless `wait_for_inputs`.
        """
        return self.call(
            self._requests.submit(
                workflow, directory, name, environment, max_parallel_jobs, wait_for_inputs
            )
        )

    def status(self, workflow_key: str | None = None) -> m.WorkflowInfo:
        """The workflow as it stands."""
        return self.call(self._requests.status(workflow_key)).workflow

    def jobs(
        self,
        jobs: Sequence[str] | None = None,
        *,
        statuses: Sequence[JobStatus] | None = None,
        workflow_key: str | None = None,
    ) -> Jobs:
        """Jobs in the order of the spec: all, or those of names, keys or patterns, and states."""
        return self.call(self._requests.jobs(jobs, statuses, workflow_key)).items

    def results(
        self,
        jobs: Sequence[str] | None = None,
        *,
        run_id: int | None = None,
        all_runs: bool = False,
        workflow_key: str | None = None,
    ) -> Results:
        """All attempts of the newest run, of another, or of all; of all jobs or of some."""
        return self.call(self._requests.results(jobs, run_id, all_runs, workflow_key)).items

    def wait(
        self, workflow_key: str | None = None, *, timeout: float | None = None
    ) -> m.WorkflowInfo:
        """Return when the workflow is over, however it ended; TimedOut after `timeout` seconds.

        Goes on after a restart of the daemon.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        patience = Patience(self._restart_timeout)
        while True:
            began = time.monotonic()
            request = self._requests.follow(workflow_key)
            try:
                with closing(self._calls.stream(request, deadline)) as replies:
                    for reply in replies:
                        # "The newest" may be another one after a restart.
                        workflow_key = reply.workflow.key
                        if reply.workflow.status in WORKFLOW_OVER:
                            return reply.workflow
                raise conversation.broken(self.socket, request)
            except TimeoutError:
                raise conversation.timed_out(request, timeout or 0) from None
            except (ConnectionBroken, errors.ShuttingDown, errors.Lagged) as e:
                calls.pause(patience, began, e)

    def cancel(
        self, jobs: Sequence[str] | None = None, *, workflow_key: str | None = None
    ) -> m.Changed:
        """Cancel jobs (by name, key or pattern) and all that depend on them, or the workflow.

        Returns when that is accepted; what runs may take a moment to end.
        """
        return self.call(self._requests.cancel(jobs, workflow_key))

    def restart(
        self,
        jobs: Sequence[str] | None = None,
        *,
        only: bool = False,
        dry_run: bool = False,
        workflow_key: str | None = None,
    ) -> m.Restarted:
        """Begin a new run of what is out of date in a workflow that is over; of some jobs (by name,
        key or pattern), these in any case and what comes after them if it has to run, or `only`
        these. Returns when that is on disk; `dry_run`: what would run, and why."""
        return self.call(self._requests.restart(jobs, only, dry_run, workflow_key))

    def retry(self, jobs: Sequence[str], *, workflow_key: str | None = None) -> m.Changed:
        """Run jobs again that ended badly (by name, key or pattern), in the same run, with what was
        canceled because of them."""
        return self.call(self._requests.retry(jobs, workflow_key))

    def apply(
        self,
        workflow: msgspec.Struct | Mapping[str, Any] | bytes,
        *,
        directory: str | None = None,
        dry_run: bool = False,
        workflow_key: str | None = None,
    ) -> m.Applied:
        """Take an edited spec into a workflow: the difference, what runs because of it, and why.
        Returns when that is on disk; `dry_run`: what would be done. `workflow` and `directory` as
        in `submit`. Raises WrongState where something that runs would be changed."""
        return self.call(self._requests.apply(workflow, directory, dry_run, workflow_key))

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
        """Add jobs to the workflow of the job whose token this client has; that needs to run.

        `jobs` are dicts, structs of `torcd.spec` or records of torc's builder, with what they need
        beside them; or a spec that has all of it, as JSON text too. All or nothing, and on disk
        when this returns; to say the same again changes nothing. `directory`: where relative paths
        are taken from, and where the jobs run that do not say so (default: those of the workflow).
        Raises InvalidSpec with all problems, WrongState, MissingInputs, or Denied to whom is no
        job that runs."""
        request = self._requests.add_jobs(
            jobs, files, user_data, resource_requirements, failure_handlers, parameters, directory
        )
        return self.call(request)
