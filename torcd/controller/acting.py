"""What was committed is carried out: orders to the executor, moments and files to wait for."""

import os
from collections.abc import Callable

from torcd.accounts import Accounts
from torcd.controller.batch import Batch
from torcd.controller.harvest import Harvester
from torcd.controller.inputs import InputWatcher
from torcd.controller.launching import INPUTS, Launcher
from torcd.controller.layout import Layout
from torcd.controller.log_bounds import LogBounds
from torcd.controller.preparing import Preparer
from torcd.controller.pruning import Pruner
from torcd.controller.shelf import Shelf
from torcd.controller.sightings import Sightings
from torcd.controller.sweeping import Sweeper
from torcd.controller.timer import Timer
from torcd.controller.unfolding import Unfolder
from torcd.errors import ExecutorError
from torcd.executors import base
from torcd.model import AttemptKey, Workflow
from torcd.scheduler import Scheduler
from torcd.scheduler import commands as c


class Actor:
    """`lost` and `not_started` are told of attempts that the executor has never heard of: why,
    or None where the attempt was stopped or revoked."""

    def __init__(
        self,
        scheduler: Scheduler,
        accounts: Accounts,
        executor: base.Executor,
        layout: Layout,
        launcher: Launcher,
        harvester: Harvester,
        shelf: Shelf,
        preparer: Preparer,
        watcher: InputWatcher,
        timer: Timer,
        log_bounds: LogBounds,
        sweeper: Sweeper,
        pruner: Pruner,
        sightings: Sightings,
        unfolder: Unfolder,
        *,
        grace_seconds: float,
        lost: Callable[[AttemptKey, str], None],
        not_started: Callable[[AttemptKey, str | None], None],
    ) -> None:
        self._scheduler = scheduler
        self._accounts = accounts
        self._executor = executor
        self._layout = layout
        self._launcher = launcher
        self._harvester = harvester
        self._shelf = shelf
        self._preparer = preparer
        self._watcher = watcher
        self._timer = timer
        self._log_bounds = log_bounds
        self._sweeper = sweeper
        self._pruner = pruner
        self._sightings = sightings
        self._unfolder = unfolder
        self.grace_seconds = grace_seconds
        self._lost = lost
        self._not_started = not_started

    def act(self, batch: Batch) -> None:
        """It is on disk."""
        for record in batch.of_workflows:
            if isinstance(record, c.CreateWorkflow):
                self._shelf.share_environment(record.workflow)
            elif isinstance(record, c.EditWorkflow):
                self._shelf.share_another_environment(record.workflow)
                # Its files may be elsewhere now. Those it waits for are among the actions.
                self._watcher.forget(record.workflow.key)
        # First: what is started and stopped in one batch must be known when it is stopped.
        if batch.starts:
            self._start(batch.starts)
        for action in batch.actions:
            match action:
                case c.StopAttempt():
                    if not self._was_not_ordered(action.attempt_key):
                        grace = self.grace_seconds if action.supports_termination else None
                        self._executor.stop(action.attempt_key, grace)
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
                    self._watch(action)
                case c.MakeElements():
                    self._unfolder.take(action)
        if batch.over:
            over = [end.attempt_key for end in batch.over]
            self._log_bounds.forget(over)
            self._executor.acknowledge(over)
            self._harvester.clear(over)
        for record in batch.of_workflows:
            if isinstance(record, c.SaveWorkflow):
                self._pruner.run_changed(record.workflow_key, record.run_id)
                if record.ended_at is not None:
                    self._watcher.forget(record.workflow_key)
                    self._sightings.forget(record.workflow_key)
                    self._shelf.is_over(record.workflow_key)
                    self._launcher.forget(record.workflow_key)
                    self._sweeper.workflow_ended()
            elif isinstance(record, c.RemoveWorkflow):
                self._sweeper.workflow_deleted()

    def _watch(self, action: c.WatchFile) -> None:
        owner = self._scheduler.workflows[action.workflow_key].workflow.owner
        user = self._accounts.acts_as(owner)
        self._watcher.watch(action.workflow_key, action.file_key, action.path, user)

    def _start(self, starts: list[c.Start]) -> None:
        workflows, foreign = self._scheduler.workflows, self._shelf.foreign_attempts
        orders = []
        for start in starts:
            if start.attempt_key in foreign:
                self._lost(start.attempt_key, foreign.pop(start.attempt_key))
                continue
            order = self._order(start, workflows[start.workflow_key].workflow)
            if order is not None:
                orders.append(order)
        if orders:
            self._executor.start(orders)

    def _order(self, start: c.Start, workflow: Workflow) -> base.AttemptOrder | None:
        """The order for it; None when it is not to be given, or not yet."""
        try:
            if isinstance(start, c.StartAttempt):
                order = self._launcher.order(start, workflow)
            elif isinstance(start, c.StartRecovery):
                order = self._launcher.recovery_order(start, workflow)
            else:
                order = self._launcher.command_order(start, workflow)
        except ExecutorError as error:
            self._not_started(start.attempt_key, f"there is nobody to run it as: {error}")
            return None
        except OSError as error:
            problem = f"the directory for its logs cannot be made: {error}"
            self._not_started(start.attempt_key, problem)
            return None
        self._log_bounds.watch(order)
        # Where TORC_INPUTS is there already, an earlier daemon may have given the order: then only
        # the executor knows whether it has started.
        if INPUTS in order.environment and not os.path.exists(order.environment[INPUTS]):
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
