"""One event's consequences in one workflow: the rules of a job's life.

How an end spreads. A job that ends moves the gates it feeds. A gate whose last producer has
finished opens, and consumers for which it was the last closed gate become ready. A gate one of
whose producers ended badly is spoiled: its consumers that have not started and did not say
`cancel_on_blocking_job_failure: false` are canceled at once, which is an end that spreads in turn.
Ends waiting to be spread stand in a queue, not on the stack, so depth costs nothing. A gate is
looked through at most twice: when it is spoiled and when it opens. What happens to a gate happens
to the groups it is in.

Two ways to cancel. What a person cancels ends, whatever it is doing. What is canceled because of
what it depends on ends only if it has not started, and of a pending job only the executor knows
that: it is asked to take the attempt back, and the job is canceled when it says that it did.

Early cutoff. After a restart a job may have nothing against it but that something before it runs
again. It waits for that like any other; when its last gate opens, what it would read is compared
with what it read when it completed last, and if that is the same it ends as it did then, without an
attempt. What it makes is as it was, so those after it go the same way.
"""

from collections import deque
from collections.abc import Iterable
from heapq import heappush

import msgspec

from torcd.model import (
    ENDED_BADLY,
    AttemptKey,
    DataKey,
    FileKey,
    FileState,
    JobStatus,
    Reason,
    Timestamp,
    Trace,
)
from torcd.scheduler import acting, choosing, freezing, wording
from torcd.scheduler.commands import (
    ClearValue,
    Command,
    RemoveAttempt,
    RevokeAttempt,
    SaveFile,
)
from torcd.scheduler.digests import NOTHING, definition, packed
from torcd.scheduler.events import AttemptExited, AttemptLost, AttemptNotStarted
from torcd.scheduler.memory import Memory
from torcd.scheduler.outbox import Outbox
from torcd.scheduler.state import (
    BLOCKED,
    DISABLED,
    READY,
    Active,
    Blocked,
    Disabled,
    Ended,
    GateNode,
    JobNode,
    Pending,
    Ready,
    Recovery,
    Running,
    State,
    Stop,
    WorkflowNode,
)
from torcd.value import Value

_NONE_ABSENT: frozenset[FileKey] = frozenset()


