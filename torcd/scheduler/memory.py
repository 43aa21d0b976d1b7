"""All that the scheduler holds between two events."""

from collections.abc import Iterable

from torcd import errors
from torcd.model import AttemptKey, JobKey, WorkflowKey
from torcd.scheduler.actions import ActionNode
from torcd.scheduler.state import JobNode, WorkflowNode


class Memory:
    """The workflows, the attempts under way, and where the counters stand."""

    __slots__ = (
        "action_attempts",
        "attempts",
        "is_draining",
        "next_attempt_key",
        "next_happening",
        "next_key",
        "workflows",
    )

    def __init__(self, next_key: int, next_attempt_key: int, next_happening: int) -> None:
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
