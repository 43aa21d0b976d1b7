"""The door: one event in, commands out.

`Scheduler.handle` is the only way to change what the scheduler knows. It reads no clock, no file
and no dice, so a test can drive it through any history in virtual time, and two schedulers given
the same events decide the same. A request that cannot be granted raises a UserError before
anything has changed.
"""

import signal
from collections.abc import Callable, Iterable
from typing import Any

from torcd import errors
from torcd.model import (
    AttemptKey,
    JobKey,
    JobStatus,
    Reason,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler import choosing
from torcd.scheduler import events as e
from torcd.scheduler.building import AS_SUBMITTED, build
from torcd.scheduler.commands import (
    AddAttempt,
    Command,
    CreateWorkflow,
    RemoveAttempt,
    RevokeAttempt,
    SaveAttempt,
    StartAttempt,
    StopAttempt,
    WatchFile,
)
from torcd.scheduler.state import (
    DISABLED,
    Blocked,
    Disabled,
    Ended,
    JobNode,
    Pending,
    Ready,
    Running,
    Stop,
    WorkflowNode,
)
from torcd.scheduler.turn import Turn


class Scheduler:
    """Decides for all workflows it has been given."""

    def __init__(
        self, *, next_key: int = 1, next_attempt_key: int = 1, next_happening: int = 1
    ) -> None:
        self.next_key = next_key
        """The key that the next workflow is to have."""
        self._next_attempt_key = next_attempt_key
        self._next_happening = next_happening
        self._workflows: dict[WorkflowKey, WorkflowNode] = {}
        self._attempts: dict[AttemptKey, tuple[WorkflowNode, JobNode]] = {}
        self._handlers: dict[type, Callable[[Any], list[Command]]] = {
            e.SubmitRequested: self._submit,
            e.WorkflowLoaded: self._load,
            e.AttemptStarted: self._attempt_started,
            e.AttemptExited: self._attempt_exited,
            e.AttemptNotStarted: self._attempt_not_started,
            e.AttemptLost: self._attempt_lost,
            e.FileAppeared: self._file_appeared,
            e.StoreRequested: self._store,
            e.CancelRequested: self._cancel,
            e.PauseRequested: self._pause,
            e.ResumeRequested: self._resume,
            e.DisableRequested: self._disable,
            e.EnableRequested: self._enable,
        }

    def handle(self, event: e.Event) -> list[Command]:
        """Decide. Raises UserError for a request that is refused; then nothing has changed."""
        return self._handlers[type(event)](event)

    # What can be asked

    @property
    def workflows(self) -> dict[WorkflowKey, WorkflowNode]:
        """Those it holds: to look at, not to change."""
        return self._workflows

    def active_attempt(self, key: AttemptKey) -> tuple[WorkflowNode, JobNode] | None:
        """The job of an attempt that is pending or running; None for any other."""
        return self._attempts.get(key)

    @property
    def active_attempts(self) -> Iterable[AttemptKey]:
        return self._attempts.keys()

    def forget(self, key: WorkflowKey) -> None:
        """Drop a workflow that is over from memory. It can be loaded again."""
        node = self._workflows.get(key)
        if node is not None and node.is_over and not node.in_flight:
            del self._workflows[key]

    # Workflows come

    def _submit(self, event: e.SubmitRequested) -> list[Command]:
        workflow = event.workflow
        if workflow.key != self.next_key:
            raise ValueError(f"keys of a new workflow begin at {self.next_key}")
        node = build(
            e.WorkflowLoaded(
                workflow=workflow,
                status=WorkflowStatus.RUNNING,
                stopping=False,
                run_id=1,
                max_parallel_jobs=event.max_parallel_jobs,
                wait_for_inputs=event.wait_for_inputs,
                started_at=event.at,
                ended_at=None,
                jobs=(AS_SUBMITTED,) * len(workflow.jobs),
                revisions=dict.fromkeys(event.initial_values, 1),
                stored_in_run={},
                absent_files=event.absent_files,
                at=event.at,
            )
        )
        if not event.wait_for_inputs:
            self._refuse_missing_inputs(node, event)
        self.next_key += workflow.size
        self._workflows[workflow.key] = node
        turn = self._turn(node, event)
        turn.out.append(
            CreateWorkflow(
                workflow=workflow,
                max_parallel_jobs=node.max_parallel_jobs,
                wait_for_inputs=node.wait_for_inputs,
                next_key=self.next_key,
                at=event.at,
            )
        )
        turn.tell_submitted()
        for key, value in event.initial_values.items():
            turn.save_initial_value(key, value)
        self._watch_files(turn)
        return self._end(turn)

    def _refuse_missing_inputs(self, node: WorkflowNode, event: e.SubmitRequested) -> None:
        needed = {
            gate.subject: job.job.name
            for job in reversed(node.jobs.values())
            for gate in job.awaits
            if gate.is_input
        }
        missing = [
            f'file "{file.name}" ({file.path}), which job "{needed[file.key]}" needs'
            for file in node.workflow.files
            if file.key in needed and file.key in event.absent_files
        ]
        missing += [
            f'user_data "{data.name}", which job "{needed[data.key]}" needs'
            for data in node.workflow.user_data
            if data.key in needed and not node.data[data.key].revision
        ]
        if missing:
            raise errors.MissingInputs(
                "these inputs are not there, and no job makes them: "
                + "; ".join(missing)
                + ". Provide them, or submit with --wait-for-inputs",
                names=missing,
            )

    def _load(self, event: e.WorkflowLoaded) -> list[Command]:
        if event.workflow.key in self._workflows:
            return []
        node = build(event)
        self._workflows[node.key] = node
        turn = self._turn(node, event)
        for job in node.jobs.values():
            state = job.state
            if isinstance(state, Pending):
                self._attempts[state.attempt_key] = (node, job)
                turn.out.append(self._start_command(node, job, state.attempt_key))
                if state.stop is not None:
                    turn.out.append(
                        StopAttempt(
                            attempt_key=state.attempt_key,
                            supports_termination=job.job.supports_termination,
                        )
                    )
        self._watch_files(turn)
        return self._end(turn)

    def _watch_files(self, turn: Turn) -> None:
        node = turn.node
        if not node.wait_for_inputs or node.is_over:
            return
        for file in node.workflow.files:
            gate = node.file_gates.get(file.key)
            if gate is not None and gate.missing:
                turn.out.append(WatchFile(workflow_key=node.key, file_key=file.key, path=file.path))

    def _file_appeared(self, event: e.FileAppeared) -> list[Command]:
        node = self._workflows.get(event.workflow_key)
        gate = node.file_gates.get(event.file_key) if node else None
        if node is None or gate is None:
            return []
        turn = self._turn(node, event)
        turn.open_input(gate)
        return self._end(turn)

    # Attempts go

    def _attempt_started(self, event: e.AttemptStarted) -> list[Command]:
        found = self._attempts.get(event.attempt_key)
        if found is None:
            return []
        node, job = found
        state = job.state
        if not isinstance(state, Pending):
            return []
        turn = self._turn(node, event)
        turn.started(job, Running(event.attempt_key, event.at, state.stop))
        return self._end(turn)

    def _attempt_exited(self, event: e.AttemptExited) -> list[Command]:
        found = self._attempts.get(event.attempt_key)
        if found is None:
            return []
        node, job = found
        state = job.state
        assert isinstance(state, Pending | Running)
        turn = self._turn(node, event)
        started_at = event.at
        if isinstance(state, Running):
            started_at = state.started_at
            choosing.learn_duration(node, event.at - state.started_at)
        if event.return_code == 0:
            for data_key, value in event.outputs.values:
                turn.store(data_key, value, job, event.attempt_key)
        status, reason, message = self._verdict(node, job, event)
        self._close(
            turn,
            job,
            event.attempt_key,
            Ended(status, reason, message, event.return_code, started_at, event.at),
            cpu_seconds=event.cpu_seconds,
            peak_memory_bytes=event.peak_memory_bytes,
        )
        return self._end(turn)

    def _verdict(
        self, node: WorkflowNode, job: JobNode, event: e.AttemptExited
    ) -> tuple[JobStatus, Reason | None, str | None]:
        state = job.state
        if isinstance(state, Pending | Running) and state.stop is not None:
            return JobStatus.CANCELED, state.stop.reason, state.stop.message
        code = event.return_code
        if code < 0:
            return JobStatus.FAILED, Reason.SIGNAL, f"killed by {_signal_name(-code)}"
        if code > 0:
            return JobStatus.FAILED, Reason.EXIT, f"exited with status {code}"
        if event.outputs.problem is not None:
            return JobStatus.FAILED, Reason.BAD_OUTPUT, event.outputs.problem
        missing = (
            [
                f'file "{file.name}" ({file.path}) was not made'
                for file in node.workflow.files
                if file.key in event.outputs.missing_files
            ]
            if event.outputs.missing_files
            else []
        )
        missing += [
            f'user_data "{node.data[key].data.name}" was never stored'
            for key in job.job.output_user_data
            if not node.data[key].is_stored_in_run
        ]
        if missing:
            message = "exited with status 0, but " + "; ".join(missing)
            return JobStatus.FAILED, Reason.MISSING_OUTPUT, message
        return JobStatus.COMPLETED, None, None

    def _attempt_not_started(self, event: e.AttemptNotStarted) -> list[Command]:
        found = self._attempts.get(event.attempt_key)
        if found is None:
            return []
        node, job = found
        state = job.state
        if not isinstance(state, Pending):
            return []
        turn = self._turn(node, event)
        if state.stop is not None or event.problem is None:
            del self._attempts[event.attempt_key]
            turn.out.append(RemoveAttempt(event.attempt_key))
            job.attempt_id -= 1
            if state.stop is None:
                turn.take_back(job)
            else:
                stop = state.stop
                turn.finish(
                    job,
                    Ended(JobStatus.CANCELED, stop.reason, stop.message, None, None, event.at),
                )
        else:
            self._close(
                turn,
                job,
                event.attempt_key,
                Ended(JobStatus.FAILED, Reason.START_FAILED, event.problem, None, None, event.at),
            )
        return self._end(turn)

    def _attempt_lost(self, event: e.AttemptLost) -> list[Command]:
        found = self._attempts.get(event.attempt_key)
        if found is None:
            return []
        node, job = found
        state = job.state
        turn = self._turn(node, event)
        started_at = state.started_at if isinstance(state, Running) else None
        ended = Ended(JobStatus.FAILED, Reason.LOST, event.problem, None, started_at, event.at)
        if isinstance(state, Pending | Running) and state.stop is not None:
            ended = Ended(
                JobStatus.CANCELED,
                state.stop.reason,
                state.stop.message,
                None,
                started_at,
                event.at,
            )
        self._close(turn, job, event.attempt_key, ended)
        return self._end(turn)

    def _close(
        self,
        turn: Turn,
        job: JobNode,
        attempt_key: AttemptKey,
        ended: Ended,
        *,
        cpu_seconds: float | None = None,
        peak_memory_bytes: int | None = None,
    ) -> None:
        del self._attempts[attempt_key]
        turn.out.append(
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
        turn.finish(job, ended)

    # People and jobs ask

    def _store(self, event: e.StoreRequested) -> list[Command]:
        node = self._node(event.workflow_key)
        data = node.data.get(event.data_key)
        if data is None:
            raise errors.NotFound(
                f"no user_data has the key {event.data_key}", name=str(event.data_key)
            )
        producer = None
        if event.attempt_key is not None:
            found = self._attempts.get(event.attempt_key)
            if found is None or found[0] is not node:
                raise errors.Denied("the token is void: its attempt has ended")
            producer = found[1]
            if event.data_key not in producer.job.output_user_data:
                raise errors.NotDeclared(
                    f'job "{producer.job.name}" does not declare "{data.data.name}" as an output: '
                    "add it to its output_user_data",
                    name=data.data.name,
                )
        turn = self._turn(node, event)
        turn.store(event.data_key, event.value, producer, event.attempt_key)
        return self._end(turn)

    def _cancel(self, event: e.CancelRequested) -> list[Command]:
        node = self._active_node(event.workflow_key, "canceled")
        turn = self._turn(node, event)
        if event.jobs is None:
            stop = Stop(Reason.CANCELED, "canceled with its workflow")
            node.stopping = True
            turn.save_workflow()
            for job in node.jobs.values():
                turn.cancel(job, stop)
        else:
            jobs = self._jobs(node, event.jobs)
            if all(isinstance(job.state, Ended | Disabled) for job in jobs):
                status = jobs[0].state.status.value if jobs else "unknown"
                raise errors.WrongState(
                    f"there is nothing to cancel: {_names(jobs)} ended already ({status})",
                    status=status,
                )
            for job in jobs:
                turn.cancel(job, Stop(Reason.CANCELED, "canceled on request"))
        return self._end(turn)

    def _pause(self, event: e.PauseRequested) -> list[Command]:
        node = self._active_node(event.workflow_key, "paused")
        if node.status is WorkflowStatus.PAUSED:
            return []
        turn = self._turn(node, event)
        node.status = WorkflowStatus.PAUSED
        turn.save_workflow()
        for job in node.jobs.values():
            if isinstance(job.state, Pending) and job.state.stop is None:
                turn.out.append(RevokeAttempt(job.state.attempt_key))
        return self._end(turn)

    def _resume(self, event: e.ResumeRequested) -> list[Command]:
        node = self._active_node(event.workflow_key, "resumed")
        if node.status is WorkflowStatus.RUNNING:
            return []
        turn = self._turn(node, event)
        node.status = WorkflowStatus.RUNNING
        turn.save_workflow()
        return self._end(turn)

    def _disable(self, event: e.DisableRequested) -> list[Command]:
        node = self._active_node(event.workflow_key, "changed")
        jobs = self._jobs(node, event.jobs)
        for job in jobs:
            if not isinstance(job.state, Blocked | Ready | Disabled):
                raise errors.WrongState(
                    f'job "{job.job.name}" is {job.state.status.value}: only a job that has not '
                    "started can be disabled",
                    status=job.state.status.value,
                )
        turn = self._turn(node, event)
        for job in jobs:
            if isinstance(job.state, Blocked | Ready):
                turn.disable(job, DISABLED, event.absent_files)
        return self._end(turn)

    def _enable(self, event: e.EnableRequested) -> list[Command]:
        node = self._active_node(event.workflow_key, "changed")
        jobs = self._jobs(node, event.jobs)
        for job in jobs:
            if not isinstance(job.state, Disabled):
                raise errors.WrongState(
                    f'job "{job.job.name}" is {job.state.status.value}, not disabled',
                    status=job.state.status.value,
                )
        turn = self._turn(node, event)
        for job in jobs:
            turn.enable(job)
        return self._end(turn)

    # One turn

    def _turn(self, node: WorkflowNode, event: e.Event) -> Turn:
        return Turn(node, event.at, self._next_happening)

    def _end(self, turn: Turn) -> list[Command]:
        """Start what may start now, and see whether the workflow is over."""
        node = turn.node
        if node.status is WorkflowStatus.RUNNING and not node.stopping and node.ready:
            room = choosing.room(node)
            while room > 0 and (job := choosing.take_next(node)) is not None:
                self._choose(turn, job)
                room -= 1
        turn.settle()
        self._next_happening = turn.next_happening
        return turn.out

    def _choose(self, turn: Turn, job: JobNode) -> None:
        attempt_key = AttemptKey(self._next_attempt_key)
        self._next_attempt_key += 1
        job.attempt_id += 1
        self._attempts[attempt_key] = (turn.node, job)
        turn.out.append(
            AddAttempt(
                attempt_key=attempt_key,
                workflow_key=turn.node.key,
                job_key=job.job.key,
                run_id=turn.node.run_id,
                attempt_id=job.attempt_id,
            )
        )
        turn.start(job, Pending(attempt_key))
        turn.out.append(self._start_command(turn.node, job, attempt_key))

    def _start_command(
        self, node: WorkflowNode, job: JobNode, attempt_key: AttemptKey
    ) -> StartAttempt:
        return StartAttempt(
            attempt_key=attempt_key,
            workflow_key=node.key,
            job=job.job,
            run_id=node.run_id,
            attempt_id=job.attempt_id,
            max_parallel_jobs=node.max_parallel_jobs,
        )

    def _node(self, key: WorkflowKey) -> WorkflowNode:
        node = self._workflows.get(key)
        if node is None:
            raise errors.UnknownWorkflow(f"no workflow has the key {key}", workflow_key=str(key))
        return node

    def _active_node(self, key: WorkflowKey, done: str) -> WorkflowNode:
        node = self._node(key)
        if node.is_over or node.stopping:
            status = "on its way out" if node.stopping else node.status.value
            raise errors.WrongState(
                f"workflow {key} is {status} already: it can no longer be {done}",
                status=node.status.value,
            )
        return node

    def _jobs(self, node: WorkflowNode, keys: Iterable[JobKey]) -> list[JobNode]:
        jobs = []
        for key in keys:
            job = node.jobs.get(key)
            if job is None:
                raise errors.UnknownJob(f"no job has the key {key}", job=str(key))
            jobs.append(job)
        return jobs


def _names(jobs: list[JobNode]) -> str:
    names = [f'"{job.job.name}"' for job in jobs[:3]]
    return ", ".join(names) + (f" and {len(jobs) - 3} more" if len(jobs) > 3 else "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