class Turn:
    """Changes a workflow and gathers the commands that go with it."""

    def __init__(self, memory: Memory, node: WorkflowNode, at: Timestamp) -> None:
        self.memory = memory
        self.node = node
        self.at = at
        self.outbox = Outbox(node, at, memory.next_happening)
        self._to_spread: deque[JobNode] = deque()
        self._absent_files: frozenset[FileKey] = _NONE_ABSENT

    def end(self) -> list[Command]:
        """Start what may start now, and see whether the workflow is over. Where jobs ask for a
        share of the machine, other workflows may be before it (`scheduler/line.py`)."""
        node = self.node
        if node.asking:
            self.memory.line.touched[node.key] = node
        elif node.ready.heap and self.may_start:
            room = choosing.room(node)
            while room > 0 and (job := choosing.take_next(node.ready)) is not None:
                self.start(job)
                room -= 1
        if node.actions is None or not acting.begin_next(self.memory, node, self.outbox):
            self._settle()
        self.close()
        return self.outbox.commands

    def close(self) -> None:
        """The next turn numbers its happenings from here."""
        self.memory.next_happening = self.outbox.next_happening

    # What an event does

    def started(self, job: JobNode, running: Running) -> None:
        was_stopping = job.is_stopping
        self._enter(job, running)
        if was_stopping and not job.is_stopping:
            self.outbox.save_job(job)
        else:
            self.outbox.tell_job(job)

    def finish(
        self,
        job: JobNode,
        attempt_key: AttemptKey,
        ended: Ended,
        *,
        cpu_seconds: float | None = None,
        peak_memory_bytes: int | None = None,
        inputs_changed: bool = False,
        recovery: Recovery | None = None,
    ) -> None:
        """The attempt is over, and the job with it: spread it; but for one that is to recover."""
        self.memory.release(attempt_key)
        self.outbox.save_attempt(attempt_key, ended, cpu_seconds, peak_memory_bytes)
        if recovery is not None:
            self._recover(job, recovery)
            return
        if ended.status is JobStatus.COMPLETED:
            self._leave_trace(job, attempt_key, ended, inputs_changed=inputs_changed)
        self._conclude(job, ended)
        self._spread()

    def _leave_trace(
        self, job: JobNode, attempt_key: AttemptKey, ended: Ended, *, inputs_changed: bool
    ) -> None:
        assert ended.started_at is not None
        assert ended.ended_at is not None
        given: bytes | None = NOTHING
        made: bytes | None = NOTHING
        if job.awaits:
            inputs = self.node.digests.inputs(job)
            # What ended badly may have left anything behind, and what comes late was not there yet.
            is_known = not (
                inputs_changed
                or job.waits
                or inputs.newest > attempt_key
                or any(gate.spoiled for gate in job.awaits)
            )
            given = packed(inputs.given) if is_known else None
            made = packed(inputs.made) if is_known else None
        job.trace = Trace(
            attempt_key=attempt_key,
            run_id=job.run_id,
            attempt_id=job.attempt_id,
            started_at=ended.started_at,
            ended_at=ended.ended_at,
            definition=definition(self.node, job),
            given=given,
            made=made,
            made_at=self.memory.next_attempt_key,
        )
        for gate in job.feeds:
            gate.made_at = job.trace.made_at
        self.node.digests.changed(job.job.key)

    def _recover(self, job: JobNode, recovery: Recovery) -> None:
        job.recovery = recovery
        self.node.retries += 1
        self._go_on_recovering(job)

    def _go_on_recovering(self, job: JobNode) -> None:
        """Run its script, rest, or be ready; whatever it is, it is written down."""
        self._enter(job, BLOCKED)
        self.outbox.save_job(job)
        if job.rests(self.at):
            assert job.recovery is not None
            heappush(self.memory.rests, (job.recovery.until, self.node.key, job.job.key))
        elif not job.waits:
            self._make_ready(job)
            self._spread()

    def script_ended_well(
        self, job: JobNode, event: AttemptExited | AttemptLost | AttemptNotStarted
    ) -> None:
        """Now the job may be run again, when it has rested."""
        assert job.recovery is not None
        self._close_script(job, event, JobStatus.COMPLETED, None, None)
        job.recovery = msgspec.structs.replace(job.recovery, script=None)
        self._go_on_recovering(job)

    def finish_script(
        self,
        job: JobNode,
        event: AttemptExited | AttemptLost | AttemptNotStarted,
        ended: Ended,
    ) -> None:
        """The script ended badly, and the job does so with it."""
        assert ended.reason is not None
        self._close_script(job, event, ended.status, ended.reason, ended.message)
        self._conclude(job, ended)
        self._spread()

    def _close_script(
        self,
        job: JobNode,
        event: AttemptExited | AttemptLost | AttemptNotStarted,
        status: JobStatus,
        reason: Reason | None,
        message: str | None,
    ) -> None:
        state = job.state
        started_at = state.started_at if isinstance(state, Running) else None
        exited = event if isinstance(event, AttemptExited) else None
        return_code = None if exited is None else exited.return_code
        self.memory.release(event.attempt_key)
        self.outbox.save_attempt(
            event.attempt_key,
            Ended(status, reason, message, return_code, started_at or event.at, event.at),
            None if exited is None else exited.cpu_seconds,
            None if exited is None else exited.peak_memory_bytes,
        )

    def has_rested(self, job: JobNode) -> None:
        """Its backoff is over."""
        assert job.recovery is not None
        # The clock may be put back meanwhile: it does not begin to rest again.
        job.recovery = msgspec.structs.replace(job.recovery, until=Timestamp(0))
        if not job.waits:
            self._make_ready(job)
            self._spread()

    def take_back(self, job: JobNode, attempt_key: AttemptKey, stop: Stop | None) -> None:
        """The attempt did not start, and it is as if it had never been."""
        self.memory.release(attempt_key)
        self.outbox.add(RemoveAttempt(attempt_key))
        if not job.has_script_to_run:
            self.node.retries -= job.attempt_id > 1 and job.recovery is None
            job.attempt_id -= 1
        if stop is not None:
            self._conclude(job, self._canceled(stop))
            self._spread()
        elif job.waits:
            self._enter(job, BLOCKED)
            self.outbox.tell_job(job)
        else:
            self._make_ready(job)
            self._spread()

    def revoke_pending(self) -> None:
        """Have what was chosen and has not started taken back."""
        for job in self.node.jobs.values():
            if isinstance(job.state, Pending) and job.state.stop is None:
                self.outbox.add(RevokeAttempt(job.state.attempt_key))

    def repeat(self, job: JobNode, pending: Pending, gpus: tuple[int, ...]) -> None:
        """After a restart: tell the executor again what was wanted of it."""
        self.memory.attempts[pending.attempt_key] = (self.node, job)
        if job.queue.share is not None:
            self.memory.ledger.hold(pending.attempt_key, job.queue.share, gpus)
        self.outbox.start_attempt(job, pending.attempt_key, gpus)
        if pending.stop is not None:
            self.outbox.stop_attempt(job, pending.attempt_key, pending.stop)
        elif not self.may_start:
            self.outbox.add(RevokeAttempt(pending.attempt_key))
        freezing.repeat(self.node, pending, job.frozen_microseconds, self.outbox)

    def cancel(self, jobs: Iterable[JobNode], stop: Stop) -> None:
        """End them, whatever they are doing; no effect on what has ended or is stopping already."""
        for job in jobs:
            self._cancel(job, stop)
        self._spread()

    def disable(self, jobs: Iterable[JobNode], absent_files: frozenset[FileKey]) -> None:
        """Take them out, all before any of it spreads: their order does not matter."""
        self._absent_files = absent_files
        for job in jobs:
            if isinstance(job.state, Blocked | Ready):
                self._conclude(job, DISABLED)
        self._spread()

    def enable(self, jobs: list[JobNode], absent_files: frozenset[FileKey]) -> None:
        """Back to where their dependencies say. Consumers that have not started wait for them
        again; those whose attempt is written down already go on."""
        self._absent_files = absent_files
        for job in jobs:
            self._enter(job, BLOCKED)
            for gate in job.feeds:
                if not gate.has_stored(job):
                    self._raise(gate)
        for job in jobs:
            self.outbox.save_job(job)
            message = self._why_never_ready(job)
            if message is not None:
                self._cancel(job, Stop(Reason.DEPENDENCY, message))
            elif not job.waits:
                self._make_ready(job)
        self._spread()

    def cancel_what_is_never_ready(self, absent_files: frozenset[FileKey]) -> None:
        """In a new run: those that need what only disabled jobs would make, and is not there."""
        if not self.node.counts[JobStatus.DISABLED]:
            return
        self._absent_files = absent_files
        for gate in self.node.gates.values():
            if not gate.missing and self._is_never_made(gate):
                missing = Stop(Reason.DEPENDENCY, wording.because_never_made(self.node, gate))
                for consumer in gate.all_consumers:
                    self._cancel(consumer, missing)
        self._spread()

    def take_up(self, absent_files: frozenset[FileKey]) -> None:
        """After the workflow was built anew in the middle of a run: cancel those that can never
        run, and see whether one that has become ready need not."""
        for gate in self.node.gates.values():
            if not gate.spoiled:
                continue
            stop = Stop(Reason.DEPENDENCY, wording.because_spoiled(self.node, gate))
            for consumer in gate.all_consumers:
                is_waiting = isinstance(consumer.state, Blocked | Ready)
                if is_waiting and consumer.job.cancel_on_blocking_job_failure:
                    self._cancel(consumer, stop)
        self._spread()
        self.cancel_what_is_never_ready(absent_files)
        for job in self.node.jobs.values():
            if isinstance(job.state, Ready) and job.may_skip:
                self._make_ready(job)
        self._spread()

    def retry(self, jobs: list[JobNode], absent_files: frozenset[FileKey]) -> None:
        """They ended badly, and run once more. Consumers that have not started wait for them
        again; those whose attempt is written down already go on."""
        gates: dict[int, GateNode] = {}
        for job in jobs:
            self._enter(job, BLOCKED)
            for gate in job.feeds:
                gates[gate.subject] = gate
                if not gate.has_stored(job):
                    self._raise(gate)
        self._judge_anew(gates)
        for job in jobs:
            self.outbox.save_job(job)
        self.cancel_what_is_never_ready(absent_files)
        for job in jobs:
            if isinstance(job.state, Blocked) and not job.waits:
                self._make_ready(job)
        self._spread()

    def _judge_anew(self, gates: dict[int, GateNode]) -> None:
        """Whether they are spoiled; a producer may have been put back."""
        groups: dict[int, GateNode] = {}
        for gate in gates.values():
            gate.spoiled = any(p.state.status in ENDED_BADLY for p in gate.producers)
            groups.update((group.subject, group) for group in gate.groups)
        for group in groups.values():
            group.spoiled = any(member.spoiled for member in group.members)

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
        if data.sha256 != value.sha256:
            data.sha256 = value.sha256
            data.changed_at = self.memory.next_attempt_key
            self.node.digests.changed(data_key)
        self.outbox.save_value(data, value, attempt_key)
        self.outbox.tell_value(data_key, data.revision, producer)
        gate = data.gate
        if gate is None:
            return
        if gate.is_input:
            self.open_input(gate)
        elif producer is not None and gate.opens_early is not None:
            if producer.job.key not in gate.opens_early:
                gate.opens_early.add(producer.job.key)
                self._lower(gate)
            self._spread()

    def open_input(self, gate: GateNode) -> None:
        """An input that nobody makes has appeared."""
        if gate.missing:
            self._lower(gate)

    def looked_at(self, files: Iterable[tuple[FileKey, FileState | None]]) -> None:
        """This is what is known of these files now."""
        states = self.node.file_states
        for key, state in files:
            before = states.get(key)
            if state == before:
                continue
            if state is None:
                del states[key]
            else:
                states[key] = state
            if state is None or before is None or state.sha256 != before.sha256:
                self.node.digests.changed(key)
            self.outbox.add(SaveFile(workflow_key=self.node.key, file_key=key, state=state))

    def clear(self, data_key: DataKey) -> None:
        """It has no value any more; or, if the spec gave it one, that one again."""
        data = self.node.data[data_key]
        if data.sha256 == data.initial_sha256:
            return
        self.node.digests.changed(data_key)
        if data.initial_sha256 is None:
            data.sha256 = None
            self.outbox.add(ClearValue(workflow_key=self.node.key, data_key=data_key))
            self.outbox.tell_cleared(data_key)
            return
        data.revision += 1
        data.sha256 = data.initial_sha256
        data.changed_at = self.memory.next_attempt_key
        self.outbox.save_initial_again(data)
        self.outbox.tell_value(data_key, data.revision, None)

    # How it spreads

    def _spread(self) -> None:
        while self._to_spread:
            job = self._to_spread.popleft()
            status = job.state.status
            for gate in job.feeds:
                if status is JobStatus.COMPLETED:
                    gate.made = True
                elif status is not JobStatus.DISABLED and not gate.spoiled:
                    self._spoil(gate, job)
                if not gate.has_stored(job):
                    self._lower(gate)

    def _spoil(self, gate: GateNode, culprit: JobNode) -> None:
        stop = Stop(Reason.DEPENDENCY, wording.because_of(self.node, culprit, gate))
        for spoiled in (gate, *gate.groups):
            if spoiled.spoiled:
                continue
            spoiled.spoiled = True
            for consumer in spoiled.consumers:
                if consumer.job.cancel_on_blocking_job_failure:
                    self._cancel(consumer, stop)

    def _lower(self, gate: GateNode) -> None:
        gate.missing -= 1
        if gate.missing:
            return
        missing = None
        if self._is_never_made(gate):
            missing = Stop(Reason.DEPENDENCY, wording.because_never_made(self.node, gate))
        for consumer in gate.consumers:
            consumer.waits -= 1
            if missing is not None:
                self._cancel(consumer, missing)
            elif not consumer.waits and isinstance(consumer.state, Blocked):
                self._make_ready(consumer)
        for group in gate.groups:
            if missing is not None:
                for consumer in group.consumers:
                    self._cancel(consumer, missing)
            self._lower(group)

    def _raise(self, gate: GateNode) -> None:
        gate.missing += 1
        if gate.missing > 1:
            return
        for consumer in gate.consumers:
            consumer.waits += 1
            if isinstance(consumer.state, Ready):
                self._enter(consumer, BLOCKED)
                self.outbox.tell_job(consumer)
        for group in gate.groups:
            self._raise(group)

    def _is_never_made(self, gate: GateNode) -> bool:
        """Of an open gate: only disabled jobs would have made it, and it is not there."""
        if gate.is_input or gate.made or gate.spoiled:
            return False
        if gate.kind == "user_data":
            return self.node.data[DataKey(gate.subject)].sha256 is None
        return gate.kind == "file" and gate.subject in self._absent_files

    def _why_never_ready(self, job: JobNode) -> str | None:
        """What keeps a job that is put back from ever becoming ready, for people."""
        for awaited in job.awaits:
            for gate in awaited.members or (awaited,):
                if gate.spoiled and job.job.cancel_on_blocking_job_failure:
                    return wording.because_spoiled(self.node, gate)
                if not gate.missing and self._is_never_made(gate):
                    return wording.because_never_made(self.node, gate)
        return None

    def _cancel(self, job: JobNode, stop: Stop) -> None:
        state = job.state
        match state:
            case Blocked() | Ready():
                self._conclude(job, self._canceled(stop))
            case Pending() if stop.outranks(state.stop):
                job.state = Pending(state.attempt_key, stop)
                self.outbox.save_job(job)
                self.outbox.stop_attempt(job, state.attempt_key, stop)
            case Running() if stop.outranks(state.stop) and stop.ends_the_started:
                job.state = Running(state.attempt_key, state.started_at, stop)
                self.outbox.save_job(job)
                self.outbox.stop_attempt(job, state.attempt_key, stop)
            case Pending() | Running() | Ended() | Disabled():
                pass

    # From state to state

    @property
    def may_start(self) -> bool:
        """Whether jobs of this workflow may be chosen now."""
        return self.node.starts_jobs and not self.memory.is_draining

    def start(self, job: JobNode) -> None:
        """Choose it; there must be room for it."""
        attempt_key = AttemptKey(self.memory.next_attempt_key)
        self.memory.next_attempt_key += 1
        self.memory.attempts[attempt_key] = (self.node, job)
        if not job.has_script_to_run:
            if job.run_id != self.node.run_id:
                job.run_id, job.attempt_id = self.node.run_id, 0
            job.attempt_id += 1
            # Of one that recovers, it was counted when it was decided.
            self.node.retries += job.attempt_id > 1 and job.recovery is None
        job.frozen_microseconds = 0
        share = job.queue.share
        gpus = () if share is None else self.memory.ledger.take(attempt_key, share)
        self.outbox.add_attempt(job, attempt_key, gpus)
        self._enter(job, Pending(attempt_key))
        self.outbox.tell_job(job)
        self.outbox.start_attempt(job, attempt_key, gpus)

    def _conclude(self, job: JobNode, state: Ended | Disabled) -> None:
        if job.recovery is not None:
            is_made = isinstance(job.state, Pending | Running) and not job.has_script_to_run
            self.node.retries -= not is_made
            job.recovery = None
        self._enter(job, state)
        if job.may_skip:
            job.may_skip = isinstance(state, Disabled)
        self.outbox.save_job(job)
        self._to_spread.append(job)

    def _canceled(self, stop: Stop) -> Ended:
        return Ended(stop.status, stop.reason, stop.message, None, None, self.at)

    def _make_ready(self, job: JobNode) -> None:
        if job.recovery is not None and job.rests(self.at):
            return
        if job.may_skip and job.trace is not None and self._is_as_it_was(job, job.trace):
            self._skip(job, job.trace)
            return
        self._enter(job, READY)
        heappush(job.queue.heap, (job.rank, job.position, job))
        self.outbox.tell_job(job)

    def _is_as_it_was(self, job: JobNode, trace: Trace) -> bool:
        """Whether all that it would read is what it has read before."""
        inputs = self.node.digests.inputs(job)
        was = (trace.given, trace.made)
        return was == (packed(inputs.given), packed(inputs.made)) and not any(
            gate.spoiled for gate in job.awaits
        )

    def _skip(self, job: JobNode, trace: Trace) -> None:
        """It is up to date: it ends as it did before, and what it made is what it was."""
        job.run_id, job.attempt_id = trace.run_id, trace.attempt_id
        job.may_skip = False
        self._enter(job, ended_as_before(trace))
        self.outbox.save_skipped(job)
        self._to_spread.append(job)

    def _enter(self, job: JobNode, state: State) -> None:
        node = self.node
        counts = node.counts
        before = job.state
        counts[before.status] -= 1
        counts[state.status] += 1
        job.state = state
        node.in_flight += isinstance(state, Active) - isinstance(before, Active)
        if node.actions is not None:
            node.actions.note(job)

    def _settle(self) -> None:
        """If nothing is left to do, the workflow is over."""
        node = self.node
        final = node.final_status
        if final is None or node.is_over:
            return
        node.status = final
        node.stopping = False
        node.frozen_since = None
        node.ended_at = self.at
        self.outbox.save_workflow()


def ended_as_before(trace: Trace) -> Ended:
    """As the attempt did that left the trace."""
    return Ended(JobStatus.COMPLETED, None, None, 0, trace.started_at, trace.ended_at)
