"""A workflow's actions: when each comes due, and which is next.

An action is *due* when it has not begun and its trigger has come about:

    on_workflow_start     from the beginning; no job starts before its commands have ended
    on_jobs_ready         every job of its set is ready, or is further than that
    on_jobs_complete      every job of its set has ended, or is disabled
    on_workflow_complete  every job has ended, and no other action is due

Whether one is due follows from the jobs' states, and that it has begun from its attempts; so
nothing else has to be written down, and a workflow that is loaded knows what it knew. A job that
was canceled before it was started has not become ready; a disabled one counts as done.

One action runs at a time, and of those that are due the first in the order of the spec. So two of
them never write to the same place at once, as little as they would if one worker ran them. One that
has begun goes on to its end: each command is an attempt, and the intent of the next is committed
together with the end of the one before it. A command that fails is the last of its action.

When the workflow is canceled, what runs is stopped, and of what has not begun only
on_workflow_complete comes due any more: cleaning up belongs to every end.
"""

from collections.abc import Iterable

from torcd.model import Action, JobKey, JobStatus, Workflow
from torcd.scheduler.job_states import (
    BLOCKED,
    Active,
    Blocked,
    Disabled,
    Ended,
    Pending,
    Ready,
    Running,
)
from torcd.scheduler.nodes import JobNode

ActionState = Blocked | Pending | Running | Ended
"""Blocked: it has not begun. Pending and running are its newest command."""


class ActionNode:
    __slots__ = ("action", "command", "frozen_microseconds", "met", "number", "state")

    def __init__(self, action: Action, number: int) -> None:
        self.action = action
        self.number = number
        """Its position in the spec, from 1."""
        self.state: ActionState = BLOCKED
        self.command = 0
        """Position of the newest command begun, from 1."""
        self.frozen_microseconds = 0
        """How long its newest command has been frozen, before the present freeze."""
        self.met: set[JobKey] = set()
        """Of its set: the jobs that are as far as the trigger wants them."""

    @property
    def has_begun(self) -> bool:
        return self.command > 0

    @property
    def is_last_of_all(self) -> bool:
        return self.action.trigger == "on_workflow_complete"


class Actions:
    """The actions of one workflow."""

    __slots__ = ("_due", "_holding", "_of_job", "active", "nodes")

    def __init__(self, workflow: Workflow) -> None:
        self.nodes = [ActionNode(action, n) for n, action in enumerate(workflow.actions, start=1)]
        self.active: ActionNode | None = None
        """The one whose command is pending or running."""
        self._due: dict[int, ActionNode] = {}
        """By number; without those that are last of all."""
        self._of_job: dict[JobKey, list[ActionNode]] = {}
        self._holding = 0
        """How many jobs have to wait for."""

    def watch(self, jobs: Iterable[JobNode]) -> None:
        """Begin to count. Call it when the states of the actions and of all jobs are known."""
        for node in self.nodes:
            if isinstance(node.state, Active):
                self.active = node
            if _holds_jobs(node) and not isinstance(node.state, Ended):
                self._holding += 1
            if node.has_begun:
                continue
            if node.action.trigger == "on_workflow_start":
                self._due[node.number] = node
            for key in node.action.jobs:
                self._of_job.setdefault(key, []).append(node)
        if self._of_job:
            for job in jobs:
                self.note(job)

    def note(self, job: JobNode) -> None:
        """A job has another state."""
        for node in self._of_job.get(job.job.key, ()):
            if node.has_begun:
                continue
            if _is_far_enough(node.action, job):
                node.met.add(job.job.key)
            else:
                node.met.discard(job.job.key)
            if len(node.met) == len(node.action.jobs):
                self._due[node.number] = node
            else:
                self._due.pop(node.number, None)

    def next(self, *, jobs_have_ended: bool, stopping: bool) -> ActionNode | None:
        """The one that is to begin now, or as soon as the workflow may start anything."""
        if self.active is not None:
            return None
        if self._due and not stopping:
            # What comes before all jobs comes before all other actions.
            return min(self._due.values(), key=lambda n: (not _holds_jobs(n), n.number))
        if jobs_have_ended:
            return next((n for n in self.nodes if n.is_last_of_all and not n.has_begun), None)
        return None

    def begins(self, node: ActionNode) -> None:
        """Its first command was chosen."""
        self._due.pop(node.number, None)
        self.active = node

    def ends(self, node: ActionNode) -> None:
        """Its last command has ended."""
        self.active = None
        if _holds_jobs(node):
            self._holding -= 1

    @property
    def hold_jobs(self) -> bool:
        """Whether jobs have to wait for an action that comes before them."""
        return self._holding > 0

    @property
    def at_the_end(self) -> bool:
        """Whether on_workflow_complete has come about, which it does once."""
        return any(node.is_last_of_all and node.has_begun for node in self.nodes)

    @property
    def due(self) -> dict[int, ActionNode]:
        """To look at."""
        return self._due


def _holds_jobs(node: ActionNode) -> bool:
    return node.action.trigger == "on_workflow_start"


def _is_far_enough(action: Action, job: JobNode) -> bool:
    state = job.state
    if action.trigger == "on_jobs_complete":
        return isinstance(state, Ended | Disabled)
    if job.recovery is not None:
        return True
    if isinstance(state, Ended):
        return state.status is not JobStatus.CANCELED or job.attempt_id > 0
    return isinstance(state, Ready | Pending | Running | Disabled)
