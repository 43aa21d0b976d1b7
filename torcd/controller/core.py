"""The loop: decide, commit, act, announce, always in this order.

Everything that can change anything comes in through one inbox: requests of clients, reports of
the executor, files that appear. The loop takes what has gathered, lets the scheduler decide it
piece by piece, commits all of it in one transaction, then acts on it, tells it, and only then
answers those who asked. While a commit is under way the inbox fills: the busier it gets, the more
share one commit.

A commit that fails ends the daemon, so that memory and disk never disagree: what was decided and
not written is forgotten with the process, and the next one starts from the disk. Readers look at
the scheduler's memory after `settled`, which waits for what has been decided to be on disk, so
nobody is told what a power cut could take back.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
from anyio import to_thread
from anyio.abc import TaskStatus

from torcd import errors
from torcd.controller import tokens
from torcd.controller.harvest import Harvester, remove
from torcd.controller.inputs import InputWatcher
from torcd.controller.launching import INPUTS, Launcher
from torcd.controller.layout import Layout
from torcd.controller.log_bounds import LogBounds
from torcd.controller.preparing import Preparer
from torcd.controller.shelf import Shelf
from torcd.controller.sweeping import Sweeper
from torcd.controller.timer import Timer
from torcd.executors import base
from torcd.feed import Feed
from torcd.model import AttemptKey, FileKey, Happening, Timestamp, UserData, WorkflowKey
from torcd.scheduler import Scheduler
from torcd.scheduler import commands as c
from torcd.scheduler import events as e
from torcd.scheduler.state import JobNode, WorkflowNode
from torcd.store import Store
from torcd.validation import Checker
from torcd.value import Value

MAX_BATCH = 2_000
"""Events decided before a commit: bounds how long a request waits behind others' work."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller needs to know of the configuration."""

    socket: str
    state_dir: str
    shell: str
    max_value_bytes: int
    termination_grace_seconds: float
    retention_days: float = 0.0
    """Of workflows that are over; 0: they are kept."""
    max_log_bytes: int = 0
    """Of a log of a job; 0: it may grow as it likes."""
    boot_id: str


class _Request:
    """Somebody waits for the answer to an event."""

    __slots__ = ("commands", "done", "error")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.commands: list[c.Command] = []
        self.error: errors.UserError | None = None


