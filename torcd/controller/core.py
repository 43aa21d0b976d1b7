"""The controller: the parts around the loop, and what others ask of it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
from anyio import to_thread
from anyio.abc import TaskStatus

from torcd import errors
from torcd.accounts import Accounts
from torcd.controller import tokens
from torcd.controller.acting import Actor
from torcd.controller.batch import end_of
from torcd.controller.contents import Glance, glance_at_file
from torcd.controller.gathering import Gatherer
from torcd.controller.harvest import Harvester
from torcd.controller.inputs import InputWatcher
from torcd.controller.launching import Launcher
from torcd.controller.layout import Layout
from torcd.controller.log_bounds import LogBounds
from torcd.controller.loop import Loop
from torcd.controller.preparing import Preparer
from torcd.controller.pruning import Pruner
from torcd.controller.settings import Settings
from torcd.controller.shelf import Shelf
from torcd.controller.sweeping import Sweeper
from torcd.controller.timer import Timer
from torcd.controller.unfolding import Unfolder
from torcd.controller.withdrawing import Withdrawer
from torcd.executors import base
from torcd.feed import Feed
from torcd.impersonation import as_user
from torcd.model import (
    AttemptKey,
    FileKey,
    UserData,
    WorkflowKey,
)
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode
from torcd.store import Store
from torcd.validation import Checker
from torcd.value import Value

MAX_SHOWN_TOKENS = 1_024
"""As many as there may be connections; all are forgotten when there are more."""
T = TypeVar("T")


class Controller(Loop):
    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        store: Store,
        executor: base.Executor,
        feed: Feed,
        log: Any,
        accounts: Accounts | None = None,
    ) -> None:
        """`accounts`: the users whom it serves; None: its own."""
        super().__init__(settings, scheduler, store, feed, log)
        self.accounts = accounts or Accounts()
        self.submitting = anyio.Lock()
        """Held from reading the next key until a workflow has it."""
        self.gatherer = Gatherer()
        self._foresight = anyio.CapacityLimiter(1)
        """It is all Python: two at a time would be no faster."""
        self.parsing = anyio.CapacityLimiter(1)
        """For large values: each takes several times its size while it is read."""
        self._shown_tokens: dict[str, AttemptKey] = {}
        """Good ones, so that each is hashed once, however often its job asks. Finding one takes a
        hash of it that nobody can foretell, so how long that takes tells nothing."""
        self._executor = executor
        layout = Layout(settings.state_dir)
        launcher = Launcher(layout, store.secret, settings.shell, self.accounts)
        self._shelf = Shelf(
            scheduler, store, self.accounts, executor, settings.socket, settings.boot_id
        )
        self._watcher = InputWatcher(self._file_appeared, log)
        self._checker = Checker()
        self._one_check = anyio.CapacityLimiter(1)
        """Stores that wait for theirs keep no thread from others."""
        self._withdrawer = Withdrawer(self, self.accounts, self.submitting, self.put)
        self._harvester = Harvester(
            scheduler,
            self.accounts,
            layout,
            settings.max_value_bytes,
            self._checker,
            self._withdrawer.take,
        )
        self._preparer = Preparer(
            scheduler, store, layout, executor.start, self._not_started, feed.touch, log
        )
        self._sweeper = Sweeper(
            store,
            layout,
            self.delete,
            log,
            retention_days=settings.retention_days,
        )
        self._pruner = Pruner(store, layout, log, keep_runs=settings.keep_runs)
        self._log_bounds = LogBounds(settings.max_log_bytes, log)
        self._unfolder = Unfolder(
            scheduler,
            store,
            self.accounts,
            self.submitting,
            self.request,
            self.settled,
            self.now,
            log,
            max_value_bytes=settings.max_value_bytes,
        )
        self._timer = Timer(lambda at: self.put(e.TimePassed(at)))
        self._actor = Actor(
            scheduler,
            self.accounts,
            executor,
            layout,
            launcher,
            self._harvester,
            self._shelf,
            self._preparer,
            self._watcher,
            self._timer,
            self._log_bounds,
            self._sweeper,
            self._pruner,
            self._harvester.sightings,
            self._unfolder,
            grace_seconds=settings.termination_grace_seconds,
            lost=lambda key, problem: self.put(e.AttemptLost(key, problem, self.now())),
            not_started=self._not_started,
        )

    def adopt(
        self, *, termination_grace_seconds: float, retention_days: float, keep_runs: int
    ) -> None:
        """From now on, in place of what the settings say."""
        self._actor.grace_seconds = termination_grace_seconds
        self._sweeper.set_retention(retention_days)
        self._pruner.set_keep_runs(keep_runs)

    # Its life

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Serve until cancelled. Ready when all that was unfinished has been taken up again."""
        with self._checker:
            await self._run(task_status)

    async def _run(self, task_status: TaskStatus[None]) -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._executor.run, self._reports)
            self._refuse_what_was_never_ordered()
            tasks.start_soon(self.accounts.run)
            tasks.start_soon(self._watcher.run)
            tasks.start_soon(self._harvester.run)
            tasks.start_soon(self._withdrawer.run)
            tasks.start_soon(self._preparer.run)
            tasks.start_soon(self._timer.run)
            tasks.start_soon(self._log_bounds.run)
            await tasks.start(self._loop)
            tasks.start_soon(self._unfolder.run)
            tasks.start_soon(self._sweeper.run)
            tasks.start_soon(self._pruner.run)
            task_status.started()

    def _refuse_what_was_never_ordered(self) -> None:
        """Raises StoreError if the executor knows attempts that this database has yet to give out:
        then it is another one, or was put back, and its own would be taken for them."""
        first = self.store.counters().next_attempt_key
        newest = self._standstill.newest_attempt
        if newest >= first:
            attempts = Layout(self.settings.state_dir).attempts
            raise errors.StoreError(
                f"cannot use the database in {self.settings.state_dir}: jobs were started from it "
                f"that it does not know (attempt {newest}; it has given out {first - 1}), so it is "
                "not the newest one. Put that one back, with its log; or, if it is lost, wait "
                "until these jobs have ended, and restore a backup (torcd restore FILE), or move "
                f"{attempts} away to begin with an empty one",
                path=self.settings.state_dir,
                problem="an older copy",
            )

    # In

    async def require_fit(self, data: UserData, value: Value) -> None:
        """Raises InvalidValue for a value that does not fit the schema, if there is one."""
        if data.schema is not None:
            schema = bytes(data.schema)
            check = partial(self._checker.require_fit, schema, bytes(value.text), name=data.name)
            await to_thread.run_sync(check, limiter=self._one_check)

    def _reports(self, reports: list[base.Report]) -> None:
        """What the executor has to say."""
        if not reports:
            self.feed.touch()
        for report in reports:
            if isinstance(report, base.Started):
                self.put(e.AttemptStarted(report.attempt_key, report.at))
            else:
                self._tell(end_of(report))

    def _file_appeared(self, workflow_key: WorkflowKey, file_key: FileKey) -> None:
        node = self.scheduler.workflows.get(workflow_key)
        file = None if node is None else node.files.get(file_key)
        if node is not None and file is not None:
            user = self.accounts.acts_as(node.workflow.owner)
            seen = as_user(user, glance_at_file, file.path)
            if seen is not None:
                self._harvester.sightings.appeared(workflow_key, file_key, seen)
        self.put(e.FileAppeared(workflow_key, file_key, self.now()))

    def _not_started(self, key: AttemptKey, problem: str | None) -> None:
        self.put(e.AttemptNotStarted(key, problem, self.now()))

    # Who asks

    @property
    def held_up(self) -> str | None:
        """Why nothing can be started, for want of room on some disk; None: it can."""
        shortage = self.shortage or self._preparer.shortage
        return self._executor.held_up if shortage is None else shortage.message

    def workflow(self, key: WorkflowKey) -> AbstractAsyncContextManager[WorkflowNode]:
        """A workflow, in memory for as long as the block lasts. Raises UnknownWorkflow."""
        return self._shelf.workflow(key, self.request, self.settled)

    async def delete(self, key: WorkflowKey) -> None:
        """Delete a workflow that is over. Raises UnknownWorkflow, and WrongState."""
        async with self.workflow(key):
            await self.request(e.DeleteRequested(key, self.now()))

    def revived(self, node: WorkflowNode) -> AbstractAsyncContextManager[None]:
        """For asking that a workflow which is over goes on. Raises UnknownWorkflow."""
        return self._shelf.revived(node)

    async def ahead(self, node: WorkflowNode, look: Callable[[], T]) -> T:
        """What `look` returns or raises, which looks at a workflow that is over, and changes
        nothing: in a thread, for it may take seconds; once more, and here, if something has
        happened to the workflow meanwhile, so that it may have seen half of it."""
        turns = node.turns
        try:
            found = await to_thread.run_sync(look, limiter=self._foresight)
        except Exception:
            if node.turns == turns:
                raise
        else:
            if node.turns == turns:
                return found
        return look()

    def run_begins(self, key: WorkflowKey, inputs: Mapping[FileKey, Glance | None]) -> None:
        """So the files that no job makes look before a workflow is submitted."""
        there = {file: seen for file, seen in inputs.items() if seen is not None}
        self._harvester.sightings.run_begins(key, there)

    def keep_environment(self, key: WorkflowKey, environment: Mapping[str, str]) -> None:
        """What the jobs of a workflow about to be submitted inherit."""
        self._shelf.environments[key] = environment

    def attempt(self, token: str) -> tuple[WorkflowNode, JobNode, AttemptKey]:
        """The job behind a token. Raises Denied."""
        key = self._shown_tokens.get(token)
        if key is None:
            key = tokens.attempt_of(self.store.secret, token)
            if key is not None:
                if len(self._shown_tokens) == MAX_SHOWN_TOKENS:
                    self._shown_tokens.clear()
                self._shown_tokens[token] = key
        found = self.scheduler.active_attempt(key) if key is not None else None
        if key is None or found is None:
            raise errors.Denied(
                "the token is void: it is not one of this daemon's, or its attempt has ended"
            )
        return *found, key
