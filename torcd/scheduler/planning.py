"""What a restart would run, and why: pure, so that asking and doing cannot differ.

A verdict is one of three:

    will_run    the job ended badly or never ran, is another one than it was, has lost what it made,
                reads what has changed and no job makes, was named, or makes ephemeral data that
                something which will run reads
    may_run     nothing of that, but something before it will run, or may: whether it has to is seen
                when what it reads is there (`torcd.scheduler.spreading`)
    up_to_date  it stays as it is

The first pass goes through the jobs in their order, each after all it waits for. Then ephemeral
data is cleared that a job reads which will run; who makes it will run too, which may clear more. A
job only ever moves up, from up to date to may run to will run, so this comes to an end, and each
job is looked at a few times at most. What several wait for together is a group, and marked once for
all. Ephemeral data that no job makes and the spec gives a value has that one again for whoever
runs, so it is judged as if it had it already; without one it keeps what it has, since nobody would
store it again.

Of a restart of some jobs, the others are out of the question but for those that come after them. A
job that waits for one that ended badly and is not to run again stays what it is.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from torcd import graph
from torcd.model import (
    ENDED_BADLY,
    DataKey,
    FileKey,
    FileState,
    ForEach,
    JobKey,
    JobStatus,
)
from torcd.scheduler import wording
from torcd.scheduler.digests import Digests, definition, is_as_read
from torcd.scheduler.events import Selection
from torcd.scheduler.job_states import Ended
from torcd.scheduler.nodes import GateNode, JobNode
from torcd.scheduler.state import WorkflowNode

Outlook = Literal["will_run", "may_run", "up_to_date"]


class Verdict(msgspec.Struct, frozen=True, gc=False):
    outlook: Outlook
    reason: str
    """In words."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    verdicts: dict[JobKey, Verdict]
    """Of all jobs, in the order of the spec."""
    to_clear: tuple[DataKey, ...]
    """Ephemeral data, of which somebody makes a new value or the spec has one."""
    held_back: dict[JobKey, JobKey]
    """Of those that were named and cannot run: the job that ended badly and is not to run."""

    @property
    def runs(self) -> list[JobKey]:
        """Those that will run or may."""
        return [key for key, one in self.verdicts.items() if one.outlook != "up_to_date"]


def plan(
    node: WorkflowNode, selection: Selection, files: Mapping[FileKey, FileState | None]
) -> Plan:
    """Of a workflow that is over. `files`: its files as they are now, None where there is none; of
    those left out, what is known of them is taken to be true."""
    return _Planner(node, selection, files).plan()


