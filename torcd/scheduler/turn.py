"""One event's consequences in one workflow: the rules of a job's life.

An event asks for one of these changes, or for one to what values and files hold
(`torcd.scheduler.storing`); how it goes on from there says `torcd.scheduler.spreading`.

Two ways to cancel. What a person cancels ends, whatever it is doing. What is canceled because of
what it depends on ends only if it has not started, and of a pending job only the executor knows
that: it is asked to take the attempt back, and the job is canceled when it says that it did.
"""

from collections.abc import Iterable
from heapq import heappush

import msgspec

from torcd.model import (
    ENDED_BADLY,
    NO_ATTEMPT,
    AttemptKey,
    FileKey,
    JobStatus,
    Reason,
    Timestamp,
    WorkflowStatus,
)
from torcd.scheduler import acting, choosing, following, freezing, wording
from torcd.scheduler.commands import (
    Command,
    MakeElements,
    RemoveAttempt,
    RevokeAttempt,
)
from torcd.scheduler.events import AttemptExited, AttemptLost, AttemptNotStarted
from torcd.scheduler.job_states import (
    BLOCKED,
    DISABLED,
    Blocked,
    Ended,
    EndedWell,
    Pending,
    Ready,
    Recovery,
    Running,
    Stop,
    ended_as,
)
from torcd.scheduler.nodes import GateNode, JobNode
from torcd.scheduler.storing import Storing


class Turn(Storing):
    """Changes a workflow and gathers the commands that go with it."""

    def end(self) -> list[Command]:
        """Start what may start now, and see whether the workflow is over. Where jobs ask for a
        share of the machine, other workflows may be before it (`scheduler/line.py`)."""
        node = self.node
        if node.folds:
            self._unfold()
        if node.asking:
            self.memory.line.touched[node.key] = node
        elif (node.ready.heap or node.leaders) and self.may_start:
            room = choosing.room(node)
            while room > 0 and (job := choosing.take_next(node.ready)) is not None:
                self.start(job)
                room -= 1
            if room > node.following and node.leaders:
                self._start_followers(room - node.following)
        if node.actions is None or not acting.begin_next(self.memory, node, self):
            final = node.final_status
            if final is not None and not node.is_over:
                self._settle(final)
        return self.commands

    def _start_followers(self, room: int) -> None:
        node = self.node
        is_followed = node.followed_from <= self.memory.next_attempt_key
        if is_followed and choosing.lookahead(node):
            for after, job in following.followers(node, room):
                self.start(job, after)

    def _unfold(self) -> None:
        """What says `for_each` and has its value has ended if there are jobs for its elements, and
        otherwise somebody has to make them."""
        node = self.node
        to_see = True
        while to_see:
            to_see = False
            for job in node.folds:
                for_each = job.job.for_each
                if for_each is None or not isinstance(job.state, Blocked) or job.waits:
                    continue
                if node.data[for_each.data].sha256 == for_each.sha256 is not None:
                    ended = ended_as(JobStatus.COMPLETED, None, None, None, None, self.at)
                    self._conclude(job, ended)
                    self._spread()
                    to_see = True
                elif for_each.data not in node.being_made:
                    node.being_made.add(for_each.data)
                    self.add(MakeElements(node.key, for_each.data))

    def fail(self, jobs: Iterable[JobNode], message: str) -> None:
        """They have not started, and cannot."""
        for job in jobs:
            ended = ended_as(JobStatus.FAILED, Reason.START_FAILED, message, None, None, self.at)
            self._conclude(job, ended)
        self._spread()

    # What an event does

    def started(self, job: JobNode, running: Running) -> None:
        stop = job.state.stop
        self._enter(job, running)
        if running.stop is stop:
            self.tell_job(job)
        else:  # which holds no more
            self.save_job(job)

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
        if self.node.held_back:
            self._try_again()
        self.save_attempt(attempt_key, ended, cpu_seconds, peak_memory_bytes)
        if recovery is not None:
            self._recover(job, recovery)
            return
        if isinstance(ended, EndedWell):
            self._leave_trace(job, attempt_key, ended, inputs_changed=inputs_changed)
        self._conclude(job, ended)
        self._spread()

    def _try_again(self) -> None:
        """To make jobs for elements; perhaps nothing is in the way any more."""
        self.node.being_made -= self.node.held_back
        self.node.held_back = set()

    def _recover(self, job: JobNode, recovery: Recovery) -> None:
        job.recovery = recovery
        self.node.retries += 1
        self._go_on_recovering(job)

    def _go_on_recovering(self, job: JobNode) -> None:
        """Run its script, rest, or be ready; whatever it is, it is written down. Not if what it
        needs has gone bad since its attempt began."""
        self._enter(job, BLOCKED)
        message = self._why_never_ready(job)
        if message is not None:
            self._cancel(job, Stop(Reason.DEPENDENCY, message))
            self._spread()
            return
        self.save_job(job)
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
        if self.node.held_back:
            self._try_again()
        self.save_attempt(
            event.attempt_key,
            ended_as(status, reason, message, return_code, started_at or event.at, event.at),
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
        if self.node.held_back:
            self._try_again()
        self.add(RemoveAttempt(attempt_key))
        if not job.has_script_to_run:
            self.node.retries -= job.attempt_id > 1 and job.recovery is None
            job.attempt_id -= 1
        if stop is not None:
            self._conclude(job, self._canceled(stop))
            self._spread()
        elif job.waits:
            if self.may_start and following.is_under_way(job, attempt_key):
                following.chosen_in_vain(self.node, self.memory.next_attempt_key)
            self._enter(job, BLOCKED)
            self.tell_job(job)
            self._spread()
        else:
            self._make_ready(job)
            self._spread()

    def revoke_pending(self) -> None:
        """Have what was chosen and has not started taken back."""
        for job in self.node.jobs.values():
            if isinstance(job.state, Pending) and job.state.stop is None:
                self.add(RevokeAttempt(job.state.attempt_key))

    def recall_followers(self) -> None:
        """After a restart: what comes after those that were told to stop is to stop, too, even if
        it has started; that is not written down."""
        for job in self.node.jobs.values():
            state = job.state
            if isinstance(state, Pending) and state.stop and state.stop.ends_the_started:
                self._stop_firmly(job, state.attempt_key, state.stop)

    def repeat(self, job: JobNode, pending: Pending, gpus: tuple[int, ...]) -> None:
        """After a restart: tell the executor again what was wanted of it."""
        self.memory.attempts[pending.attempt_key] = (self.node, job)
        if job.queue.share is not None:
            self.memory.ledger.hold(pending.attempt_key, job.queue.share, gpus)
        # Should nobody have heard of it, it is not to start now. (If it was to come after another,
        # the executor knows.)
        may_start = not job.waits and pending.stop is None and self.may_start
        after = None if may_start else NO_ATTEMPT
        self.start_attempt(job, pending.attempt_key, gpus, after)
        if pending.stop is not None:
            self.stop_attempt(job, pending.attempt_key, pending.stop)
        elif not self.may_start:
            self.add(RevokeAttempt(pending.attempt_key))
        freezing.repeat(self.node, pending, job.frozen_microseconds, self)

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
            self.save_job(job)
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
            self.save_job(job)
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

    def _settle(self, final: WorkflowStatus) -> None:
        """Nothing is left to do: the workflow is over."""
        node = self.node
        node.status = final
        node.stopping = False
        node.frozen_since = None
        node.ended_at = self.at
        self.save_workflow()
