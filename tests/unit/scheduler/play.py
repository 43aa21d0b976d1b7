"""A short way to say what happens to a workflow, for tests.

    play = Play(a=job(), b=job(after="a"))
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "canceled"}

Whatever a test is about, after every event a `Play` makes sure that the scheduler's invariants
hold, that happenings are numbered without gaps, and that each change of a status is told; and
after every refusal, that nothing has changed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from tests.grouping import grouped
from torcd.errors import UserError
from torcd.model import (
    AttemptKey,
    Capacity,
    FailureRule,
    FileKey,
    FileState,
    Happening,
    JobKey,
    JobsSortMethod,
    Timestamp,
)
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.actions import ActionNode, Actions
from torcd.scheduler.commands import (
    Action,
    Command,
    FreezeAttempt,
    Record,
    RevokeAttempt,
    SaveJob,
    StartAttempt,
    StartRecovery,
    StopAttempt,
    ThawAttempt,
)
from torcd.scheduler.invariants import violations
from torcd.scheduler.job_states import Pending, Running
from torcd.scheduler.memory import Line
from torcd.scheduler.nodes import GateNode, JobNode, Queue
from torcd.scheduler.restarting import check
from torcd.scheduler.sharing import BOUNDLESS, Ledger
from torcd.scheduler.state import DataNode, WorkflowNode

from .specs import ActionSpec, JobSpec, parsed, workflow


class Play:
    """One workflow in a scheduler of its own (or in `beside`'s)."""

    def __init__(
        self,
        *,
        parallel: int = 100,
        on_store: str = "",
        ephemeral: str = "",
        initial: str = "",
        absent: str = "",
        wait: bool = False,
        beside: "Play | None" = None,
        capacity: Capacity = BOUNDLESS,
        sort: JobsSortMethod = "none",
        actions: Sequence[ActionSpec] = (),
        groups: bool = False,
        handlers: Mapping[str, Sequence[FailureRule]] | None = None,
        max_retries: int | None = None,
        **jobs: JobSpec,
    ) -> None:
        self.scheduler = beside.scheduler if beside else Scheduler(capacity=capacity)
        self.workflow = workflow(
            jobs,
            first_key=self.scheduler.next_key,
            on_store=on_store,
            ephemeral=ephemeral,
            initial=initial,
            actions=actions,
            sort=sort,
            handlers=handlers,
            max_retries=max_retries,
        )
        if groups:
            self.workflow = grouped(self.workflow)
        self.keys: dict[str, Any] = {
            item.name: item.key
            for item in (*self.workflow.jobs, *self.workflow.files, *self.workflow.user_data)
        }
        self.history: list[Command] = []
        """Every command so far."""
        self.last: list[Command] = []
        """Those of the last event."""
        self._time = 0
        self.tell(
            e.SubmitRequested(
                workflow=self.workflow,
                max_parallel_jobs=parallel,
                initial_values={self.keys[name]: parsed("0") for name in initial.split()},
                absent_files=frozenset(self.keys[name] for name in absent.split()),
                wait_for_inputs=wait,
                at=self.now,
            )
        )

    # What happens

    @property
    def now(self) -> Timestamp:
        self._time += 1_000_000
        return Timestamp(self._time)

    def tell(self, event: e.Event) -> list[Command]:
        before = dict(self._all_statuses())
        first = self.scheduler._memory.next_happening
        try:
            picture = snapshot(self.scheduler)
            self.last = self.scheduler.handle(event)
        except UserError:
            assert snapshot(self.scheduler) == picture
            raise
        self.history += self.last
        assert violations(self.scheduler) == []
        numbers = [h.number for h in self.last if isinstance(h, Happening)]
        assert numbers == list(range(first, self.scheduler._memory.next_happening))
        told = {h.job_key: h.status for h in self.last if isinstance(h, Happening) and h.job_key}
        for key, status in self._all_statuses():
            if key in before and before[key] != status:
                assert told.get(key) == status
        return self.last

    def starts(self, name: str) -> list[Command]:
        return self.tell(e.AttemptStarted(self.attempt(name), self.now))

    def exits(
        self,
        name: str,
        code: int = 0,
        *,
        values: Mapping[str, str] | None = None,
        missing: str = "",
        problem: str | None = None,
        ran_out_of_memory: bool = False,
        files: Mapping[str, str | None] | None = None,
        inputs_changed: bool = False,
    ) -> list[Command]:
        """`files`: what was found in those that were looked at."""
        event = self.exit_event(name, code, values, missing, problem)
        outputs = replace(
            event.outputs,
            files=tuple(self._states(files or {}).items()),
            inputs_changed=inputs_changed,
        )
        return self.tell(replace(event, ran_out_of_memory=ran_out_of_memory, outputs=outputs))

    def restart(
        self,
        names: str | None = None,
        *,
        only: bool = False,
        files: Mapping[str, str | None] | None = None,
    ) -> list[Command]:
        """`files`: what is in those that are not as they are known."""
        return self.tell(self._restart_event(names, only, files))

    def outlooks(
        self,
        names: str | None = None,
        *,
        only: bool = False,
        files: Mapping[str, str | None] | None = None,
    ) -> dict[str, tuple[str, str]]:
        """What a restart would do with each job, and why."""
        plan = check(self.node, self._restart_event(names, only, files))
        return {
            self.node.jobs[key].job.name: (verdict.outlook, verdict.reason)
            for key, verdict in plan.verdicts.items()
        }

    def retry(
        self, names: str, *, absent: str = "", files: Mapping[str, str | None] | None = None
    ) -> list[Command]:
        return self.tell(
            e.RetryRequested(
                workflow_key=self.workflow.key,
                jobs=self._keys(names),
                absent_files=frozenset(self._keys(absent)),
                files=self._states(files or {}),
                at=self.now,
            )
        )

    def _restart_event(
        self, names: str | None, only: bool, files: Mapping[str, str | None] | None
    ) -> e.RestartRequested:
        jobs = None if names is None else frozenset(self._keys(names))
        return e.RestartRequested(
            workflow_key=self.workflow.key,
            selection=e.Selection(jobs=jobs, only=only),
            files=self._states(files or {}),
            at=self.now,
        )

    def _states(self, files: Mapping[str, str | None]) -> dict[FileKey, FileState | None]:
        return {
            self.keys[name]: None if text is None else FileState(len(text), 1, 1, text)
            for name, text in files.items()
        }

    def exit_event(
        self,
        name: str,
        code: int = 0,
        values: Mapping[str, str] | None = None,
        missing: str = "",
        problem: str | None = None,
    ) -> e.AttemptExited:
        return e.AttemptExited(
            attempt_key=self.attempt(name),
            return_code=code,
            cpu_seconds=0.5,
            peak_memory_bytes=1024,
            outputs=e.Outputs(
                values=tuple((self.keys[n], parsed(v)) for n, v in (values or {}).items()),
                missing_files=tuple(self.keys[n] for n in missing.split()),
                problem=problem,
            ),
            at=self.now,
        )

    def does_not_start(self, name: str, problem: str | None = None) -> list[Command]:
        return self.tell(e.AttemptNotStarted(self.attempt(name), problem, self.now))

    def is_lost(self, name: str) -> list[Command]:
        return self.tell(e.AttemptLost(self.attempt(name), "nobody knows", self.now))

    def stores(self, data: str, text: str = "1", *, by: str | None = None) -> list[Command]:
        return self.tell(
            e.StoreRequested(
                workflow_key=self.workflow.key,
                data_key=self.keys[data],
                value=parsed(text),
                attempt_key=self.attempt(by) if by else None,
                at=self.now,
            )
        )

    def appears(self, file: str) -> list[Command]:
        return self.tell(e.FileAppeared(self.workflow.key, self.keys[file], self.now))

    def cancel(self, names: str | None = None) -> list[Command]:
        return self.tell(
            e.CancelRequested(
                workflow_key=self.workflow.key,
                jobs=None if names is None else self._keys(names),
                at=self.now,
            )
        )

    def passes(self, seconds: float) -> list[Command]:
        """So much time, and the daemon is woken."""
        self._time += round(seconds * 1_000_000)
        return self.tell(e.TimePassed(Timestamp(self._time)))

    def pause(self) -> list[Command]:
        return self.tell(e.PauseRequested(self.workflow.key, self.now))

    def freeze(self) -> list[Command]:
        return self.tell(e.PauseRequested(self.workflow.key, self.now, freezes=True))

    def resume(self) -> list[Command]:
        return self.tell(e.ResumeRequested(self.workflow.key, self.now))

    def disable(self, names: str, *, absent: str = "") -> list[Command]:
        return self.tell(
            e.DisableRequested(
                workflow_key=self.workflow.key,
                jobs=self._keys(names),
                absent_files=frozenset(self._keys(absent)),
                at=self.now,
            )
        )

    def enable(self, names: str, *, absent: str = "") -> list[Command]:
        return self.tell(
            e.EnableRequested(
                workflow_key=self.workflow.key,
                jobs=self._keys(names),
                absent_files=frozenset(self._keys(absent)),
                at=self.now,
            )
        )

    def _keys(self, names: str) -> tuple[Any, ...]:
        return tuple(self.keys[name] for name in names.split())

    # What is there

    @property
    def node(self) -> Any:
        return self.scheduler.workflows[self.workflow.key]

    def job(self, name: str) -> JobNode:
        found: JobNode = self.node.jobs[self.keys[name]]
        return found

    def status(self, name: str) -> str:
        return str(self.job(name).state.status.value)

    @property
    def statuses(self) -> dict[str, str]:
        return {job.name: self.status(job.name) for job in self.workflow.jobs}

    @property
    def workflow_status(self) -> str:
        return str(self.node.status.value)

    def attempt(self, name: str) -> AttemptKey:
        """Its newest attempt, whether it is active or not."""
        state = self.job(name).state
        if isinstance(state, Pending | Running):
            return state.attempt_key
        started = [c for c in self.history if isinstance(c, StartAttempt | StartRecovery)]
        return next(c.attempt_key for c in reversed(started) if c.job.name == name)

    def saved(self, name: str) -> SaveJob:
        """As what the last event wrote it down."""
        [found] = [c for c in self.last if isinstance(c, SaveJob) and c.job_key == self.keys[name]]
        return found

    def why(self, name: str) -> tuple[str | None, str | None]:
        """Reason and message of its end."""
        state: Any = self.job(name).state
        return state.reason and state.reason.value, state.message

    # What is to be done

    @property
    def records(self) -> list[Record]:
        return [c for c in self.last if isinstance(c, Record)]

    @property
    def actions(self) -> list[Action]:
        return [c for c in self.last if isinstance(c, Action)]

    @property
    def started_now(self) -> list[str]:
        """Of all workflows."""
        return [c.job.name for c in self.last if isinstance(c, StartAttempt)]

    @property
    def stopped_now(self) -> list[AttemptKey]:
        return [c.attempt_key for c in self.last if isinstance(c, StopAttempt)]

    @property
    def revoked_now(self) -> list[AttemptKey]:
        return [c.attempt_key for c in self.last if isinstance(c, RevokeAttempt)]

    @property
    def frozen_now(self) -> list[AttemptKey]:
        return [c.attempt_key for c in self.last if isinstance(c, FreezeAttempt)]

    @property
    def thawed_now(self) -> list[AttemptKey]:
        return [c.attempt_key for c in self.last if isinstance(c, ThawAttempt)]

    def changes_nothing(self, event: e.Event) -> None:
        picture = snapshot(self.scheduler)
        assert self.tell(event) == []
        assert snapshot(self.scheduler) == picture

    def _all_statuses(self) -> list[tuple[JobKey, str]]:
        return [
            (key, job.state.status.value)
            for node in self.scheduler.workflows.values()
            for key, job in node.jobs.items()
        ]


def refused(error: type[UserError], match: str | None = None) -> Any:
    """Like pytest.raises; that nothing has changed, the play itself makes sure of."""
    return pytest.raises(error, match=match)


def snapshot(scheduler: Scheduler) -> dict[str, Any]:
    """All that the scheduler remembers, however deep, as something that can be compared; but for
    how often it has looked."""
    found: dict[str, Any] = {}
    to_visit: list[Any] = [scheduler._memory]

    def plain(thing: Any) -> Any:
        if isinstance(thing, dict):
            return {key: plain(item) for key, item in thing.items()}
        if isinstance(thing, list | tuple):
            return [plain(item) for item in thing]
        if isinstance(thing, set):
            return set(thing)
        if isinstance(thing, _NODES):
            to_visit.append(thing)
            return f"{type(thing).__name__} {_identity(thing)}"
        return thing

    while to_visit:
        node = to_visit.pop()
        name = f"{type(node).__name__} {_identity(node)}"
        if name not in found:
            slots = [slot for slot in type(node).__slots__ if slot != "turns"]
            found[name] = {slot: plain(getattr(node, slot)) for slot in slots}
    return found


_NODES = (WorkflowNode, JobNode, GateNode, DataNode, Queue, Ledger, Line, Actions, ActionNode)


def _identity(thing: Any) -> Any:
    match thing:
        case JobNode():
            return thing.job.key
        case GateNode():
            return thing.subject
        case DataNode():
            return thing.data.key
        case WorkflowNode():
            return thing.key
        case Queue() | Actions() | ActionNode():
            return id(thing)
    return ""