class _Planner:
    def __init__(
        self, node: WorkflowNode, selection: Selection, files: Mapping[FileKey, FileState | None]
    ) -> None:
        self._node = node
        self._selection = selection
        self._first_values = {
            key: data.initial_sha256
            for key, data in node.data.items()
            if data.initial_sha256 is not None and key not in node.makers
        }
        """Of ephemeral data that only the spec gives a value: whoever runs reads that one again."""
        self._digests = Digests(node, files, self._first_values)
        self._verdicts: dict[JobKey, Verdict] = {}
        self._moving: dict[int, JobNode] = {}
        """Gates, and groups, of which a producer will run or may: one of these."""
        self._stuck: dict[int, JobNode] = {}
        """Those of which one ended badly, and is not to run."""
        self._held_back: dict[JobKey, JobKey] = {}
        self._missing_of: dict[int, GateNode | None] = {}
        """By what is waited for: the first of it that no job makes and that is not there."""
        self._suspects: dict[int, list[GateNode]] = {}
        """By group: the members that have changed."""

    def plan(self) -> Plan:
        workflow = self._node.workflow
        jobs = self._node.jobs
        for key in graph.topological_order(workflow, graph.gates(workflow)):
            self._judge(jobs[key])
        to_clear = [] if self._selection.only else self._clear()
        to_clear += self._read_by_who_runs()
        return Plan(
            verdicts={key: self._verdicts[key] for key in jobs},
            to_clear=tuple(to_clear),
            held_back=self._held_back,
        )

    # In order

    def _judge(self, job: JobNode) -> None:
        key = job.job.key
        named = self._selection.jobs is not None and key in self._selection.jobs
        cause = self._moving_before(job)
        is_meant = self._selection.jobs is None or named
        is_meant = is_meant or (cause is not None and not self._selection.only)
        status = job.state.status
        if status is JobStatus.DISABLED:
            self._verdicts[key] = Verdict("up_to_date", "it is disabled, and counts as done")
            return
        stuck = self._stuck_before(job) if is_meant else None
        if stuck is not None:
            if named:
                self._held_back[key] = stuck.job.key
            reason = (
                f'it needs "{stuck.job.name}", which {wording.PAST[stuck.state.status]} and is '
                "not to run again"
            )
            self._stays(job, reason)
        elif not is_meant:
            self._stays(job, "it was not named, and nothing before it runs")
        else:
            verdict = self._verdict(job, cause)
            if named and verdict.outlook != "will_run":
                verdict = Verdict("will_run", "it was named")
            self._verdicts[key] = verdict
            if verdict.outlook != "up_to_date":
                self._move(job)

    def _stays(self, job: JobNode, reason: str) -> None:
        self._verdicts[job.job.key] = Verdict("up_to_date", reason)
        if job.state.status in ENDED_BADLY:
            for gate in job.feeds:
                for one in (gate, *gate.groups):
                    self._stuck.setdefault(one.subject, job)

    def _move(self, job: JobNode) -> None:
        for gate in job.feeds:
            self._moving.setdefault(gate.subject, job)
            for group in gate.groups:
                self._moving.setdefault(group.subject, job)

    def _moving_before(self, job: JobNode) -> JobNode | None:
        for gate in job.awaits:
            cause = self._moving.get(gate.subject)
            if cause is not None:
                return cause
        if job.adder is not None:
            # Whether it is added again, and as what, is seen then.
            adder = self._verdicts[job.adder.job.key]
            return None if adder.outlook == "up_to_date" else job.adder
        return None

    def _stuck_before(self, job: JobNode) -> JobNode | None:
        if not self._stuck or not job.job.cancel_on_blocking_job_failure:
            return None
        for gate in job.awaits:
            culprit = self._stuck.get(gate.subject)
            if culprit is not None:
                return culprit
        return None

    def _verdict(self, job: JobNode, cause: JobNode | None) -> Verdict:
        state, trace = job.state, job.trace
        if not isinstance(state, Ended):
            return Verdict("will_run", "it is new")
        if state.status is not JobStatus.COMPLETED:
            return Verdict("will_run", _bad_end(state))
        if job.job.for_each is not None:
            return self._verdict_of_fold(job.job.for_each, cause)
        if trace is None:
            return Verdict(
                "will_run",
                "it completed under an earlier version of torcd, which did not keep what it read",
            )
        if trace.definition != definition(self._node, job.job):
            return Verdict("will_run", "its command or what it is to make has changed")
        gone = self._gone(job)
        if gone is not None:
            return Verdict("will_run", gone)
        if trace.given is None or trace.made is None:
            return Verdict("will_run", "what it reads changed while it ran, or had not come well")
        now = self._digests.inputs(job)
        is_same = is_as_read(trace, now)
        if cause is None and is_same:
            return Verdict("up_to_date", "nothing that it needs has changed")
        if not is_same and trace.given != now.given:
            what = self._changed(job, trace.attempt_key, given=True)
            return Verdict("will_run", what or "what it reads, and no job makes, has changed")
        if cause is not None:
            missing = self._missing(job)
            if missing is not None:
                return Verdict("will_run", f"{missing}, which it reads, is not there")
            is_sure = self._verdicts[cause.job.key].outlook == "will_run"
            how = "will run again" if is_sure else "may run again"
            if cause.job.for_each is not None:
                name = self._node.data[cause.job.for_each.data].data.name
                return Verdict("may_run", f'user_data "{name}" may have other elements')
            return Verdict("may_run", f'"{cause.job.name}", which comes before it, {how}')
        what = self._changed(job, trace.attempt_key, given=False)
        return Verdict("will_run", what or "what it reads, and other jobs make, has changed")

    def _verdict_of_fold(self, for_each: ForEach, cause: JobNode | None) -> Verdict:
        """It runs nothing, but there may have to be other jobs after it."""
        data = self._node.data[for_each.data]
        sha256 = self._first_values.get(for_each.data) or data.sha256
        if sha256 != for_each.sha256:
            name = data.data.name
            return Verdict("will_run", f'user_data "{name}" has another value, so other elements')
        if cause is not None:
            return Verdict("may_run", f'"{cause.job.name}", which comes before it, may run again')
        return Verdict("up_to_date", "there are jobs for the elements")

    def _gone(self, job: JobNode) -> str | None:
        """What it made and is not there any more."""
        for key in job.job.output_files:
            if self._digests.file(key) is None:
                return f"{wording.file(self._node, key)}, which it made, is gone"
        for data_key in job.job.output_user_data:
            data = self._node.data[data_key]
            if data.sha256 is None:
                return f'user_data "{data.data.name}", which it stored, has no value any more'
        return None

    def _missing(self, job: JobNode) -> str | None:
        """What it reads, no job makes, and is not there. When it comes, nobody knows what is in it:
        so nothing can be compared then."""
        for awaited in job.awaits:
            if awaited.subject not in self._missing_of:
                members = awaited.members or (awaited,)
                found = (g for g in members if g.is_input and self._is_missing(g))
                self._missing_of[awaited.subject] = next(found, None)
            gate = self._missing_of[awaited.subject]
            if gate is not None:
                return wording.subject(self._node, gate)
        return None

    def _is_missing(self, gate: GateNode) -> bool:
        if gate.kind == "file":
            return self._digests.file(FileKey(gate.subject)) is None
        return self._node.data[DataKey(gate.subject)].sha256 is None

    # Why

    def _changed(self, job: JobNode, since: int, *, given: bool) -> str | None:
        """What has changed of what it reads, if that can be told; the first of it."""
        for gate in job.awaits:
            suspects = [gate]
            if gate.members:
                if gate.subject not in self._suspects:
                    self._suspects[gate.subject] = [
                        member for member in gate.members if self._what(member, 0) is not None
                    ]
                suspects = self._suspects[gate.subject]
            for suspect in suspects:
                what = self._what(suspect, since) if suspect.is_input is given else None
                if what is not None:
                    return what
        return None

    def _what(self, gate: GateNode, since: int) -> str | None:
        """What became of a thing since an attempt, as far as is known."""
        node = self._node
        if gate.kind == "user_data":
            data = node.data[DataKey(gate.subject)]
            if data.data.key in self._first_values and data.sha256 != data.initial_sha256:
                return f'user_data "{data.data.name}" is ephemeral, and has its first value again'
            is_new = data.changed_at > since
            return f'user_data "{data.data.name}" has another value' if is_new else None
        if gate.kind == "file":
            key = FileKey(gate.subject)
            before, now = node.file_states.get(key), self._digests.file(key)
            if before is None and now is not None:
                return f"{wording.file(node, key)} is there now"
            if before is not None and (now is None or now.sha256 != before.sha256):
                return f"{wording.file(node, key)} {'is gone' if now is None else 'has changed'}"
        for producer in gate.producers:
            if producer.trace is not None and producer.trace.made_at > since:
                return f'"{producer.job.name}" ran after it, and made something else'
        return None

    # What is cleared

    def _clear(self) -> list[DataKey]:
        """Ephemeral data that somebody reads who will run."""
        to_clear: dict[DataKey, None] = {}
        to_see = [
            self._node.jobs[key]
            for key, verdict in self._verdicts.items()
            if verdict.outlook == "will_run"
        ]
        seen: set[int] = set()
        while to_see:
            reader = to_see.pop()
            for gate in _each(reader.awaits, seen):
                if gate.kind != "user_data":
                    continue
                data = self._node.data[DataKey(gate.subject)]
                if not data.data.is_ephemeral:
                    continue
                makers = self._makers(data.data.key)
                if not makers or any(self._stuck_before(maker) is not None for maker in makers):
                    continue  # nobody would store it again
                to_clear[data.data.key] = None
                for maker in makers:
                    if self._verdicts[maker.job.key].outlook != "will_run":
                        self._verdicts[maker.job.key] = Verdict(
                            "will_run",
                            f'it stores user_data "{data.data.name}", which is ephemeral and which '
                            f'"{reader.job.name}" reads',
                        )
                        to_see.append(maker)
                        to_see += self._move_all_after(maker)
        return list(to_clear)

    def _read_by_who_runs(self) -> list[DataKey]:
        """Of ephemeral data that only the spec gives a value."""
        found = []
        for key in self._first_values:
            gate = self._node.data[key].gate
            readers = () if gate is None else gate.all_consumers
            if any(self._verdicts[one.job.key].outlook != "up_to_date" for one in readers):
                found.append(key)
        return found

    def _makers(self, key: DataKey) -> list[JobNode]:
        """The jobs that would store it again."""
        makers = self._node.makers.get(key, ())
        return [job for job in makers if job.state.status is not JobStatus.DISABLED]

    def _move_all_after(self, first: JobNode) -> list[JobNode]:
        """It will run, too, now: what does that mean for those after it? Returns those of them that
        will run."""
        will_run = []
        to_see = [first]
        while to_see:
            cause = to_see.pop()
            self._move(cause)
            consumers = (one for gate in cause.feeds for one in gate.all_consumers)
            for consumer in itertools.chain(cause.added, consumers):
                known = self._verdicts[consumer.job.key]
                if known.outlook != "up_to_date" or self._stuck_before(consumer) is not None:
                    continue
                if consumer.state.status is JobStatus.DISABLED:
                    continue
                verdict = self._verdict(consumer, cause)
                self._verdicts[consumer.job.key] = verdict
                to_see.append(consumer)
                if verdict.outlook == "will_run":
                    will_run.append(consumer)
        return will_run


def _each(gates: Iterable[GateNode], seen: set[int]) -> Iterator[GateNode]:
    """One by one, also of groups; each once in all."""
    for awaited in gates:
        if awaited.subject in seen:
            continue
        seen.add(awaited.subject)
        for gate in awaited.members or (awaited,):
            if gate is awaited or gate.subject not in seen:
                seen.add(gate.subject)
                yield gate


def _bad_end(state: Ended) -> str:
    if state.started_at is None and state.status is JobStatus.CANCELED:
        return f"it never ran: {state.message}"
    past = wording.PAST[state.status]
    message = state.message or ""
    # A message about a cancel says so itself.
    return f"it was {message}" if message.startswith("canceled") else f"it {past}: {message}"
