"""A make-believe world around the real scheduler, in virtual time.

The daemon of this world goes its four steps one by one: decide an event, commit what was decided,
act on it, answer who asked. Between any two of them anything else may happen, and the daemon may
die: then what was not committed has never been, and what was not carried out is not carried out.
The disk may be full: then a commit is refused, and all stands still until there is room; only what
is urgent may be committed meanwhile.

The log has every event that was committed, with the commands that came of it: what the reference
model judges the end by.
"""

from collections import deque
from collections.abc import Callable

import msgspec

from torcd import value
from torcd.errors import UserError
from torcd.model import (
    AttemptKey,
    DataKey,
    FileKey,
    Happening,
    JobKey,
    Timestamp,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.commands import (
    Command,
    FreezeAttempt,
    RevokeAttempt,
    SaveValue,
    StartAttempt,
    StartCommand,
    StopAttempt,
    ThawAttempt,
    WakeAt,
    WatchFile,
)
from torcd.scheduler.invariants import violations
from torcd.scheduler.standstill import URGENT, Standstill

from . import naive, watching
from .executor import Acknowledge, Attempt, Executor, Life, Order, Outcome, Owner
from .store import Store
from .workflows import CAPACITY, Pick, Plan

VALUE = value.parse(b"1", name="a value")

MAX_CALM_STEPS = 3_000
"""Far more than the largest workflows of this world need to come to their end."""


CARRIED_OUT = (
    StartAttempt,
    StartCommand,
    StopAttempt,
    RevokeAttempt,
    FreezeAttempt,
    ThawAttempt,
    WatchFile,
    WakeAt,
)


class Answer(msgspec.Struct, frozen=True):
    """What a job is told when its store is on disk."""

    attempt_key: AttemptKey
    saved: SaveValue


ToDo = Order | WatchFile | WakeAt | Answer


class World:
    def __init__(self) -> None:
        self.now = Timestamp(1_000_000)
        self.store = Store()
        self.view = Store()
        """What the store will be when all that was decided is committed."""
        self.scheduler: Scheduler | None = Scheduler(capacity=CAPACITY)
        self.outcomes: dict[Owner, Outcome] = {}
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
        self.timer: Timestamp | None = None
        """When the daemon is to be woken."""
        self.disk_is_full = False
        self._is_draining = False
        self.standstill: Standstill | None = None
        """What the daemon knows while it stands still."""

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
            event = self.requests.pop(n)
        else:
            event = self.executor.take_report(n - len(self.requests))
        if self._comes_too_late(event):
            return True
        if self.standstill is None:
            self.handle(event)
        elif isinstance(event, URGENT) and pick(3):
            self._do_what_is_urgent(event, pick)
        else:
            self._note(event)
        return True

    def _comes_too_late(self, event: e.Event) -> bool:
        """In a workflow that is over jobs can be disabled and enabled, too. Here nobody does: that
        is the world of `again`, whose model knows of more than one attempt of a job."""
        if self.scheduler is None or not isinstance(event, e.DisableRequested | e.EnableRequested):
            return False
        node = self.scheduler.workflows.get(event.workflow_key)
        return node is not None and node.is_over

    def commit(self, pick: Pick) -> bool:
        if not self.decided:
            return False
        if self.disk_is_full:
            self._stand_still()
            return True
        for event, commands in self.decided:
            self.store.commit(commands)
            self.log.append((event, commands))
            for command in commands:
                if isinstance(command, CARRIED_OUT):
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
            case WakeAt():
                self.timer = todo.at
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
            capacity=CAPACITY,
            is_loading=True,
        )
        self.executor.meet_daemon()
        for key in self.store.unfinished():
            self.handle(self.store.load(key, frozenset(self.absent), self.tick()))
            watching.check_orders_are_repeated(self, key, self.decided[-1][1])
        self.handle(e.LoadingEnded(self.tick()))
        return True

    def crash(self, pick: Pick) -> bool:
        """The daemon is killed. Of its last orders the executor may have got some."""
        if self.scheduler is None:
            return False
        before = None
        if not self.decided and not self.scheduler.is_draining:
            before = watching.picture(self.scheduler, self.absent)
        self.scheduler = None
        self.standstill = None
        self.view = self.store.copy()
        self.requests, self.decided, self.executor.reports = [], [], []
        self.watched, self.asking, self.last_told = set(), set(), {}
        self.to_do.clear()
        self.timer = None
        for _ in range(pick(len(self.executor.mailbox) + 1)):
            self.executor.mailbox.pop()
        if before is not None:
            watching.check_that_loading_is_resuming(self, before)
        return True

    def room_is_made(self, pick: Pick) -> bool:
        """The disk has room again, and if it was found full, everything goes on."""
        if not self.disk_is_full or pick(12):
            return False
        self.disk_is_full = False
        standstill, self.standstill = self.standstill, None
        if standstill is not None:
            assert self.scheduler is not None
            self.last_told = {}
            self._start_over(is_draining=self._is_draining)
            for event in self._what_is_known(standstill):
                self.handle(event)
            self.commit(pick)
            for end in standstill.end():
                attempt = self.executor.attempts.get(end.attempt_key)
                known = None if attempt is None else attempt.final
                # What it left behind is looked at again.
                self.executor.reports.append(end if known is None else known)
        return True

    def _do_what_is_urgent(self, event: e.Event, pick: Pick) -> None:
        """In the room that is kept for that; unless it is spent, and it has never been."""
        assert self.scheduler is not None
        standstill, self.standstill = self.standstill, None
        assert standstill is not None
        self.last_told = {}
        self._start_over(is_draining=True)
        for known in self._what_is_known(standstill):
            self.handle(known)
        self.handle(event)
        self.standstill = standstill
        if pick(3) == 2:
            self._stand_still()
            return
        is_full, self.disk_is_full = self.disk_is_full, False
        self.commit(pick)
        self.disk_is_full = is_full

    def _stand_still(self) -> None:
        """What was decided is forgotten, but not what is true."""
        assert self.scheduler is not None
        if self.standstill is None:
            self.standstill = Standstill()
            self._is_draining = self.scheduler.is_draining
        undone, self.decided = self.decided, []
        self.standstill.remember(self.scheduler, [c for _, cs in undone for c in cs])
        self.view = self.store.copy()
        self.last_told = {}
        self._start_over(is_draining=True)
        for event in self._what_is_known(self.standstill):
            self._only_wake(self.scheduler.handle(event))
        assert violations(self.scheduler) == []
        assert set(self.scheduler.active_attempts) == set(self.store.active_attempts())
        for event, _ in undone:
            self._note(event)

    def _start_over(self, *, is_draining: bool) -> None:
        assert self.scheduler is not None
        self.scheduler.start_over(
            next_key=self.store.next_key,
            next_attempt_key=self.store.next_attempt_key,
            next_happening=self.store.next_happening,
            is_draining=is_draining,
        )

    def _what_is_known(self, standstill: Standstill) -> list[e.Event]:
        absent = frozenset(self.absent)
        loaded = [self.store.load(key, absent, self.tick()) for key in self.store.unfinished()]
        return [*loaded, *standstill.starts, e.LoadingEnded(self.tick())]

    def _note(self, event: e.Event) -> None:
        """It comes while all stands still: requests are refused, and facts stay true."""
        assert self.scheduler is not None
        assert self.standstill is not None
        if isinstance(event, e.StoreRequested) and event.attempt_key is not None:
            self.asking.discard(event.attempt_key)  # the job asks again
        elif isinstance(event, e.DrainRequested):
            self._is_draining = True
        elif isinstance(event, e.WorkflowLoaded):
            self.scheduler.handle(event)
        self._only_wake(self.standstill.note(self.scheduler, event))
        assert violations(self.scheduler) == []

    def _only_wake(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, WakeAt):
                self.timer = command.at

    def time_passes(self, pick: Pick) -> bool:
        """Until a runtime limit is reached; sometimes the timer is early."""
        if self.scheduler is None or self.timer is None:
            return False
        if pick(8) == 7:
            self.requests.append(e.TimePassed(self.tick()))
            return True
        self.now = Timestamp(max(self.now, self.timer))
        self.timer = None
        self.requests.append(e.TimePassed(self.tick()))
        return True

    # The executor's and the jobs' steps

    @property
    def is_something_under_way(self) -> bool:
        """Somebody has yet to hear of something; or to act on it, when there is room."""
        if self.standstill is not None:
            return True
        return bool(self.decided or self.to_do or self.executor.mailbox or self.executor.reports)

    def read_order(self, pick: Pick) -> bool:
        has_read = self.executor.read_order(self.tick())
        watching.check_freezing(self)
        return has_read

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
            for a in self.executor.at_work()
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
        if self.standstill is not None:
            self._note(event)
            return False
        before = watching.statuses(scheduler)
        try:
            commands = scheduler.handle(event)
        except UserError as error:
            assert violations(scheduler) == []
            assert watching.statuses(scheduler) == before
            if isinstance(event, e.StoreRequested) and event.attempt_key is not None:
                self.asking.discard(event.attempt_key)
            watching.check_refusal(self, event, error)
            return False
        assert violations(scheduler) == []
        self.view.commit(commands)
        self.decided.append((event, commands))
        watching.check_told(self, before, commands)
        watching.check_choices(self, commands)
        watching.check_values(event, commands)
        watching.check_shares(self)
        return True

    # The end of all cruelty

    def calm_down(self) -> None:
        """Nothing bad happens any more, and every wish is granted: then all comes to an end."""

        def first(n: int) -> int:
            return 0

        steps = (
            self.room_is_made,
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
        watching.check_the_end(self)


def person_stores(workflow_key: WorkflowKey, data_key: DataKey, at: Timestamp) -> e.Event:
    return e.StoreRequested(
        workflow_key=workflow_key, data_key=data_key, value=VALUE, attempt_key=None, at=at
    )
