"""The commands of one event, in the order in which they are to be carried out.

Only what cannot be worked out again is written down: ends, stops, what a person took out or put
back, intents to start. `blocked`, `ready` and `running` are told, but not saved: the first two
follow from the rest, and the executor says the third again after every restart.
"""

from collections.abc import Callable

from torcd.model import (
    AttemptKey,
    DataKey,
    Happening,
    HappeningKind,
    JobKey,
    Reason,
    Timestamp,
)
from torcd.scheduler.actions import ActionNode
from torcd.scheduler.commands import (
    AddAttempt,
    Command,
    RemoveWorkflow,
    RevokeAttempt,
    SaveAttempt,
    SaveInitialAgain,
    SaveJob,
    SaveValue,
    SaveWorkflow,
    StartAttempt,
    StartRecovery,
    StopAttempt,
)
from torcd.scheduler.job_states import Active, Blocked, Ended, Ready, Recovery, State, Stop
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import DataNode, WorkflowNode
from torcd.value import Value


class Outbox:
    """The part of a `Turn` that takes the commands."""

    memory: Memory
    node: WorkflowNode
    at: Timestamp
    commands: list[Command]
    add: Callable[[Command], None]
    """One more of them."""

    # Attempts

    def add_attempt(self, job: JobNode, attempt_key: AttemptKey, gpus: tuple[int, ...]) -> None:
        node = self.node
        self.add(
            AddAttempt(
                attempt_key=attempt_key,
                workflow_key=node.key,
                job_key=job.job.key,
                run_id=node.run_id,
                attempt_id=job.attempt_id,
                gpus=gpus,
                is_recovery=job.has_script_to_run,
            )
        )

    def start_attempt(
        self,
        job: JobNode,
        attempt_key: AttemptKey,
        gpus: tuple[int, ...],
        after: AttemptKey | None,
    ) -> None:
        """That of the job, or of its recovery script."""
        node = self.node
        recovery = job.recovery
        if recovery is not None and recovery.script is not None:
            self.add(
                StartRecovery(
                    attempt_key=attempt_key,
                    workflow_key=node.key,
                    job=job.job,
                    run_id=node.run_id,
                    attempt_id=job.attempt_id,
                    max_parallel_jobs=node.max_parallel_jobs,
                    script=recovery.script,
                    reason=recovery.reason,
                    return_code=recovery.return_code,
                )
            )
            return
        self.add(
            StartAttempt(
                attempt_key=attempt_key,
                workflow_key=node.key,
                job=job.job,
                run_id=node.run_id,
                attempt_id=job.attempt_id,
                max_parallel_jobs=node.max_parallel_jobs,
                share=job.queue.share,
                gpus=gpus,
                after=after,
            )
        )

    def stop_attempt(self, job: JobNode, attempt_key: AttemptKey, stop: Stop) -> None:
        if stop.ends_the_started:
            self.add(
                StopAttempt(
                    attempt_key=attempt_key,
                    supports_termination=job.job.supports_termination,
                )
            )
        else:
            self.add(RevokeAttempt(attempt_key))

    def save_attempt(
        self,
        attempt_key: AttemptKey,
        ended: Ended,
        cpu_seconds: float | None,
        peak_memory_bytes: int | None,
    ) -> None:
        self.add(
            SaveAttempt(
                attempt_key=attempt_key,
                status=ended.status,
                reason=ended.reason,
                message=ended.message,
                return_code=ended.return_code,
                started_at=ended.started_at,
                ended_at=ended.ended_at,
                cpu_seconds=cpu_seconds,
                peak_memory_bytes=peak_memory_bytes,
            )
        )

    # Values

    def save_given_value(self, data: DataNode, value: Value) -> None:
        """The value that a spec gives: stored by nobody in no run."""
        self.add(
            SaveValue(
                workflow_key=self.node.key,
                data_key=data.data.key,
                revision=data.revision,
                value=value,
                run_id=0,
                attempt_key=None,
                changed_at=data.changed_at,
                at=self.at,
            )
        )

    def save_initial_again(self, data: DataNode) -> None:
        self.add(
            SaveInitialAgain(
                workflow_key=self.node.key,
                data_key=data.data.key,
                revision=data.revision,
                changed_at=data.changed_at,
                at=self.at,
            )
        )

    def tell_cleared(self, data_key: DataKey) -> None:
        self._tell("value_cleared", data_key=data_key)

    def tell_value(self, data_key: DataKey, revision: int) -> None:
        """Of one that nobody stored."""
        self._tell("value_stored", data_key=data_key, revision=revision)

    # Actions

    def tell_action(self, action: ActionNode) -> None:
        state = action.state
        why = state.stop or state
        self._tell(
            "action_changed",
            action=action.number,
            command=action.command,
            status=state.status.value,
            stopping=state.stop is not None,
            return_code=why.return_code,
            reason=why.reason,
            message=why.message,
        )

    # Jobs and workflows

    def save_job(self, job: JobNode, message: str | None = None) -> None:
        """Write the job's state down, and tell it; with a message in place of what it has."""
        self._write_job(job)
        self.tell_job(job, message)

    def save_skipped(self, job: JobNode) -> None:
        """The same for one that was found up to date."""
        self._write_job(job)
        self._tell(
            "job_up_to_date",
            job_key=job.job.key,
            status=job.state.status.value,
            message=f"what it reads is as it was in run {job.run_id}",
        )

    def _write_job(self, job: JobNode) -> None:
        state = job.state
        why = _why(job) if job.recovery is not None else state.stop or state
        self.add(
            SaveJob(
                workflow_key=self.node.key,
                job_key=job.job.key,
                status=state.status,
                stopping=state.stop is not None,
                reason=why.reason,
                message=why.message,
                return_code=why.return_code,
                run_id=job.run_id,
                attempt_id=job.attempt_id,
                started_at=state.started_at,
                ended_at=state.ended_at,
                at=self.at,
                trace=job.trace,
                recovery=job.recovery,
                may_skip=job.may_skip,
            )
        )

    def tell_job(self, job: JobNode, note: str | None = None) -> None:
        # Made here and not by way of `_tell`: there are three of these for each job.
        memory, node, state = self.memory, self.node, job.state
        if job.recovery is None:
            why: _Why = state.stop or state
            message = note or why.message
        else:
            why = _why(job)
            message = note or why.message or _about_script(job)
        self.add(
            Happening(
                number=memory.next_happening,
                at=self.at,
                kind="job_changed",
                workflow_key=node.key,
                job_key=job.job.key,
                status=state.status.value,
                stopping=state.stop is not None,
                run_id=node.run_id,
                attempt_id=job.attempt_id or None,
                return_code=why.return_code,
                reason=why.reason,
                message=message,
            )
        )
        memory.next_happening += 1

    def save_workflow(self) -> None:
        """Write the workflow's state down, and tell it."""
        node = self.node
        self.add(
            SaveWorkflow(
                workflow_key=node.key,
                status=node.status,
                stopping=node.stopping,
                run_id=node.run_id,
                started_at=node.started_at,
                ended_at=node.ended_at,
                archived=node.archived,
                frozen_since=node.frozen_since,
                at=self.at,
                job_counts=node.counts_that_there_are if node.is_over else None,
            )
        )
        self._tell("workflow_changed", status=node.status.value, stopping=node.stopping)

    def tell_edited(self, message: str, adder: JobNode | None = None) -> None:
        """`adder`: the job that has added something, or has not added it again."""
        if adder is None:
            self._tell("workflow_edited", status=self.node.status.value, message=message)
            return
        message = f'by "{adder.job.name}": {message}'
        self._tell("workflow_edited", job_key=adder.job.key, message=message)

    def remove_workflow(self) -> None:
        self.add(RemoveWorkflow(workflow_key=self.node.key, at=self.at))
        self._tell("workflow_deleted", status=self.node.status.value)

    def tell_submitted(self) -> None:
        self._tell("workflow_submitted", status=self.node.status.value)

    def _tell(
        self,
        kind: HappeningKind,
        *,
        status: str | None = None,
        stopping: bool = False,
        job_key: JobKey | None = None,
        data_key: DataKey | None = None,
        action: int | None = None,
        command: int | None = None,
        attempt_id: int | None = None,
        return_code: int | None = None,
        reason: Reason | None = None,
        message: str | None = None,
        revision: int | None = None,
    ) -> None:
        memory = self.memory
        self.add(
            Happening(
                number=memory.next_happening,
                at=self.at,
                kind=kind,
                workflow_key=self.node.key,
                job_key=job_key,
                data_key=data_key,
                action=action,
                command=command,
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
        memory.next_happening += 1


_Why = Recovery | Stop | State


def _why(job: JobNode) -> _Why:
    """The record that says why it is as it is; of one that is to recover, why it has to."""
    state = job.state
    if job.recovery is not None and isinstance(state, Blocked | Ready):
        return job.recovery
    return state.stop or state


def _about_script(job: JobNode) -> str | None:
    runs_it = job.has_script_to_run and isinstance(job.state, Active)
    return "its recovery script" if runs_it else None
