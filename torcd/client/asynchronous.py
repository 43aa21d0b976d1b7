"""The async client, on anyio: for programs under asyncio or trio."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any

import anyio
import msgspec

from torcd import errors, locations
from torcd.client import async_calls, conversation
from torcd.client.conversation import RESTART_TIMEOUT_SECONDS, ConnectionBroken, Patience
from torcd.client.requests import JobLike, Relation, Requests
from torcd.model import WORKFLOW_OVER, JobStatus
from torcd.protocol import manager as m
from torcd.protocol import user_data as u
from torcd.protocol.request import Reply, Request

Records = list[u.Record]
Jobs = list[m.JobInfo]
Results = list[m.Result]


class AsyncClient:
    """`Client` for async programs: the same methods, to be awaited, with the same promises.

    Tasks may share it; calls at the same time use connections of their own. A call that is
    cancelled closes its connection, and may or may not have been carried out.
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
        self._calls = async_calls.AsyncCalls(self.socket, restart_timeout_seconds)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that are not in use. The client may be used again."""
        await self._calls.aclose()

    # Any request

    async def call(self, parameters: Request[Reply]) -> Reply:
        """Send a request, a struct of `torcd.protocol`, and return the reply to it."""
        return await self._calls.call(parameters)

    def stream(self, parameters: Request[Reply]) -> AsyncGenerator[Reply, None]:
        """Send a request that is answered more than once, and yield the replies as they come.

        It has a connection of its own. Close the iterator (`contextlib.aclosing`) when leaving it
        early. A connection that breaks after the first reply is a NoDaemon.
        """
        return self._calls.stream(parameters)

    # Values

    async def store(self, name: str, value: Any, *, workflow_key: str | None = None) -> u.Record:
        """Make `value` the newest revision of `name`. It is on disk when this returns."""
        return (await self.call(self._requests.store(name, value, workflow_key))).record

    async def fetch(
        self,
        name: str,
        *,
        wait: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - the daemon keeps it
        workflow_key: str | None = None,
    ) -> Any:
        """The newest revision of `name` as Python data.

        Without a value: NoValue; or with `wait` it returns as soon as there is one, or raises
        TimedOut after `timeout` seconds.
        """
        request = self._requests.fetch(name, workflow_key, wait=wait, timeout=timeout)
        if not wait or timeout is None:
            return conversation.value_of((await self.call(request)).record)
        # The daemon keeps the time; this bounds the wait for one that does not answer at all.
        with anyio.move_on_after(timeout + self._restart_timeout):
            return conversation.value_of((await self.call(request)).record)
        raise conversation.timed_out(request, timeout)

    async def record(
        self, name: str, *, revision: int | None = None, workflow_key: str | None = None
    ) -> u.Record:
        """The newest revision of `name`, or another, with who stored it and when, and with its
        text as `data`. Raises NoValue when there is none."""
        request = self._requests.fetch(name, workflow_key, revision=revision)
        return (await self.call(request)).record

    async def list(
        self,
        *,
        relation: Relation | None = None,
        job_key: str | None = None,
        workflow_key: str | None = None,
    ) -> Records:
        """All values of the workflow, or those that a job (the token's, or `job_key`) stores or
        consumes."""
        return (await self.call(self._requests.records(relation, job_key, workflow_key))).items

    async def history(self, name: str, *, workflow_key: str | None = None) -> Records:
        """All revisions of `name`, oldest first."""
        return (await self.call(self._requests.history(name, workflow_key))).items

    async def watch(
        self, name: str | None = None, *, workflow_key: str | None = None
    ) -> AsyncGenerator[u.Record, None]:
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
                async with aclosing(self.stream(request)) as replies:
                    async for reply in replies:
                        record = reply.record
                        if seen.get(record.key, -1) < record.revision:
                            seen[record.key] = record.revision
                            yield record
                return
            except (ConnectionBroken, errors.ShuttingDown, errors.Lagged) as e:
                await async_calls.pause(patience, began, e)

    # Workflows

    async def submit(
        self,
        workflow: msgspec.Struct | Mapping[str, Any] | bytes,
        *,
        directory: str | None = None,
        name: str | None = None,
        environment: Mapping[str, str] | None = None,
        max_parallel_jobs: int | None = None,
        wait_for_inputs: bool = False,
    ) -> m.Submitted:
        """Create a workflow and start it, as `Client.submit`. It is on disk when this returns."""
        return await self.call(
            self._requests.submit(
                workflow, directory, name, environment, max_parallel_jobs, wait_for_inputs
            )
        )

    async def status(self, workflow_key: str | None = None) -> m.WorkflowInfo:
        """The workflow as it stands."""
        return (await self.call(self._requests.status(workflow_key))).workflow

    async def jobs(
        self,
        jobs: Sequence[str] | None = None,
        *,
        statuses: Sequence[JobStatus] | None = None,
        workflow_key: str | None = None,
    ) -> Jobs:
        """Jobs in the order of the spec: all, or those of names, keys or patterns, and states."""
        return (await self.call(self._requests.jobs(jobs, statuses, workflow_key))).items

    async def results(
        self,
        jobs: Sequence[str] | None = None,
        *,
        run_id: int | None = None,
        all_runs: bool = False,
        workflow_key: str | None = None,
    ) -> Results:
        """All attempts of the newest run, of another, or of all; of all jobs or of some."""
        request = self._requests.results(jobs, run_id, all_runs, workflow_key)
        return (await self.call(request)).items

    async def wait(
        self,
        workflow_key: str | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as the blocking client has it
    ) -> m.WorkflowInfo:
        """Return when the workflow is over, however it ended; TimedOut after `timeout` seconds.

        Goes on after a restart of the daemon.
        """
        with anyio.move_on_after(timeout):
            return await self._wait(workflow_key)
        raise conversation.timed_out(self._requests.follow(workflow_key), timeout or 0.0)

    async def cancel(
        self, jobs: Sequence[str] | None = None, *, workflow_key: str | None = None
    ) -> m.Changed:
        """Cancel jobs (by name, key or pattern) and all that depend on them, or the workflow.

        Returns when that is accepted; what runs may take a moment to end.
        """
        return await self.call(self._requests.cancel(jobs, workflow_key))

    async def restart(
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
        return await self.call(self._requests.restart(jobs, only, dry_run, workflow_key))

    async def retry(self, jobs: Sequence[str], *, workflow_key: str | None = None) -> m.Changed:
        """Run jobs again that ended badly (by name, key or pattern), in the same run, with what was
        canceled because of them."""
        return await self.call(self._requests.retry(jobs, workflow_key))

    async def apply(
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
        return await self.call(self._requests.apply(workflow, directory, dry_run, workflow_key))

    async def add_jobs(
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
        return await self.call(request)

    # How it is done

    async def _wait(self, workflow_key: str | None) -> m.WorkflowInfo:
        patience = Patience(self._restart_timeout)
        while True:
            began = time.monotonic()
            request = self._requests.follow(workflow_key)
            try:
                async with aclosing(self.stream(request)) as replies:
                    async for reply in replies:
                        # "The newest" may be another one after a restart.
                        workflow_key = reply.workflow.key
                        if reply.workflow.status in WORKFLOW_OVER:
                            return reply.workflow
                raise conversation.broken(self.socket, request)
            except (ConnectionBroken, errors.ShuttingDown, errors.Lagged) as e:
                await async_calls.pause(patience, began, e)
