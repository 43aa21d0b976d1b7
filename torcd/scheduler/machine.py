"""The door: one event in, commands out.

`Scheduler.handle` is the only way to change what the scheduler knows. It reads no clock, no file
and no dice, so a test can drive it through any history in virtual time, and two schedulers given
the same events decide the same. A request that cannot be granted raises a UserError before
anything has changed.

Behind it: `arriving` (workflows come), `reporting` (attempts go), `requesting` (people and jobs
ask), `restarting` (a new run, of what `planning` finds out of date), `retrying` (once more in
the same run), `editing` (another spec) and `unfolding` (jobs for the elements of a value) check an
event and say what it means; `turn` has the rules by which that spreads through a workflow;
`choosing` says who is next, by the account that `sharing` keeps, and `line` in which workflow;
`limits` stops what has run for long enough, `recovering` has failure handlers do their work, and
`freezing` has what runs stand still; `outbox` puts what was decided into commands.
"""

from collections.abc import Iterable, Mapping

from torcd.model import AttemptKey, Capacity, WorkflowKey
from torcd.scheduler import (
    adding,
    arriving,
    editing,
    limits,
    line,
    reporting,
    requesting,
    restarting,
    retrying,
    unfolding,
)
from torcd.scheduler import events as e
from torcd.scheduler.actions import ActionNode
from torcd.scheduler.commands import Command
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.sharing import BOUNDLESS, Share
from torcd.scheduler.state import WorkflowNode


class Scheduler:
    """Decides for all workflows it has been given."""

    def __init__(
        self,
        *,
        next_key: int = 1,
        next_attempt_key: int = 1,
        next_happening: int = 1,
        capacity: Capacity = BOUNDLESS,
        is_loading: bool = False,
    ) -> None:
        """`is_loading`: workflows will be loaded, and `LoadingEnded` is said when all are."""
        self._memory = Memory(
            next_key, next_attempt_key, next_happening, capacity, is_loading=is_loading
        )

    def handle(self, event: e.Event) -> list[Command]:
        """Decide. Raises UserError for a request that is refused; then nothing has changed."""
        memory = self._memory
        match event:
            case e.AttemptExited():
                commands = reporting.exited(memory, event)
            case e.AttemptStarted():
                commands = reporting.started(memory, event)
            case e.StoreRequested():
                commands = requesting.store(memory, event)
            case e.AttemptNotStarted():
                commands = reporting.not_started(memory, event)
            case e.AttemptLost():
                commands = reporting.lost(memory, event)
            case e.CancelRequested():
                commands = requesting.cancel(memory, event)
            case e.PauseRequested():
                commands = requesting.pause(memory, event)
            case e.ResumeRequested():
                commands = requesting.resume(memory, event)
            case e.DisableRequested():
                commands = requesting.disable(memory, event)
            case e.EnableRequested():
                commands = requesting.enable(memory, event)
            case e.ArchiveRequested():
                commands = requesting.archive(memory, event)
            case e.DeleteRequested():
                commands = requesting.delete(memory, event)
            case e.RestartRequested():
                commands = restarting.restart(memory, event)
            case e.RetryRequested():
                commands = retrying.retry(memory, event)
            case e.EditRequested():
                commands = editing.edit(memory, event)
            case e.ElementsMade():
                commands = unfolding.made(memory, event)
            case e.ElementsRefused():
                commands = unfolding.refused(memory, event)
            case e.DrainRequested():
                commands = requesting.drain(memory, event)
            case e.SubmitRequested():
                commands = arriving.submit(memory, event)
            case e.WorkflowLoaded():
                commands = arriving.load(memory, event)
            case e.LoadingEnded():
                commands = arriving.loading_ended(memory)
            case e.TimePassed():
                commands = limits.time_passed(memory, event)
            case e.FileAppeared():
                commands = arriving.file_appeared(memory, event)
        if memory.line.is_due:
            commands += line.serve(memory, event.at)
        if memory.deadlines or memory.rests:
            commands += limits.next_wake(memory)
        return commands

    def start_over(
        self, *, next_key: int, next_attempt_key: int, next_happening: int, is_draining: bool
    ) -> None:
        """Forget everything and be told it again, as after a start: what is loaded, and then
        `LoadingEnded`. Who holds the node of a workflow that is loaded again has the new one."""
        old = self._memory
        self._memory = Memory(
            next_key, next_attempt_key, next_happening, old.ledger.capacity, is_loading=True
        )
        self._memory.is_draining = is_draining
        self._memory.former = old.workflows

    # What can be asked

    def outlook(self, event: e.EditRequested) -> editing.Edit:
        """What an edit would come to. Raises what `handle` would."""
        memory = self._memory
        node = memory.workflow(event.workflow_key)
        if event.attempt_key is not None:
            adding.adder_of(memory, event.attempt_key)
        return editing.check(node, event, memory.ledger.capacity, memory.next_attempt_key)

    @property
    def next_key(self) -> int:
        """The key that the next workflow is to have."""
        return self._memory.next_key

    @property
    def workflows(self) -> dict[WorkflowKey, WorkflowNode]:
        """Those it holds: to look at, not to change."""
        return self._memory.workflows

    def active_attempt(self, key: AttemptKey) -> tuple[WorkflowNode, JobNode] | None:
        """The job of an attempt that is pending or running; None for any other."""
        return self._memory.attempts.get(key)

    @property
    def active_attempts(self) -> Iterable[AttemptKey]:
        return self._memory.attempts.keys()

    def is_active(self, key: AttemptKey) -> bool:
        """Whether an attempt, of a job or of an action's command, is pending or running."""
        return key in self._memory.attempts or key in self._memory.action_attempts

    @property
    def capacity(self) -> Capacity:
        """What there is for the jobs that ask."""
        return self._memory.ledger.capacity

    @property
    def action_attempts(self) -> Mapping[AttemptKey, tuple[WorkflowNode, ActionNode]]:
        """Those of actions' commands that are pending or running: to look at."""
        return self._memory.action_attempts

    @property
    def left_over(self) -> Share:
        """Of the capacity; less than nothing where attempts of an earlier daemon have more."""
        ledger = self._memory.ledger
        return Share(ledger.cpus, ledger.memory_bytes, len(ledger.free_gpus))

    def has_room_for(self, share: Share) -> bool:
        """Whether so much is left over."""
        return self._memory.ledger.fits(share)

    @property
    def claimant(self) -> WorkflowNode | None:
        """The workflow that room is left for, because a job of it was passed over for long."""
        return self._memory.line.claimant

    @property
    def is_draining(self) -> bool:
        """Nothing more is to start."""
        return self._memory.is_draining

    def forget(self, key: WorkflowKey) -> None:
        """Drop a workflow that is over from memory. It can be loaded again."""
        node = self._memory.workflows.get(key)
        if node is not None and node.is_over:
            del self._memory.workflows[key]
