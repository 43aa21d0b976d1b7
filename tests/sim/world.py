"""A make-believe world around the real scheduler, in virtual time.

The daemon of this world goes its four steps one by one: decide an event, commit what was decided,
act on it, answer who asked. Between any two of them anything else may happen, and the daemon may
die: then what was not committed has never been, and what was not carried out is not carried out.

The log has every event that was committed, with the commands that came of it: what the reference
model judges the end by.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from torcd import value
from torcd.errors import UserError
from torcd.model import (
    ENDED,
    AttemptKey,
    DataKey,
    FileKey,
    Happening,
    JobKey,
    JobStatus,
    Timestamp,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler import Scheduler, choosing
from torcd.scheduler import events as e
from torcd.scheduler.commands import (
    AddAttempt,
    Command,
    RevokeAttempt,
    SaveValue,
    StartAttempt,
    StopAttempt,
    WatchFile,
)
from torcd.scheduler.invariants import violations

from . import naive
from .executor import Acknowledge, Attempt, Executor, Life, Order, Outcome
from .store import Store
from .workflows import Pick, Plan

VALUE = value.parse(b"1", name="a value")

MAX_CALM_STEPS = 3_000
"""Far more than the largest workflows of this world need to come to their end."""


class Answer(msgspec.Struct, frozen=True):
    """What a job is told when its store is on disk."""

    attempt_key: AttemptKey
    saved: SaveValue


ToDo = Order | WatchFile | Answer


class World:
    def __init__(self) -> None:
        self.now = Timestamp(1_000_000)
        self.store = Store()
        self.view = Store()
        """What the store will be when all that was decided is committed."""
        self.scheduler: Scheduler | None = Scheduler()
        self.outcomes: dict[JobKey, Outcome] = {}
        self.executor = Executor(self.outcomes, VALUE)
        self.requests: list[e.Event] = []
        """Of people, jobs and the file system, not yet decided."""
        self.decided: naive.Log = []
        self.to_do: deque[ToDo] = deque()
        self.log: naive.Log = []
        self.absent: set[FileKey] = set()
        self.watched: set[tuple[WorkflowKey, FileKey]] = set()
        self.asking: set[AttemptKey] = set()
        """Attempts that wait for the answer to a store."""
        self.last_told: dict[JobKey | None, Happening] = {}
        """By this daemon, of each job."""
        self.answered: list[SaveValue] = []

    def tick(self) -> Timestamp:
        self.now = Timestamp(self.now + 1_000)
        return self.now

    # The daemon's steps. Each says whether there was anything to do.

    def decide(self, pick: Pick) -> bool:
        """Any of what waits, in any order."""
        waiting = len(self.requests) + len(self.executor.reports)
        if self.scheduler is None or not waiting:
            return False
        n = pick(waiting)
        if n < len(self.requests):
            self.handle(self.requests.pop(n))
        else:
            self.handle(self.executor.reports.pop(n - len(self.requests)))
        return True

    def commit(self, pick: Pick) -> bool:
        if not self.decided:
            return False
        for event, commands in self.decided:
            self.store.commit(commands)
            self.log.append((event, commands))
            for command in commands:
                if isinstance(command, StartAttempt | StopAttempt | RevokeAttempt | WatchFile):
                    self.to_do.append(command)
            if isinstance(event, e.AttemptExited | e.AttemptNotStarted | e.AttemptLost):
                self.to_do.append(Acknowledge(event.attempt_key))
            if isinstance(event, e.StoreRequested) and event.attempt_key is not None:
                [saved] = [c for c in commands if isinstance(c, SaveValue)]
                assert saved.data_key == event.data_key
                self.to_do.append(Answer(event.attempt_key, saved))
        self.decided = []
        assert vars(self.store) == vars(self.view)
        return True

    def act(self, pick: Pick) -> bool:
        if not self.to_do:
            return False
        todo = self.to_do.popleft()
        match todo:
            case WatchFile():
                self.watched.add((todo.workflow_key, todo.file_key))
                if todo.file_key not in self.absent:
                    self._tell_of_file(todo.workflow_key, todo.file_key)
            case Answer():
                self.answered.append(todo.saved)
                self.asking.discard(todo.attempt_key)
                attempt = self.executor.attempts.get(todo.attempt_key)
                if attempt is not None and todo.saved.data_key in attempt.to_store:
                    attempt.to_store.remove(todo.saved.data_key)
            case _:
                self.executor.mailbox.append(todo)
        return True

    def boot(self, pick: Pick) -> bool:
        """The next daemon: load all that is not over. The executor repeats what was not heard."""
        if self.scheduler is not None:
            return False
        self.scheduler = Scheduler(
            next_key=self.store.next_key,
            next_attempt_key=self.store.next_attempt_key,
            next_happening=self.store.next_happening,
        )
        self.executor.meet_daemon()
        for key in self.store.unfinished():
            self.handle(self.store.load(key, frozenset(self.absent), self.tick()))
        return True

    def crash(self, pick: Pick) -> bool:
        """The daemon is killed. Of its last orders the executor may have got some."""
        if self.scheduler is None:
            return False
        before = None
        if not self.decided and not self.scheduler.is_draining:
            before = picture(self.scheduler, self.absent)
        self.scheduler = None
        self.view = self.store.copy()
        self.requests, self.decided, self.executor.reports = [], [], []
        self.watched, self.asking, self.last_told = set(), set(), {}
        self.to_do.clear()
        for _ in range(pick(len(self.executor.mailbox) + 1)):
            self.executor.mailbox.pop()
        if before is not None:
            self._check_that_loading_is_resuming(before)
        return True

    def _check_that_loading_is_resuming(self, before: Any) -> None:
        other = Scheduler(
            next_key=self.store.next_key,
            next_attempt_key=self.store.next_attempt_key,
            next_happening=self.store.next_happening,
        )
        for key in self.store.unfinished():
            other.handle(self.store.load(key, frozenset(self.absent), self.now))
        after = picture(other, self.absent)
        for key, seen in before.items():
            if key in after or not seen["is over"]:
                assert after[key] == seen

    # The executor's and the jobs' steps

    def read_order(self, pick: Pick) -> bool:
        return self.executor.read_order(self.tick())

    def begin(self, pick: Pick) -> bool:
        return self._one_of(pick, self.executor.startable(), self.executor.begin)

    def end(self, pick: Pick) -> bool:
        """None of those told to stop: that one of them ends by itself is a fault of its own."""
        able = [a for a in self.executor.can_end() if not a.is_told_to_stop]
        return self._one_of(pick, able, self.executor.end)

    def kill(self, pick: Pick) -> bool:
        doomed = [a for a in self.executor.of(Life.RUNNING) if a.is_told_to_stop]
        code = (-9, -15, 0, 1)[pick(4)]
        return self._one_of(pick, doomed, lambda a, at: self.executor.kill(a, code, at))

    def job_stores(self, pick: Pick) -> bool:
        able = [
            a
            for a in self.executor.of(Life.RUNNING)
            if a.to_store and a.order.attempt_key not in self.asking
        ]
        return self.scheduler is not None and self._one_of(pick, able, self._ask_to_store)

    def _ask_to_store(self, attempt: Attempt, at: Timestamp) -> None:
        self.asking.add(attempt.order.attempt_key)
        self.requests.append(
            e.StoreRequested(
                workflow_key=attempt.order.workflow_key,
                data_key=attempt.to_store[0],
                value=VALUE,
                attempt_key=attempt.order.attempt_key,
                at=at,
            )
        )

    def _one_of(
        self, pick: Pick, able: list[Attempt], act: Callable[[Attempt, Timestamp], None]
    ) -> bool:
        if able:
            act(able[pick(len(able))], self.tick())
        return bool(able)

    # What surrounds them

    def submit(self, plan: Plan) -> bool:
        """False when it was refused."""
        if self.scheduler is None:
            return False
        workflow = plan.workflow
        self.outcomes |= plan.outcomes
        self.absent -= {file.key for file in workflow.files}
        self.absent |= plan.absent_files
        return self.handle(
            e.SubmitRequested(
                workflow=workflow,
                max_parallel_jobs=plan.max_parallel_jobs,
                initial_values=dict.fromkeys(plan.initial, VALUE),
                absent_files=plan.absent_files,
                wait_for_inputs=plan.wait_for_inputs,
                at=self.tick(),
            )
        )

    def provide(self, key: FileKey) -> None:
        """The file is there now."""
        self.absent.discard(key)
        for workflow_key, file_key in sorted(self.watched):
            if file_key == key:
                self._tell_of_file(workflow_key, file_key)

    def _tell_of_file(self, workflow_key: WorkflowKey, file_key: FileKey) -> None:
        self.requests.append(e.FileAppeared(workflow_key, file_key, self.tick()))

    def workflow(self, key: WorkflowKey) -> Workflow:
        return self.view.workflows[key].workflow

    # One event

    def handle(self, event: e.Event) -> bool:
        """Have it decided, and look at all that must hold. False when it was refused."""
        scheduler = self.scheduler
        assert scheduler is not None
        before = statuses(scheduler)
        try:
            commands = scheduler.handle(event)
        except UserError as error:
            assert violations(scheduler) == []
            assert statuses(scheduler) == before
            self._check_refusal(event, error)
            return False
        assert violations(scheduler) == []
        self.view.commit(commands)
        self.decided.append((event, commands))
        self._check_told(before, commands)
        self._check_choices(commands)
        return True

    def _check_refusal(self, event: e.Event, error: UserError) -> None:
        if isinstance(event, e.StoreRequested) and event.attempt_key is not None:
            attempt = self.executor.attempts.get(event.attempt_key)
            assert attempt is None or attempt.life is Life.OVER, f"a running job was told: {error}"
            self.asking.discard(event.attempt_key)

    def _check_told(self, before: dict[JobKey, JobStatus], commands: list[Command]) -> None:
        assert self.scheduler is not None
        told: dict[JobKey | None, str | None] = {}
        for happening in commands:
            if isinstance(happening, Happening) and happening.kind == "job_changed":
                news = msgspec.structs.replace(happening, number=0, at=Timestamp(0))
                assert self.last_told.get(happening.job_key) != news, "the same is told again"
                self.last_told[happening.job_key] = news
                told[happening.job_key] = happening.status
        for key, status in statuses(self.scheduler).items():
            if before.get(key, status) is not status:
                assert told.get(key) == status.value, f"job {key} is {status}, which is not told"

    def _check_choices(self, commands: list[Command]) -> None:
        assert self.scheduler is not None
        for command in commands:
            if isinstance(command, StopAttempt):
                self._check_stop(command.attempt_key)
            if not isinstance(command, AddAttempt):
                continue
            node = self.scheduler.workflows[command.workflow_key]
            mean = math.inf if node.mean_microseconds is None else max(node.mean_microseconds, 1)
            ahead = node.max_parallel_jobs * choosing.LOOKAHEAD_MICROSECONDS // mean
            assert node.in_flight <= node.max_parallel_jobs + min(ahead, choosing.MAX_LOOKAHEAD)
            row = self.view.workflow_rows[command.workflow_key]
            assert row.status is WorkflowStatus.RUNNING
            assert not row.stopping
            assert not self.scheduler.is_draining
            workflow = self.workflow(command.workflow_key)
            [job] = [job for job in workflow.jobs if job.key == command.job_key]
            assert naive.inputs_are_there(self.view, workflow, job, self.absent), (
                f"{job.name} was chosen before what it needs is there"
            )

    def _check_stop(self, key: AttemptKey) -> None:
        """Only what somebody canceled is killed."""
        attempt = self.view.attempts[key]
        workflow = self.workflow(attempt.workflow_key)
        history = naive.History(workflow, self.log + self.decided)
        assert attempt.job_key in history.canceled_at, "killed, and nobody asked for it"

    # The end of all cruelty

    def calm_down(self) -> None:
        """Nothing bad happens any more, and every wish is granted: then all comes to an end."""

        def first(n: int) -> int:
            return 0

        steps = (
            self.boot,
            self.act,
            self.read_order,
            self.decide,
            self.commit,
            self.job_stores,
            self.kill,
            self.begin,
            self.end,
            self.grant,
        )
        for _ in range(MAX_CALM_STEPS):
            if not any(step(first) for step in steps):
                break
        else:
            raise AssertionError("it does not come to an end")
        assert self.store.unfinished() == []

    def grant(self, pick: Pick) -> bool:
        """Something without which a workflow does not go on."""
        scheduler = self.scheduler
        if scheduler is None:
            return False
        if scheduler.is_draining and self.store.unfinished():
            return self.crash(pick)
        for key in self.store.unfinished():
            if self.store.workflow_rows[key].status is WorkflowStatus.PAUSED:
                self.handle(e.ResumeRequested(key, self.tick()))
                return True
            workflow = self.workflow(key)
            for file in workflow.files:
                if file.key in self.absent and not naive.makers(workflow, file.key):
                    self.provide(file.key)
                    return True
            for data in workflow.user_data:
                if data.key not in self.store.values and not naive.makers(workflow, data.key):
                    self.handle(person_stores(key, data.key, self.tick()))
                    return True
        return False

    def check_the_end(self) -> None:
        """Call when all is calm: everything is over, as it must be, and nothing is left."""
        if self.executor.attempts:
            # Of these an acknowledgement was lost; the next daemon hears of them again.
            self.crash(lambda n: 0)
            self.calm_down()
        assert not self.executor.attempts
        assert self.store.active_attempts() == {}
        for key, created in self.store.workflows.items():
            history = naive.History(created.workflow, self.log)
            for job in created.workflow.jobs:
                status = self.store.status(job.key)
                assert status is history.status(job.key), f"{job.name} of workflow {key}"
                assert status in ENDED
                assert self.store.told[job.key] == status.value
            assert self.store.workflow_rows[key].status is history.workflow_status()
        for saved in self.answered:
            assert self.store.values[saved.data_key][saved.revision - 1] == saved


def person_stores(workflow_key: WorkflowKey, data_key: DataKey, at: Timestamp) -> e.Event:
    return e.StoreRequested(
        workflow_key=workflow_key, data_key=data_key, value=VALUE, attempt_key=None, at=at
    )


def statuses(scheduler: Scheduler) -> dict[JobKey, JobStatus]:
    return {
        key: job.state.status
        for node in scheduler.workflows.values()
        for key, job in node.jobs.items()
    }


def picture(scheduler: Scheduler, absent: set[FileKey]) -> dict[WorkflowKey, Any]:
    """All that must be the same after a restart. What ran is pending until it is heard of."""
    found = {}
    for key, node in scheduler.workflows.items():
        late = [file for file, gate in node.file_gates.items() if gate.missing != (file in absent)]
        if late and node.wait_for_inputs:
            continue  # a file is there of which it has not heard
        gates = {gate.subject: gate for job in node.jobs.values() for gate in job.awaits}
        found[key] = {
            "status": (node.status, node.stopping, node.run_id, node.started_at),
            "is over": node.is_over,
            "in flight": node.in_flight,
            "jobs": {
                job_key: (
                    JobStatus.PENDING
                    if job.state.status is JobStatus.RUNNING
                    else job.state.status,
                    job.is_stopping,
                    job.attempt_id,
                    job.waits,
                )
                for job_key, job in node.jobs.items()
            },
            "gates": {
                subject: (gate.missing, gate.spoiled, gate.made, gate.opens_early)
                for subject, gate in gates.items()
            },
            "data": {
                data_key: (data.revision, data.is_stored_in_run)
                for data_key, data in node.data.items()
            },
        }
    return found
