"""One event's consequences in one workflow: the rules of a job's life.

How an end spreads. A job that ends moves the gates it feeds. A gate whose last producer has
finished opens, and consumers for which it was the last closed gate become ready. A gate one of
whose producers ended badly is spoiled: its consumers that have not started and did not say
`cancel_on_blocking_job_failure: false` are canceled at once, which is an end that spreads in turn.
Ends waiting to be spread stand in a queue, not on the stack, so depth costs nothing. A gate is
looked through at most twice: when it is spoiled and when it opens.
"""

from collections import deque
from heapq import heappush

from torcd.model import (
    AttemptKey,
    DataKey,
    Happening,
    HappeningKind,
    JobKey,
    JobStatus,
    Reason,
    Timestamp,
    WorkflowStatus,
)
from torcd.scheduler.commands import Command, SaveJob, SaveValue, SaveWorkflow, StopAttempt
from torcd.scheduler.state import (
    BLOCKED,
    READY,
    Blocked,
    Disabled,
    Ended,
    GateNode,
    JobNode,
    Pending,
    Ready,
    Running,
    State,
    Stop,
    WorkflowNode,
)
from torcd.value import Value


class Turn:
    """Changes a workflow and gathers the commands that go with it."""

    def __init__(self, node: WorkflowNode, at: Timestamp, happening_number: int) -> None:
        self.node = node
        self.at = at
        self.out: list[Command] = []
        self.next_happening = happening_number
        self._to_spread: deque[JobNode] = deque()
        self._absent_files: frozenset[int] = frozenset()

    # What an event does

    def finish(self, job: JobNode, ended: Ended) -> None:
        """The job has come to its end: spread it."""
        self._enter(job, ended)
        self._save(job)
        self._to_spread.append(job)
        self._spread()

    def disable(self, job: JobNode, state: Disabled, absent_files: frozenset[int]) -> None:
        self._absent_files = absent_files
        self._enter(job, state)
        self._save(job)
        self._to_spread.append(job)
        self._spread()

    def enable(self, job: JobNode) -> None:
        """Back to where its dependencies say; consumers that have not started wait for it again."""
        for gate in job.feeds:
            gate.missing += 1
            if gate.missing == 1:
                for consumer in gate.consumers:
                    consumer.waits += 1
                    if isinstance(consumer.state, Ready):
                        self._enter(consumer, BLOCKED)
        self._enter(job, BLOCKED)
        self._save(job)
        if job.job.cancel_on_blocking_job_failure and any(gate.spoiled for gate in job.awaits):
            self.cancel(job, Stop(Reason.DEPENDENCY, "canceled because a job it needs ended badly"))
        elif not job.waits:
            self._make_ready(job)

    def cancel(self, job: JobNode, stop: Stop) -> None:
        """End it, whatever it is doing; no effect on what has ended or is stopping already."""
        self._cancel(job, stop)
        self._spread()

    def store(
        self,
        data_key: DataKey,
        value: Value,
        producer: JobNode | None,
        attempt_key: AttemptKey | None,
    ) -> None:
        """A new revision; opens what waits for the value where that is the rule."""
        data = self.node.data[data_key]
        data.revision += 1
        data.is_stored_in_run = True
        self.out.append(
            SaveValue(
                workflow_key=self.node.key,
                data_key=data_key,
                revision=data.revision,
                value=value,
                run_id=self.node.run_id,
                attempt_key=attempt_key,
                at=self.at,
            )
        )
        self._tell(
            "value_stored",
            job_key=producer.job.key if producer else None,
            data_key=data_key,
            revision=data.revision,
            attempt_id=producer.attempt_id if producer else None,
        )
        gate = data.gate
        if gate is None:
            return
        if producer is not None and gate.opens_early is not None:
            if producer.job.key not in gate.opens_early:
                gate.opens_early.add(producer.job.key)
                self._lower(gate)
        elif gate.missing and gate.is_input:
            self._lower(gate)

    def save_initial_value(self, data_key: DataKey, value: Value) -> None:
        """The value that the spec gives; it counts as revision 1 and as nobody's."""
        self.out.append(
            SaveValue(
                workflow_key=self.node.key,
                data_key=data_key,
                revision=1,
                value=value,
                run_id=0,
                attempt_key=None,
                at=self.at,
            )
        )

    def open_input(self, gate: GateNode) -> None:
        """An input that nobody makes has appeared."""
        if gate.missing:
            self._lower(gate)

    def start(self, job: JobNode, pending: Pending) -> None:
        self._enter(job, pending)
        self.tell_job(job)

    def started(self, job: JobNode, running: Running) -> None:
        self._enter(job, running)
        self.tell_job(job)

    def take_back(self, job: JobNode) -> None:
        """It was pending, and will not start now."""
        self._make_ready(job)

    # How it spreads

    def _spread(self) -> None:
        while self._to_spread:
            job = self._to_spread.popleft()
            status = job.state.status
            for gate in job.feeds:
                if status is JobStatus.COMPLETED:
                    gate.made = True
                elif status is not JobStatus.DISABLED and not gate.spoiled:
                    gate.spoiled = True
                    for consumer in gate.consumers:
                        if consumer.job.cancel_on_blocking_job_failure:
                            self._cancel_dependent(consumer, job, gate)
                if gate.opens_early is None or job.job.key not in gate.opens_early:
                    self._lower(gate)

    def _lower(self, gate: GateNode) -> None:
        gate.missing -= 1
        if gate.missing:
            return
        is_missing = not gate.made and not gate.spoiled and self._is_never_made(gate)
        for consumer in gate.consumers:
            consumer.waits -= 1
            if is_missing:
                message = (
                    f"{self._describe(gate)} is missing, and the job that makes it is disabled"
                )
                self._cancel(consumer, Stop(Reason.DEPENDENCY, message))
            elif not consumer.waits and isinstance(consumer.state, Blocked):
                self._make_ready(consumer)

    def _is_never_made(self, gate: GateNode) -> bool:
        """Only disabled jobs would have made it, and it is not there."""
        if gate.is_input:
            return False
        if gate.kind == "user_data":
            return not self.node.data[DataKey(gate.subject)].revision
        return gate.kind == "file" and gate.subject in self._absent_files

    def _cancel_dependent(self, job: JobNode, culprit: JobNode, gate: GateNode) -> None:
        if isinstance(job.state, Running | Ended | Disabled):
            return
        how = culprit.state.status.value
        message = f'canceled because "{culprit.job.name}" {_PAST[how]}'
        if gate.kind != "job":
            message += f", which makes {self._describe(gate)}"
        self._cancel(job, Stop(Reason.DEPENDENCY, message))

    def _cancel(self, job: JobNode, stop: Stop) -> None:
        state = job.state
        match state:
            case Blocked() | Ready():
                self._enter(
                    job,
                    Ended(JobStatus.CANCELED, stop.reason, stop.message, None, None, self.at),
                )
                self._save(job)
                self._to_spread.append(job)
            case Pending(stop=None):
                job.state = Pending(state.attempt_key, stop)
                self._stop_attempt(job, state)
            case Running(stop=None):
                job.state = Running(state.attempt_key, state.started_at, stop)
                self._stop_attempt(job, state)
            case Pending() | Running() | Ended() | Disabled():
                pass

    def _stop_attempt(self, job: JobNode, state: Pending | Running) -> None:
        self._save(job)
        self.out.append(
            StopAttempt(
                attempt_key=state.attempt_key,
                supports_termination=job.job.supports_termination,
            )
        )

    def _make_ready(self, job: JobNode) -> None:
        self._enter(job, READY)
        heappush(self.node.ready, (-job.job.priority, job.position, job))
        self.tell_job(job)

    def _enter(self, job: JobNode, state: State) -> None:
        counts = self.node.counts
        was_active = isinstance(job.state, Pending | Running)
        counts[job.state.status] -= 1
        counts[state.status] += 1
        job.state = state
        self.node.in_flight += isinstance(state, Pending | Running) - was_active

    def _describe(self, gate: GateNode) -> str:
        if gate.kind == "user_data":
            return f'user_data "{self.node.data[DataKey(gate.subject)].data.name}"'
        file = next(f for f in self.node.workflow.files if f.key == gate.subject)
        return f'file "{file.name}" ({file.path})'

    # What is written down and told

    def _save(self, job: JobNode) -> None:
        """Write the job's state down, and tell it."""
        state = job.state
        reason, message, return_code = _why(state)
        self.out.append(
            SaveJob(
                workflow_key=self.node.key,
                job_key=job.job.key,
                status=state.status,
                stopping=job.is_stopping,
                reason=reason,
                message=message,
                return_code=return_code,
                run_id=self.node.run_id,
                attempt_id=job.attempt_id,
                started_at=state.started_at if isinstance(state, Ended | Running) else None,
                ended_at=state.ended_at if isinstance(state, Ended) else None,
                at=self.at,
            )
        )
        self.tell_job(job)

    def save_workflow(self) -> None:
        node = self.node
        self.out.append(
            SaveWorkflow(
                workflow_key=node.key,
                status=node.status,
                stopping=node.stopping,
                run_id=node.run_id,
                started_at=node.started_at,
                ended_at=node.ended_at,
                at=self.at,
            )
        )
        self._tell("workflow_changed", status=node.status.value, stopping=node.stopping)

    def tell_submitted(self) -> None:
        self._tell("workflow_submitted", status=self.node.status.value)

    def tell_job(self, job: JobNode) -> None:
        reason, message, return_code = _why(job.state)
        self._tell(
            "job_changed",
            job_key=job.job.key,
            status=job.state.status.value,
            stopping=job.is_stopping,
            attempt_id=job.attempt_id or None,
            return_code=return_code,
            reason=reason,
            message=message,
        )

    def _tell(
        self,
        kind: HappeningKind,
        *,
        status: str | None = None,
        stopping: bool = False,
        job_key: JobKey | None = None,
        data_key: DataKey | None = None,
        attempt_id: int | None = None,
        return_code: int | None = None,
        reason: Reason | None = None,
        message: str | None = None,
        revision: int | None = None,
    ) -> None:
        self.out.append(
            Happening(
                number=self.next_happening,
                at=self.at,
                kind=kind,
                workflow_key=self.node.key,
                job_key=job_key,
                data_key=data_key,
                status=status,
                stopping=stopping,
                run_id=self.node.run_id,
                attempt_id=attempt_id,
                return_code=return_code,
                reason=reason,
                message=message,
                revision=revision,
            )
        )
        self.next_happening += 1

    def settle(self) -> None:
        """If nothing is left to do, the workflow is over."""
        node = self.node
        counts = node.counts
        unfinished = (
            counts[JobStatus.BLOCKED]
            + counts[JobStatus.READY]
            + counts[JobStatus.PENDING]
            + counts[JobStatus.RUNNING]
        )
        if unfinished or node.is_over:
            return
        done = counts[JobStatus.COMPLETED] + counts[JobStatus.DISABLED]
        if node.stopping:
            node.status = WorkflowStatus.CANCELED
        elif done == len(node.jobs):
            node.status = WorkflowStatus.COMPLETED
        else:
            node.status = WorkflowStatus.FAILED
        node.stopping = False
        node.ended_at = self.at
        self.save_workflow()


_PAST = {"failed": "failed", "canceled": "was canceled", "terminated": "was terminated"}


def _why(state: State) -> tuple[Reason | None, str | None, int | None]:
    match state:
        case Ended():
            return state.reason, state.message, state.return_code
        case Pending(stop=Stop() as stop) | Running(stop=Stop() as stop):
            return stop.reason, stop.message, None
        case _:
            return None, None, None