class _Batch:
    """What was decided and is to be done about it."""

    def __init__(self) -> None:
        self.records: list[c.Record] = []
        self.happenings: list[Happening] = []
        self.actions: list[c.Action] = []
        self.over: list[AttemptKey] = []
        self.requests: list[_Request] = []

    def add(self, commands: Iterable[c.Command]) -> None:
        for command in commands:
            if isinstance(command, Happening):
                self.happenings.append(command)
            elif isinstance(command, c.Action):
                self.actions.append(command)
            else:
                self.records.append(command)


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
        self.submitting = anyio.Lock()
        """Held from reading the next key until a workflow has it."""
        self._executor = executor
        self._log = log
        self._layout = Layout(settings.state_dir)
        self._launcher = Launcher(self._layout, store.secret, settings.shell)
        self._shelf = Shelf(scheduler, store, executor, settings.socket, settings.boot_id)
        self._watcher = InputWatcher(self._file_appeared, log)
        self._checker = Checker()
        self._one_check = anyio.CapacityLimiter(1)
        """Stores that wait for theirs keep no thread from others."""
        self._harvester = Harvester(
            scheduler, self._layout, settings.max_value_bytes, self._checker, self._put
        )
        self._preparer = Preparer(scheduler, store, self._layout, executor.start, self._not_started)
        self._sweeper = Sweeper(
            store,
            self._layout,
            self.delete,
            log,
            retention_days=settings.retention_days,
        )
        self._log_bounds = LogBounds(settings.max_log_bytes, log)
        self._timer = Timer(lambda at: self._put(e.TimePassed(at)))
        self._inbox: deque[tuple[e.Event | None, _Request | None]] = deque()
        """None for an event: somebody only wants to know when all before it is on disk."""
        self._early: list[base.Report] | None = []
        """Reports that came before what they are about was loaded. Taken then, they would be about
        attempts nobody knows: they would be acknowledged, and forgotten by the executor, before
        they are on disk, and what had run would run again."""
        self._wake = anyio.Event()
        self._is_busy = False

    @staticmethod
    def now() -> Timestamp:
        return Timestamp(time.time_ns() // 1000)

    # Its life

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Serve until cancelled. Ready when all that was unfinished has been taken up again."""
        with self._checker:
            await self._run(task_status)

    async def _run(self, task_status: TaskStatus[None]) -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._executor.run, self._reports)
            self._refuse_what_was_never_ordered(self._early or [])
            tasks.start_soon(self._watcher.run)
            tasks.start_soon(self._harvester.run)
            tasks.start_soon(self._preparer.run)
            tasks.start_soon(self._timer.run)
            tasks.start_soon(self._log_bounds.run)
            for key in await self.store.unfinished():
                self._put(await self._shelf.read(key))
            self._put(e.LoadingEnded(self.now()))
            tasks.start_soon(self._loop)
            await self.settled()
            tasks.start_soon(self._sweeper.run)
            early, self._early = self._early or [], None
            self._reports(early)
            task_status.started()

    def _refuse_what_was_never_ordered(self, reports: Iterable[base.Report]) -> None:
        """Raises StoreError if the executor knows attempts that this database has yet to give out:
        then it is another one, or was put back, and its own would be taken for them."""
        first = self.store.counters().next_attempt_key
        newest = max((report.attempt_key for report in reports), default=0)
        if newest >= first:
            raise errors.StoreError(
                f"cannot use the database in {self.settings.state_dir}: jobs were started from it "
                f"that it does not know (attempt {newest}; it has given out {first - 1}), so it is "
                "not the newest one. Put that one back, with its log; or, if it is lost, wait "
                "until these jobs have ended, and restore a backup (torcd restore FILE), or move "
                f"{self._layout.attempts} away to begin with an empty one",
                path=self.settings.state_dir,
                problem="an older copy",
            )

    async def _loop(self) -> None:
        while True:
            if not self._inbox:
                self._is_busy = False
                self._wake = anyio.Event()
                await self._wake.wait()
            await self._one_batch()

    async def _one_batch(self) -> None:
        batch = self._decide()
        if batch.records or batch.happenings:
            await self.store.commit(
                batch.records,
                batch.happenings,
                environments=self._shelf.environments,
                boot_id=self.settings.boot_id,
            )
        self._act(batch)
        self.feed.publish(batch.happenings)
        self._log_workflows(batch.happenings)
        if batch.requests:
            for request in batch.requests:
                request.done.set()
            # They look at memory now, before anything is decided that is not on disk.
            await anyio.lowlevel.checkpoint()

    def _decide(self) -> _Batch:
        batch = _Batch()
        for _ in range(min(len(self._inbox), MAX_BATCH)):
            event, request = self._inbox.popleft()
            try:
                commands = [] if event is None else self.scheduler.handle(event)
            except errors.UserError as error:
                if request is None:
                    raise
                request.error = error
                commands = []
            batch.add(commands)
            if request is not None:
                request.commands = commands
                batch.requests.append(request)
            elif isinstance(event, e.AttemptExited | e.AttemptNotStarted | e.AttemptLost):
                batch.over.append(event.attempt_key)
        return batch

    def _log_workflows(self, happenings: Iterable[Happening]) -> None:
        """Of jobs there may be thousands a second; the events have them all."""
        for happening in happenings:
            if happening.job_key is None and happening.data_key is None:
                facts = {} if happening.action is None else {"action": happening.action}
                self._log.info(
                    happening.kind,
                    workflow=str(happening.workflow_key),
                    status=happening.status,
                    **facts,
                )

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

    async def require_fit(self, data: UserData, value: Value) -> None:
        """Raises InvalidValue for a value that does not fit the schema, if there is one."""
        if data.schema is not None:
            schema = bytes(data.schema)
            check = partial(self._checker.require_fit, schema, value.text, name=data.name)
            await to_thread.run_sync(check, limiter=self._one_check)

    async def settled(self) -> None:
        """Return when everything that came in so far is decided and on disk.

        What comes in later is not waited for: there may be no end to it. Until the caller waits
        for something else, memory is not ahead of the disk.
        """
        if self._is_busy:
            marker = _Request()
            self._put(None, marker)
            await marker.done.wait()

    def _put(self, event: e.Event | None, request: _Request | None = None) -> None:
        self._inbox.append((event, request))
        if not self._is_busy:
            self._is_busy = True
            self._wake.set()

    def _reports(self, reports: list[base.Report]) -> None:
        """What the executor has to say."""
        if self._early is not None:
            self._early += reports
            return
        for report in reports:
            match report:
                case base.Started():
                    self._put(e.AttemptStarted(report.attempt_key, report.at))
                case base.Exited():
                    self._harvester.take(report)
                case base.NotStarted():
                    self._put(e.AttemptNotStarted(report.attempt_key, report.problem, report.at))
                case base.Lost():
                    self._put(e.AttemptLost(report.attempt_key, report.problem, report.at))

    def _file_appeared(self, workflow_key: WorkflowKey, file_key: FileKey) -> None:
        self._put(e.FileAppeared(workflow_key, file_key, self.now()))

    def _not_started(self, key: AttemptKey, problem: str | None) -> None:
        self._put(e.AttemptNotStarted(key, problem, self.now()))

    # Out

    def _act(self, batch: _Batch) -> None:
        for record in batch.records:
            if isinstance(record, c.CreateWorkflow):
                self._shelf.share_environment(record.workflow)
        # Starts first: what is started and stopped in one batch must be known when it is stopped.
        starts = [
            action
            for action in batch.actions
            if isinstance(action, c.StartAttempt | c.StartCommand)
        ]
        orders = [order for start in starts if (order := self._order(start)) is not None]
        if orders:
            self._executor.start(orders)
        for action in batch.actions:
            match action:
                case c.StartAttempt() | c.StartCommand():
                    pass
                case c.StopAttempt():
                    if not self._was_not_ordered(action.attempt_key):
                        grace = self.settings.termination_grace_seconds
                        self._executor.stop(
                            action.attempt_key, grace if action.supports_termination else None
                        )
                case c.RevokeAttempt():
                    if not self._was_not_ordered(action.attempt_key):
                        self._executor.revoke(action.attempt_key)
                case c.FreezeAttempt():
                    self._executor.freeze(action.attempt_key)
                case c.ThawAttempt():
                    self._executor.thaw(action.attempt_key)
                case c.WakeAt():
                    self._timer.set(action.at)
                case c.WatchFile():
                    self._watcher.watch(action.workflow_key, action.file_key, action.path)
        if batch.over:
            self._log_bounds.forget(batch.over)
            self._executor.acknowledge(batch.over)
            remove([path for key in batch.over for path in self._layout.files_of(key)])
        for record in batch.records:
            if isinstance(record, c.SaveWorkflow) and record.ended_at is not None:
                self._watcher.forget(record.workflow_key)
                self._shelf.is_over(record.workflow_key)
                self._sweeper.workflow_ended()
            elif isinstance(record, c.RemoveWorkflow):
                self._sweeper.workflow_deleted()

    def _order(self, start: c.StartAttempt | c.StartCommand) -> base.AttemptOrder | None:
        """The order for it; None when it is not to be given, or not yet."""
        key = start.attempt_key
        problem = self._shelf.foreign_attempts.pop(key, None)
        if problem is not None:
            self._put(e.AttemptLost(key, problem, self.now()))
            return None
        workflow = self.scheduler.workflows[start.workflow_key].workflow
        try:
            if isinstance(start, c.StartCommand):
                node = self.scheduler.workflows[start.workflow_key]
                order = self._launcher.command_order(start, node.workflow)
            else:
                order = self._launcher.order(start, workflow)
        except OSError as error:
            self._not_started(key, f"the directory for its logs cannot be made: {error}")
            return None
        self._log_bounds.watch(order)
        # Where TORC_INPUTS is there already, an earlier daemon may have given the order: then only
        # the executor knows whether it has started.
        if INPUTS in order.environment and not os.path.exists(self._layout.inputs(key)):
            assert isinstance(start, c.StartAttempt)
            self._preparer.take(start, order)
            return None
        return order

    def _was_not_ordered(self, key: AttemptKey) -> bool:
        """Whether the executor has not heard of it yet; then it never will."""
        if not self._preparer.forget(key):
            return False
        self._not_started(key, None)
        return True

    # Who asks

    def workflow(self, key: WorkflowKey) -> AbstractAsyncContextManager[WorkflowNode]:
        """A workflow, in memory for as long as the block lasts. Raises UnknownWorkflow."""
        return self._shelf.workflow(key, self.request)

    async def delete(self, key: WorkflowKey) -> None:
        """Delete a workflow that is over. Raises UnknownWorkflow, and WrongState."""
        async with self.workflow(key):
            await self.request(e.DeleteRequested(key, self.now()))

    def keep_environment(self, key: WorkflowKey, environment: Mapping[str, str]) -> None:
        """What the jobs of a workflow about to be submitted inherit."""
        self._shelf.environments[key] = environment

    def attempt(self, token: str) -> tuple[WorkflowNode, JobNode, AttemptKey]:
        """The job behind a token. Raises Denied."""
        key = tokens.attempt_of(self.store.secret, token)
        found = self.scheduler.active_attempt(key) if key is not None else None
        if key is None or found is None:
            raise errors.Denied(
                "the token is void: it is not one of this daemon's, or its attempt has ended"
            )
        return *found, key
