"""How what happens to one job of a workflow spreads to others, and from state to state.

How an end spreads. A job that ends moves the gates it feeds. A gate whose last producer has
finished opens, and consumers for which it was the last closed gate become ready. A gate one of
whose producers ended badly is spoiled: its consumers that have not started and did not say
`cancel_on_blocking_job_failure: false` are canceled at once, which is an end that spreads in turn.
Ends waiting to be spread stand in a queue, not on the stack, so depth costs nothing. A gate is
looked through at most twice: when it is spoiled and when it opens. What happens to a gate happens
to the groups it is in.

What a job has added. When a job is to run again, what it had added and has not started waits until
it is added again (`JobNode.is_to_be_held`), or until its adder has ended, well or not. If that ends
badly, it is canceled as if it had waited for the adder: nobody has said what it is to be.

Early cutoff. After a restart a job may have nothing against it but that something before it runs
again. It waits for that like any other; when its last gate opens, what it would read is compared
with what it read when it completed last, and if that is the same it ends as it did then, without an
attempt. What it makes is as it was, so those after it go the same way.
"""

from heapq import heappush

import msgspec

from torcd.model import (
    ENDED_BADLY,
    AttemptKey,
    DataKey,
    FileKey,
    JobStatus,
    Reason,
    Timestamp,
)
from torcd.scheduler import following, wording
from torcd.scheduler.commands import Command
from torcd.scheduler.digests import definition, is_as_read
from torcd.scheduler.job_states import (
    BLOCKED,
    READY,
    Blocked,
    Disabled,
    Ended,
    EndedWell,
    Pending,
    Ready,
    Running,
    State,
    Stop,
    Trace,
    ended_as,
)
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import GateNode, JobNode, is_spoiled
from torcd.scheduler.outbox import Outbox
from torcd.scheduler.state import WorkflowNode


