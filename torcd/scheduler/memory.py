"""All that the scheduler holds between two events."""

from collections.abc import Iterable

from torcd import errors
from torcd.model import AttemptKey, Capacity, JobKey, Timestamp, WorkflowKey
from torcd.scheduler.actions import ActionNode
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.sharing import NOTHING, Ledger, Share
from torcd.scheduler.state import WorkflowNode


class Line:
    """The workflows that wait for a share; `scheduler/line.py` has the rules."""

    __slots__ = ("claim", "claimant", "has_gained", "nodes", "starts", "touched")

    def __init__(self) -> None:
        self.nodes: dict[WorkflowKey, WorkflowNode] = {}
        """In order; of each the first job that asks is held up."""
        self.touched: dict[WorkflowKey, WorkflowNode] = {}
        """Those to which something has happened and that have not been looked at yet."""
        self.has_gained = False
        """There may be more for everybody than when they were looked at."""
        self.starts = 0
        """How many jobs have been chosen, of workflows with jobs that ask."""
        self.claimant: WorkflowNode | None = None
        self.claim: Share = NOTHING
        """What the claimant's first job needs; room is left for it."""

    @property
    def is_due(self) -> bool:
        return self.has_gained or bool(self.touched)

    def leave(self, node: WorkflowNode) -> None:
        """It waits for no share, or not for now."""
        self.nodes.pop(node.key, None)
        self.give_up_claim(node)

    def give_up_claim(self, node: WorkflowNode) -> None:
        if self.claimant is node:
            self.claimant = None
            self.claim = NOTHING
            self.has_gained = True


class Memory:
    """The workflows, the attempts under way, and where the counters stand."""

    __slots__ = (
        "action_attempts",
        "attempts",
        "deadlines",
        "former",
        "is_draining",
        "is_loading",
        "ledger",
        "line",
        "next_attempt_key",
        "next_happening",
        "next_key",
        "rests",
        "wake_at",
        "workflows",
    )

    def __init__(
        self,
        next_key: int,
        next_attempt_key: int,
        next_happening: int,
        capacity: Capacity,
        *,
        is_loading: bool,
    ) -> None:
        self.next_key = next_key
        self.next_attempt_key = next_attempt_key
        self.next_happening = next_happening
        self.workflows: dict[WorkflowKey, WorkflowNode] = {}
        self.attempts: dict[AttemptKey, tuple[WorkflowNode, JobNode]] = {}
        """Of each job that is pending or running."""
        self.action_attempts: dict[AttemptKey, tuple[WorkflowNode, ActionNode]] = {}
        """Of each action of which a command is pending or running."""
        self.is_draining = False
        """Nothing more is to start."""
        self.is_loading = is_loading
        """Not all that runs is known yet: nobody gets a share."""
        self.deadlines: list[tuple[Timestamp, AttemptKey]] = []
        """A heap: when the runtime limits of attempts are reached. It may hold some that are
        over."""
        self.rests: list[tuple[Timestamp, WorkflowKey, JobKey]] = []
        """A heap: when jobs that rest have rested. It may hold some that do so no more."""
        self.wake_at: Timestamp | None = None
        """When it wants to be told that time has passed."""
        self.ledger = Ledger(capacity)
        self.line = Line()
        self.former: dict[WorkflowKey, WorkflowNode] = {}
        """Nodes of before it was all forgotten, until their workflows have been loaded again."""

    def release(self, attempt_key: AttemptKey) -> None:
        """The attempt is over."""
        del self.attempts[attempt_key]
        if attempt_key in self.ledger.held:
            self.ledger.give_back(attempt_key)
            self.line.has_gained = True

    def workflow(self, key: WorkflowKey) -> WorkflowNode:
        node = self.workflows.get(key)
        if node is None:
            raise errors.UnknownWorkflow(f"no workflow has the key {key}", workflow_key=str(key))
        return node

    def unfinished_workflow(self, key: WorkflowKey, done: str) -> WorkflowNode:
        """One that is neither over nor on its way out. `done` is what was to be done to it."""
        node = self.workflow(key)
        if node.is_over or node.stopping:
            status = "on its way out" if node.stopping else node.status.value
            raise errors.WrongState(
                f"workflow {key} is {status} already: it can no longer be {done}",
                status=node.status.value,
            )
        return node


def jobs_of(node: WorkflowNode, keys: Iterable[JobKey]) -> list[JobNode]:
    """The jobs of these keys, each once. Raises UnknownJob."""
    jobs = []
    for key in dict.fromkeys(keys):
        job = node.jobs.get(key)
        if job is None:
            raise errors.UnknownJob(f"no job has the key {key}", job=str(key))
        jobs.append(job)
    return jobs
