"""The loop: decide, commit, act, announce, always in this order.

Everything that can change anything comes in through one inbox: requests of clients, reports of
the executor, files that appear. The loop takes what has gathered, lets the scheduler decide it
piece by piece, commits all of it in one transaction, then acts on it, tells it, and only then
answers those who asked. While a commit is under way the inbox fills: the busier it gets, the more
shares one commit.

A commit that fails ends the daemon, so that memory and disk never disagree: what was decided and
not written is forgotten with the process, and the next one starts from the disk. Readers look at
the scheduler's memory through `settled`, which waits for what has been decided to be on disk, so
nobody is told what a power cut could take back.
"""

import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from anyio import to_thread
from anyio.abc import TaskStatus

from torcd import errors
from torcd.controller import harvest, launching, tokens
from torcd.controller.inputs import InputWatcher
from torcd.controller.layout import Layout
from torcd.executors import base
from torcd.feed import Feed
from torcd.model import (
    AttemptKey,
    FileKey,
    Happening,
    Timestamp,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler import Scheduler
from torcd.scheduler import commands as c
from torcd.scheduler import events as e
from torcd.scheduler.state import JobNode, WorkflowNode
from torcd.store import Store

MAX_BATCH = 2_000
"""Events decided before a commit: bounds how long a request waits behind others' work."""

MAX_IDLE_JOBS = 50_000
"""Jobs of workflows that are over and kept in memory for who asks next: some tens of MiB."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller needs to know of the configuration."""

    socket: str
    state_dir: str
    shell: str
    max_value_bytes: int
    termination_grace_seconds: float
    boot_id: str


class _Request:
    """Somebody waits for the answer to an event."""

    __slots__ = ("commands", "done", "error")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.commands: list[c.Command] = []
        self.error: Exception | None = None


class Controller:
    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        store: Store,
        executor: base.Executor,
        feed: Feed,
        log: Any,
    ) -> None:
        self.settings = settings
        self.scheduler = scheduler
        self.store = store
        self.feed = feed
        self._executor = executor
        self._log = log
        self._layout = Layout(settings.state_dir)
        self._launcher = launching.Launcher(self._layout, store.secret, settings.shell)
        self._watcher = InputWatcher(self._file_appeared)
        self._inbox: deque[tuple[e.Event, _Request | None]] = deque()
        self._wake = anyio.Event()
        self._settled = anyio.Event()
        self._is_busy = False
        self._to_harvest: list[base.Exited] = []
        self._harvest_wake = anyio.Event()
        self._preparing: set[AttemptKey] = set()
        self._to_prepare: list[launching.Prepared] = []
        self._prepare_wake = anyio.Event()
        self._environments: dict[WorkflowKey, Mapping[str, str]] = {}
        self._foreign: dict[AttemptKey, str] = {}
        """Active attempts that were ordered under another boot of the machine."""
        self._pins: dict[WorkflowKey, int] = {}
        self._loading = anyio.Lock()
        self.submitting = anyio.Lock()
        """Held from reading the next key until a workflow has it."""

    @staticmethod
    def now() -> Timestamp:
        return Timestamp(time.time_ns() // 1000)

    # Its life

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Serve until cancelled. Ready when all that was unfinished has been taken up again."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._executor_task)
            tasks.start_soon(self._watcher.run)
            tasks.start_soon(self._harvest_task)
            tasks.start_soon(self._prepare_task)
            for key in await self.store.unfinished():
                await self._load_into_inbox(key, None)
            tasks.start_soon(self._loop)
            task_status.started()

    async def _executor_task(self, *, task_status: TaskStatus[None]) -> None:
        await self._executor.run(self._reports, task_status=task_status)

    async def _loop(self) -> None:
        while True:
            if not self._inbox:
                self._is_busy = False
                self._settled.set()
                self._wake = anyio.Event()
                await self._wake.wait()
            if not self._is_busy:
                self._is_busy = True
                self._settled = anyio.Event()
            await self._one_batch()

    async def _one_batch(self) -> None:
        records: list[c.Record] = []
        happenings: list[Happening] = []
        actions: list[c.Action] = []
        finals: list[AttemptKey] = []
        answers: list[_Request] = []
        for _ in range(min(len(self._inbox), MAX_BATCH)):
            event, request = self._inbox.popleft()
            try:
                commands = self.scheduler.handle(event)
            except errors.UserError as error:
                if request is None:
                    raise
                request.error = error
                answers.append(request)
                continue
            for command in commands:
                if isinstance(command, Happening):
                    happenings.append(command)
                elif isinstance(command, c.Action):
                    actions.append(command)
                else:
                    records.append(command)
            if isinstance(event, e.AttemptExited | e.AttemptNotStarted | e.AttemptLost):
                finals.append(event.attempt_key)
            if request is not None:
                request.commands = commands
                answers.append(request)
        if records or happenings:
            await self.store.commit(
                records,
                happenings,
                environments=self._environments,
                boot_id=self.settings.boot_id,
            )
        for record in records:
            if isinstance(record, c.CreateWorkflow):
                self._share_environment(self.scheduler.workflows[record.workflow.key])
        self._act(actions)
        if finals:
            self._executor.acknowledge(finals)
            self._clean_up_after(finals)
        self.feed.publish(happenings)
        self._look_after_workflows(records)
        for request in answers:
            request.done.set()

    # In

    async def request(self, event: e.Event) -> list[c.Command]:
        """Have an event decided; returns what was decided when it is on disk.

        Raises the UserError with which the scheduler refused it.
        """
        request = _Request()
        self._put(event, request)
        await request.done.wait()
        if request.error is not None:
            raise request.error
        return request.commands

    async def settled(self) -> None:
        """Return when everything decided so far is on disk."""
        while self._is_busy:
            await self._settled.wait()

    def _put(self, event: e.Event, request: _Request | None = None) -> None:
        self._inbox.append((event, request))
        self._wake.set()

    def _file_appeared(self, workflow_key: WorkflowKey, file_key: FileKey) -> None:
        self._put(e.FileAppeared(workflow_key, file_key, self.now()))

    def _reports(self, reports: Iterable[base.Report]) -> None:
        """What the executor has to say."""
        for report in reports:
            if isinstance(report, base.Started):
                self._put(e.AttemptStarted(report.attempt_key, report.at))
            elif isinstance(report, base.Exited):
                self._exited(report)
            elif isinstance(report, base.NotStarted):
                self._put(e.AttemptNotStarted(report.attempt_key, report.problem, report.at))
            else:
                self._put(e.AttemptLost(report.attempt_key, report.problem, report.at))

    def _exited(self, report: base.Exited) -> None:
        found = self.scheduler.active_attempt(report.attempt_key)
        if found is not None and report.return_code == 0:
            job = found[1].job
            if job.output_files or os.path.lexists(self._layout.output(report.attempt_key)):
                self._to_harvest.append(report)
                self._harvest_wake.set()
                return
        self._put(_exit_event(report, _NO_OUTPUTS))

    async def _harvest_task(self) -> None:
        while True:
            await self._harvest_wake.wait()
            self._harvest_wake = anyio.Event()
            reports, self._to_harvest = self._to_harvest, []
            expected = [self._expected(report.attempt_key) for report in reports]
            outputs = await to_thread.run_sync(
                harvest.harvest_all, expected, self.settings.max_value_bytes
            )
            for report, output in zip(reports, outputs, strict=True):
                self._put(_exit_event(report, output))

    def _expected(self, attempt_key: AttemptKey) -> harvest.Expected | None:
        found = self.scheduler.active_attempt(attempt_key)
        if found is None:
            return None
        node, job = found
        wanted = set(job.job.output_files)
        return harvest.Expected(
            job_key=job.job.key,
            output_path=self._layout.output(attempt_key),
            data={node.data[key].data.name: key for key in job.job.output_user_data},
            files=tuple((f.key, f.path) for f in node.workflow.files if f.key in wanted),
        )

    # Out

    def _act(self, actions: list[c.Action]) -> None:
        orders = []
        for action in actions:
            match action:
                case c.StartAttempt():
                    order = self._order(action)
                    if order is not None:
                        orders.append(order)
                case c.StopAttempt():
                    if self._is_unknown_to_executor(action.attempt_key):
                        continue
                    grace = self.settings.termination_grace_seconds
                    self._executor.stop(
                        action.attempt_key, grace if action.supports_termination else None
                    )
                case c.RevokeAttempt():
                    if not self._is_unknown_to_executor(action.attempt_key):
                        self._executor.revoke(action.attempt_key)
                case c.WatchFile():
                    self._watcher.watch(action.workflow_key, action.file_key, action.path)
        if orders:
            self._executor.start(orders)

    def _order(self, start: c.StartAttempt) -> base.AttemptOrder | None:
        """The order for it; None when it is not to be given, or not yet."""
        key = start.attempt_key
        boot_id = self._foreign.pop(key, None)
        if boot_id is not None:
            problem = "the machine was restarted while it was pending or running"
            self._put(e.AttemptLost(key, problem, self.now()))
            return None
        directory = self.scheduler.workflows[start.workflow_key].workflow.directory
        try:
            order = self._launcher.order(start, directory)
        except OSError as error:
            self._not_started(key, f"its log directory cannot be made: {error}")
            return None
        if "TORC_INPUTS" in order.environment:
            self._preparing.add(key)
            self._to_prepare.append(launching.Prepared(order, start))
            self._prepare_wake.set()
            return None
        return order

    def _is_unknown_to_executor(self, key: AttemptKey) -> bool:
        """Whether its order has not been given yet; then it never will be."""
        if key not in self._preparing:
            return False
        self._preparing.discard(key)
        self._not_started(key, None)
        return True

    def _not_started(self, key: AttemptKey, problem: str | None) -> None:
        self._put(e.AttemptNotStarted(key, problem, self.now()))

    async def _prepare_task(self) -> None:
        """Write TORC_INPUTS, then give the order."""
        while True:
            await self._prepare_wake.wait()
            self._prepare_wake = anyio.Event()
            prepared, self._to_prepare = self._to_prepare, []
            orders = []
            for one in prepared:
                key = one.start.attempt_key
                try:
                    values = await self._input_values(one.start)
                    path = self._layout.inputs(key)
                    await to_thread.run_sync(launching.write_inputs, path, values)
                except OSError as error:
                    if key in self._preparing:
                        self._preparing.discard(key)
                        self._not_started(key, f"TORC_INPUTS cannot be written: {error}")
                    continue
                if key in self._preparing:
                    self._preparing.discard(key)
                    orders.append(one.order)
            if orders:
                self._executor.start(orders)

    async def _input_values(self, start: c.StartAttempt) -> dict[str, bytes]:
        node = self.scheduler.workflows[start.workflow_key]
        values = {}
        for key in start.job.input_user_data:
            data = node.data[key]
            if data.revision:
                row = await self.store.value(key)
                if row is not None:
                    values[data.data.name] = row.text
        return values

    def _clean_up_after(self, attempts: list[AttemptKey]) -> None:
        paths = [
            path
            for key in attempts
            for path in (self._layout.output(key), self._layout.inputs(key))
        ]
        harvest.remove(paths)

    # Workflows in memory

    def _look_after_workflows(self, records: list[c.Record]) -> None:
        for record in records:
            if isinstance(record, c.SaveWorkflow) and record.ended_at is not None:
                key = record.workflow_key
                self._executor.remove_environment(launching.environment_name(key))
                self._environments.pop(key, None)
                self._watcher.forget(key)
        self._forget_idle()

    def _forget_idle(self) -> None:
        """Let go of the oldest workflows that are over, beyond some."""
        idle = [
            node
            for key, node in self.scheduler.workflows.items()
            if node.is_over and key not in self._pins
        ]
        total = sum(len(node.jobs) for node in idle)
        for node in idle:
            if total <= MAX_IDLE_JOBS:
                break
            total -= len(node.jobs)
            self.scheduler.forget(node.key)

    def _share_environment(self, node: WorkflowNode) -> None:
        inherited = self._environments.get(node.key, {})
        self._executor.add_environment(
            launching.environment_name(node.key),
            launching.shared_environment(node.workflow, inherited, self.settings.socket),
        )

    @asynccontextmanager
    async def workflow(self, key: WorkflowKey) -> AsyncIterator[WorkflowNode]:
        """A workflow in memory, for as long as the block lasts. Raises UnknownWorkflow."""
        self._pins[key] = self._pins.get(key, 0) + 1
        try:
            if key not in self.scheduler.workflows:
                async with self._loading:
                    if key not in self.scheduler.workflows:
                        request = _Request()
                        await self._load_into_inbox(key, request)
                        await request.done.wait()
            yield self.scheduler.workflows[key]
        finally:
            self._pins[key] -= 1
            if not self._pins[key]:
                del self._pins[key]

    async def _load_into_inbox(self, key: WorkflowKey, request: _Request | None) -> None:
        loaded = await self.store.load(key)
        if loaded is None:
            raise errors.UnknownWorkflow(f"no workflow has the key {key}", workflow_key=str(key))
        event = loaded.event
        if event.wait_for_inputs:
            absent = await to_thread.run_sync(absent_inputs, event.workflow)
            event = msgspec.structs.replace(event, absent_files=absent)
        if event.status in (WorkflowStatus.RUNNING, WorkflowStatus.PAUSED):
            self._environments[key] = loaded.environment
            self._executor.add_environment(
                launching.environment_name(key),
                launching.shared_environment(
                    event.workflow, loaded.environment, self.settings.socket
                ),
            )
        for attempt_key, boot_id in loaded.boot_ids.items():
            if boot_id != self.settings.boot_id:
                self._foreign[attempt_key] = boot_id
        self._put(event, request)

    def keep_environment(self, key: WorkflowKey, environment: Mapping[str, str]) -> None:
        """What the jobs of a workflow about to be submitted inherit."""
        self._environments[key] = environment

    # Who asks

    def attempt(self, token: str) -> tuple[WorkflowNode, JobNode, AttemptKey]:
        """The job behind a token. Raises Denied."""
        key = tokens.attempt_of(self.store.secret, token)
        found = self.scheduler.active_attempt(key) if key is not None else None
        if key is None or found is None:
            raise errors.Denied(
                "the token is void: it is not one of this daemon's, or its attempt has ended"
            )
        return *found, key


def absent_inputs(workflow: Any) -> frozenset[FileKey]:
    """Of the files that no job makes, those that are not there. Looks at the disk."""
    made = {key for job in workflow.jobs for key in job.output_files}
    return frozenset(
        file.key
        for file in workflow.files
        if file.key not in made and not os.path.exists(file.path)
    )


_NO_OUTPUTS = e.Outputs()


def _exit_event(report: base.Exited, outputs: e.Outputs) -> e.AttemptExited:
    return e.AttemptExited(
        attempt_key=report.attempt_key,
        return_code=report.return_code,
        cpu_seconds=report.cpu_seconds,
        peak_memory_bytes=report.peak_memory_bytes,
        outputs=outputs,
        at=report.at,
    )