class Spreading(Outbox):
    """The part of a `Turn` that an event does not ask for by name."""

    _absent_files: frozenset[FileKey] = frozenset()

    def __init__(self, memory: Memory, node: WorkflowNode, at: Timestamp) -> None:
        self.memory = memory
        self.node = node
        self.at = at
        self.commands: list[Command] = []
        self.add = self.commands.append
        node.turns += 1
        self._to_spread: list[JobNode] = []

    # How it spreads

    def _spread(self) -> None:
        for job in self._to_spread:  # which grows meanwhile
            status = job.state.status
            if job.rare.added:
                self._let_go(job, status)
            for gate in job.feeds:
                if status is JobStatus.COMPLETED:
                    gate.made = True
                elif status is not JobStatus.DISABLED and not gate.spoiled:
                    self._spoil(gate, job)
                if gate.opens_early is None or not gate.has_stored(job):
                    self._lower(gate)
        self._to_spread.clear()

    def _let_go(self, adder: JobNode, status: JobStatus) -> None:
        """It has ended: what was held because of it is held no more."""
        for job in adder.added:
            if not job.held:
                continue
            job.held = False
            job.waits -= 1
            if status in ENDED_BADLY and job.job.cancel_on_blocking_job_failure:
                message = wording.because_not_added_again(adder)
                self._cancel(job, Stop(Reason.DEPENDENCY, message))
            elif not job.waits and isinstance(job.state, Blocked):
                self._make_ready(job)
            self._take_place(job)

    def _hold(self, adder: JobNode) -> None:
        """It has another attempt, or is to have one; or has not, after all."""
        for job in adder.added:
            is_to_be_held = job.is_to_be_held
            if is_to_be_held and not job.held:
                job.held = True
                job.waits += 1
                if isinstance(job.state, Ready):
                    self._enter(job, BLOCKED)
                    self.tell_job(job)
            elif job.held and not is_to_be_held:
                job.held = False
                job.waits -= 1
                if not job.waits and isinstance(job.state, Blocked):
                    self._make_ready(job)
                self._take_place(job)

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
        if not gate.made and self._is_never_made(gate):
            missing = Stop(Reason.DEPENDENCY, wording.because_never_made(self.node, gate))
        for consumer in gate.consumers:
            consumer.waits -= 1
            if consumer.state.follows:
                self._take_place(consumer)
            if missing is not None:
                self._cancel(consumer, missing)
            elif not consumer.waits and isinstance(consumer.state, Blocked):
                self._make_ready(consumer)
        for group in gate.groups:
            if missing is not None:
                for consumer in group.consumers:
                    self._cancel(consumer, missing)
            self._lower(group)

    def _take_place(self, job: JobNode) -> None:
        """If it was to come after another, and that is over."""
        state = job.state
        if isinstance(state, Pending) and state.follows and not job.waits:
            self.node.following -= 1
            job.state = Pending(state.attempt_key, state.stop)

    def _raise(self, gate: GateNode) -> None:
        gate.missing += 1
        if gate.missing > 1:
            return
        for consumer in gate.consumers:
            consumer.waits += 1
            if isinstance(consumer.state, Ready):
                self._enter(consumer, BLOCKED)
                self.tell_job(consumer)
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
                job.state = Pending(state.attempt_key, stop, state.follows)
                self._tell_to_stop(job, state.attempt_key, stop)
                if stop.ends_the_started:
                    self._stop_followers(job, state.attempt_key, stop)
            case Running() if stop.outranks(state.stop) and stop.ends_the_started:
                job.state = Running(state.attempt_key, state.started_at, stop)
                self._tell_to_stop(job, state.attempt_key, stop)
                self._stop_followers(job, state.attempt_key, stop)
            case Pending() | Running() | Ended() | Disabled():
                pass

    def _tell_to_stop(self, job: JobNode, attempt_key: AttemptKey, stop: Stop) -> None:
        self.save_job(job)
        self.stop_attempt(job, attempt_key, stop)

    def _stop_followers(self, leader: JobNode, attempt_key: AttemptKey, stop: Stop) -> None:
        """What is stopped may have ended well a moment ago, and what comes after it have started:
        that is canceled all the same."""
        for follower, key, firm in self._stop_firmly(leader, attempt_key, stop):
            self._tell_to_stop(follower, key, firm)

    def _stop_firmly(
        self, leader: JobNode, attempt_key: AttemptKey, stop: Stop
    ) -> list[tuple[JobNode, AttemptKey, Stop]]:
        """Those that come after one that is to stop are to stop as well, however deep: who, and
        why. Nobody is told."""
        stopped = [(leader, attempt_key, stop)]
        for job, key, its_stop in stopped:
            because = wording.because_of_job(job, its_stop.status)
            firm = Stop(Reason.DEPENDENCY, because, is_firm=True)
            for follower, state in following.of(job, key):
                if firm.outranks(state.stop):
                    follower.state = msgspec.structs.replace(state, stop=firm)
                    stopped.append((follower, state.attempt_key, firm))
        return stopped[1:]

    # From state to state

    @property
    def may_start(self) -> bool:
        """Whether jobs of this workflow may be chosen now."""
        return self.node.starts_jobs and not self.memory.is_draining

    def start(self, job: JobNode, after: AttemptKey | None = None) -> None:
        """Choose it; there must be room for it. `after`: it waits for a job whose attempt that is,
        and for nothing else."""
        memory, node = self.memory, self.node
        attempt_key = AttemptKey(memory.next_attempt_key)
        memory.next_attempt_key += 1
        memory.attempts[attempt_key] = (node, job)
        if not job.has_script_to_run:
            if job.run_id != node.run_id:
                job.run_id, job.attempt_id = node.run_id, 0
            job.attempt_id += 1
            # Of one that recovers, it was counted when it was decided.
            if job.attempt_id > 1 and job.recovery is None:
                node.retries += 1
        if job.rare.frozen_microseconds:
            job.frozen_microseconds = 0
        share = job.queue.share
        gpus = () if share is None else memory.ledger.take(attempt_key, share)
        self.add_attempt(job, attempt_key, gpus)
        self._enter(job, Pending(attempt_key, None, after is not None))
        if after is not None:
            node.following += 1
        self.tell_job(job)
        self.start_attempt(job, attempt_key, gpus, after)
        if job.feeds and following.may_lead(node, job):
            node.leaders.append(job)

    def _conclude(self, job: JobNode, state: Ended | Disabled) -> None:
        if job.recovery is not None:
            is_made = isinstance(job.state, Pending | Running) and not job.has_script_to_run
            self.node.retries -= not is_made
            job.recovery = None
        self._enter(job, state)
        if job.may_skip:
            job.may_skip = isinstance(state, Disabled)
        self.save_job(job)
        if job.feeds or job.rare.added:
            self._to_spread.append(job)

    def _canceled(self, stop: Stop) -> Ended:
        return ended_as(stop.status, stop.reason, stop.message, None, None, self.at)

    def _make_ready(self, job: JobNode) -> None:
        # One that says for_each has its turn when this one ends.
        if job.job.for_each is not None or (job.recovery is not None and job.rests(self.at)):
            return
        if job.may_skip and job.trace is not None and self._is_as_it_was(job, job.trace):
            self._skip(job, job.trace)
            return
        self._enter(job, READY)
        heappush(job.queue.heap, (job.rank, job.position, job))
        self.tell_job(job)

    def _leave_trace(
        self, job: JobNode, attempt_key: AttemptKey, ended: EndedWell, *, inputs_changed: bool
    ) -> None:
        node = self.node
        seen_by = following.seen_by(job, attempt_key) if job.feeds else None
        given: int | None = 0
        made: int | None = 0
        if job.awaits:
            inputs = node.digests.inputs(job)
            # What ended badly may have left anything behind, and what comes late was not there yet.
            is_known = not (
                inputs_changed
                or job.waits > job.rare.held
                or inputs.newest > attempt_key
                or any(map(is_spoiled, job.awaits))
            )
            given = inputs.given if is_known else None
            made = inputs.made if is_known else None
        job.trace = trace = Trace(
            attempt_key=attempt_key,
            run_id=job.run_id,
            attempt_id=job.attempt_id,
            ended=ended,
            definition=node.digests.definition(job.job),
            given=given,
            made=made,
            made_at=seen_by or self.memory.next_attempt_key,
        )
        for gate in job.feeds:
            gate.made_at = trace.made_at
        node.digests.changed(job.job.key)

    def _is_as_it_was(self, job: JobNode, trace: Trace) -> bool:
        """Whether it is what it was, and all that it would read is what it has read before."""
        if trace.definition != definition(self.node, job.job):
            return False  # an edit has come between
        is_same = is_as_read(trace, self.node.digests.inputs(job))
        return is_same and not any(map(is_spoiled, job.awaits))

    def _skip(self, job: JobNode, trace: Trace) -> None:
        """It is up to date: it ends as it did before, and what it made is what it was."""
        job.run_id, job.attempt_id = trace.run_id, trace.attempt_id
        job.may_skip = False
        self._enter(job, trace.ended)
        self.save_skipped(job)
        self._to_spread.append(job)

    def _enter(self, job: JobNode, state: State) -> None:
        node = self.node
        counts = node.counts
        before, job.state = job.state, state
        counts[before.status] -= 1
        counts[state.status] += 1
        if before.follows:
            node.following -= 1
        if node.actions is not None:
            node.actions.note(job)
        if job.rare.added and not isinstance(state, Ended | Disabled):
            self._hold(job)
