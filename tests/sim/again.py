"""A make-believe world in which workflows are run again and again, while people edit files, store
values, and repair what fails; and a naive model of what is up to date.

The model has no digests: it remembers of each job all that it saw when it completed, and looks at
all that there is. Jobs here are functions of what they read (or of nothing), so that early cutoff
is real: whatever makes the same again is seen to.
"""

import contextlib
import hashlib
from collections.abc import Iterable

import msgspec

from tests.grouping import grouped
from torcd import value
from torcd.errors import UserError
from torcd.model import (
    ENDED_BADLY,
    AttemptKey,
    DataKey,
    FailureHandler,
    FailureRule,
    File,
    FileKey,
    FileState,
    ForEach,
    Job,
    JobKey,
    JobStatus,
    Timestamp,
    UserData,
    Workflow,
    WorkflowKey,
)
from torcd.scheduler import Scheduler, planning, restarting
from torcd.scheduler import events as e
from torcd.scheduler.commands import AddAttempt, Command, MakeElements, StartAttempt, WakeAt
from torcd.scheduler.invariants import violations
from torcd.scheduler.job_states import Ended, Pending, Running
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode

from . import adding, editing, unfolding, watching
from .store import Store
from .workflows import Pick

Snapshot = dict[tuple[str, str], object]
"""By kind and name: what was there, None for nothing."""


class Memory(msgspec.Struct):
    """What a job saw when it completed last."""

    given: Snapshot
    made: Snapshot
    is_known: bool
    """Nothing of it changed while the job ran, and nothing of it had come badly."""
    number: int
    """Counts the attempts that completed."""
    definition: object
    """What it was."""


class Again:
    def __init__(self, pick: Pick) -> None:
        self.pick = pick
        self.now = 1_000_000
        self.disk: dict[FileKey, str] = {}
        self.values: dict[DataKey, str] = {}
        self.failing: set[JobKey] = set()
        self.failing_scripts: set[JobKey] = set()
        self.timer: Timestamp | None = None
        """When the daemon is to be woken."""
        self.scripts: set[AttemptKey] = set()
        """Attempts that are those of recovery scripts."""
        self.parts: dict[JobKey, tuple[adding.Part, ...]] = {}
        """What jobs add when they run."""
        self.collectors: dict[JobKey, JobKey] = {}
        """Who waits for all that which job adds."""
        self.moods: dict[JobKey, int] = {}
        """What a job makes also depends on this."""
        self.memories: dict[JobKey, Memory] = {}
        self.under_way: dict[AttemptKey, tuple[JobKey, Snapshot]] = {}
        self.after: dict[AttemptKey, AttemptKey] = {}
        """Those that come after others, which are under way."""
        self.begun: set[AttemptKey] = set()
        self.disturbed: set[AttemptKey] = set()
        """Something that they read has changed since they were chosen."""
        self.file_changed: set[AttemptKey] = set()
        """Of these: a file that no job makes has."""
        self.chosen: list[JobKey] = []
        """In this run."""
        self.became_another: set[JobKey] = set()
        """When they had ended in this run, others came to be before them, or what they read became
        another list: they are left to the next run."""
        self.is_forced: set[JobKey] = set()
        """They are to run in this run, whatever they read."""
        self.stored: set[tuple[JobKey, DataKey]] = set()
        """What attempts of this run have stored, and whose they were."""
        self.orders: list[unfolding.Order] = []
        """To make jobs for elements."""
        self.unfolded: set[str] = set()
        """What has come of them."""
        self.folded: set[DataKey] = set()
        """Values that are lists."""
        self.workflow = self._workflow()
        self.reads_nothing = {job.key for job in self.workflow.jobs if not pick(4)}
        """What they make does not depend on what they read."""
        self.store = Store()
        self.log: list[list[Command]] = []
        """What was decided, event by event."""
        self.scheduler = Scheduler()
        initial = {d.key: parsed(bytes(d.data).decode()) for d in self.workflow.user_data if d.data}
        for key, one in initial.items():
            self.values[key] = one.text.decode()
        for file in self.workflow.files:
            if self.maker(file.key) is None:
                self.disk[file.key] = "first"
        self.tell(
            e.SubmitRequested(
                workflow=self.workflow,
                max_parallel_jobs=1 + pick(3),
                initial_values=initial,
                absent_files=frozenset(),
                wait_for_inputs=False,
                at=self.tick(),
            )
        )

    # What there is

    def _workflow(self) -> Workflow:
        pick = self.pick
        n_jobs, n_files, n_data = 2 + pick(5), pick(5), pick(4)
        job_keys = [JobKey(2 + n) for n in range(n_jobs)]
        file_keys = [FileKey(2 + n_jobs + n) for n in range(n_files)]
        data_keys = [DataKey(2 + n_jobs + n_files + n) for n in range(n_data)]
        makers = {key: pick(n_jobs + 1) - 1 for key in (*file_keys, *data_keys)}

        lists: list[tuple[int, ...]] = []

        def read(n: int, keys: list[int]) -> tuple[int, ...]:
            """Often what another job reads, so that there are groups."""
            known = [one for one in lists if one and all(key in keys for key in one)]
            known = [one for one in known if all(makers[key] < n for key in one)]
            if known and pick(2):
                return known[pick(len(known))]
            lists.append(tuple(key for key in keys if makers[key] < n and not pick(2)))
            return lists[-1]

        jobs = tuple(
            Job(
                key=key,
                name=f"j{n}",
                command="true",
                depends_on=tuple(job_keys[m] for m in range(n) if not pick(4)),
                input_files=read(n, file_keys),
                input_user_data=read(n, data_keys),
                output_files=tuple(f for f in file_keys if makers[f] == n),
                output_user_data=tuple(d for d in data_keys if makers[d] == n),
                cancel_on_blocking_job_failure=bool(pick(5)),
                failure_handler="h" if not pick(3) else None,
            )
            for n, key in enumerate(job_keys)
        )
        rule = FailureRule(
            exit_codes=(1,),
            recovery_script="mend" if pick(2) else None,
            max_retries=1 + pick(2),
            backoff_seconds=(0.0, 0.002, 0.02)[pick(3)],
        )
        data = tuple(
            UserData(
                key=key,
                name=f"d{key}",
                data=msgspec.Raw(b"0") if makers[key] < 0 or not pick(4) else None,
                is_ephemeral=not pick(2),
                available="on_store" if not pick(3) else "on_completion",
            )
            for key in data_keys
        )
        workflow = Workflow(
            key=WorkflowKey(1),
            name="w",
            jobs=jobs,
            files=tuple(File(key=key, name=f"f{key}", path=f"/f{key}") for key in file_keys),
            user_data=data,
            failure_handlers=(FailureHandler(name="h", rules=(rule,)),),
            max_retries=None if pick(3) else pick(3),
        )
        if pick(4):
            workflow = unfolding.with_folds(workflow, pick)
        self.folded = {for_each.data for _, for_each in unfolding.folds(workflow)}
        given = tuple(
            msgspec.structs.replace(one, data=msgspec.Raw(self.written(one.key, "0").encode()))
            if one.data is not None
            else one
            for one in workflow.user_data
        )
        workflow = msgspec.structs.replace(workflow, user_data=given)
        return grouped(workflow, lambda members: sum(members) % 3 > 0)

    def written(self, key: DataKey, text: str) -> str:
        """A value, as JSON."""
        return unfolding.some_list(text) if key in self.folded else f'"{text}"'

    @staticmethod
    def parsed(text: str) -> value.Value:
        return parsed(text)

    @property
    def node(self) -> WorkflowNode:
        return self.scheduler.workflows[WorkflowKey(1)]

    @property
    def is_over(self) -> bool:
        return self.node.is_over

    def job(self, key: JobKey) -> Job:
        return next(job for job in self.workflow.jobs if job.key == key)

    def maker(self, key: int) -> Job | None:
        made = [j for j in self.workflow.jobs if key in (*j.output_files, *j.output_user_data)]
        return made[0] if made else None

    def status(self, key: JobKey) -> JobStatus:
        found = self.node.jobs.get(key)
        return JobStatus.BLOCKED if found is None else found.state.status

    def definition(self, job: Job) -> object:
        element = None if job.element is None else job.element.sha256
        return job.command, self.names(job.output_files), self.names(job.output_user_data), element

    def names(self, keys: Iterable[int]) -> set[str]:
        return set(map(self.name, keys))

    def name(self, key: int) -> str:
        """Of a job, a file or a user_data: what was removed and comes back has another key."""
        workflow = self.workflow
        return next(
            item.name
            for items in (workflow.jobs, workflow.files, workflow.user_data)
            for item in items
            if item.key == key
        )

    def states(self) -> dict[FileKey, FileState | None]:
        return {file.key: self.state(file.key) for file in self.workflow.files}

    def state(self, key: FileKey) -> FileState | None:
        text = self.disk.get(key)
        if text is None:
            return None
        return FileState(len(text), self.now, 1, hashlib.sha256(text.encode()).hexdigest())

    # The naive model

    def snapshot(self, job: Job, *, given: bool, at_restart: bool = False) -> Snapshot:
        """`at_restart`: as it will be in a new run."""
        values = self.values | (self.first_values() if at_restart else {})
        found: Snapshot = {}
        for file in self.workflow.input_files(job):
            if (self.maker(file) is None) is given:
                found["file", self.name(file)] = self.disk.get(file)
        for data in self.workflow.input_user_data(job):
            if (self.maker(data) is None) is given:
                found["data", self.name(data)] = values.get(data)
        for key in () if given else self.workflow.depends_on(job):
            found["job", self.name(key)] = self.product(self.job(key))
        return found

    def first_values(self) -> dict[DataKey, str]:
        """Of ephemeral data that only the spec gives a value."""
        found = {}
        for data in self.workflow.user_data:
            if data.is_ephemeral and data.data is not None and self.maker(data.key) is None:
                found[data.key] = bytes(data.data).decode()
        return found

    def product(self, job: Job) -> object:
        if job.output_files or job.output_user_data:
            files = [self.disk.get(key) for key in job.output_files]
            return (*files, *(self.values.get(key) for key in job.output_user_data))
        memory = self.memories.get(job.key)
        return None if memory is None else (job.key, memory.number)

    def before(self, job: Job) -> set[JobKey]:
        found = set(self.workflow.depends_on(job))
        for subject in (*self.workflow.input_files(job), *self.workflow.input_user_data(job)):
            maker = self.maker(subject)
            if maker is not None:
                found.add(maker.key)
        return found

    def all_before(self, job: Job) -> set[JobKey]:
        """With the one that has added it."""
        adder = set() if job.added is None else {job.added.by}
        return self.before(job) | adder

    def in_order(self) -> list[Job]:
        """Each after what it waits for."""
        found: dict[JobKey, Job] = {}
        left = list(self.workflow.jobs)
        while left:
            come = [job for job in left if self.all_before(job) <= found.keys()]
            assert come, "jobs wait for one another"
            found.update((job.key, job) for job in come)
            left = [job for job in left if job.key not in found]
        return list(found.values())

    def has_lost_something(self, job: Job) -> bool:
        return any(key not in self.disk for key in job.output_files) or any(
            key not in self.values for key in job.output_user_data
        )

    def is_stale(self, job: Job, *, but_for_made: bool = False) -> bool:
        """Of a job that is not disabled: it has to run, going by itself."""
        if job.for_each is not None:
            return self._is_another_list(job, job.for_each)
        memory = self.memories.get(job.key)
        if self.status(job.key) is not JobStatus.COMPLETED or memory is None:
            return True
        if not memory.is_known or self.has_lost_something(job):
            return True
        if memory.definition != self.definition(job):
            return True
        given = self.snapshot(job, given=True, at_restart=True)
        # Who makes what it reads may be another one than before, or nobody.
        if {**memory.given, **memory.made} == {**given, **self.snapshot(job, given=False)}:
            return False
        return not but_for_made or memory.given != given

    def _is_another_list(self, job: Job, for_each: ForEach) -> bool:
        values = self.values | self.first_values()
        text = values.get(for_each.data)
        sha256 = None if text is None else parsed(text).sha256
        return self.status(job.key) is not JobStatus.COMPLETED or sha256 != for_each.sha256

    def outlooks(self) -> dict[JobKey, str]:
        """What a restart of all would run, of a workflow that is over."""
        found: dict[JobKey, str] = {}
        live = [job for job in self.in_order() if self.status(job.key) is not JobStatus.DISABLED]
        for job in live:
            moves = any(found.get(key) for key in self.all_before(job))
            if self.is_stale(job, but_for_made=moves):
                found[job.key] = "will_run"
            elif moves:
                found[job.key] = "may_run"
        while True:
            forced = self.makers_of_what_is_cleared(found) - {
                key for key, outlook in found.items() if outlook == "will_run"
            }
            if not forced:
                break
            found |= dict.fromkeys(forced, "will_run")
            for job in live:
                if job.key not in found and any(found.get(key) for key in self.all_before(job)):
                    found[job.key] = "may_run"
        return {job.key: found.get(job.key, "up_to_date") for job in self.workflow.jobs}

    def cleared(self, outlooks: dict[JobKey, str]) -> set[DataKey]:
        found = set()
        for data in self.workflow.user_data:
            maker = self.maker(data.key)
            is_live = maker is not None and self.status(maker.key) is not JobStatus.DISABLED
            readers = {
                outlooks.get(job.key, "up_to_date")
                for job in self.workflow.jobs
                if data.key in self.workflow.input_user_data(job)
            }
            if data.is_ephemeral and is_live and "will_run" in readers:
                found.add(data.key)
            if data.key in self.first_values() and readers & {"will_run", "may_run"}:
                found.add(data.key)
        return found

    def makers_of_what_is_cleared(self, outlooks: dict[JobKey, str]) -> set[JobKey]:
        makers = [self.maker(key) for key in self.cleared(outlooks)]
        return {
            maker.key
            for maker in makers
            if maker is not None and self.status(maker.key) is not JobStatus.DISABLED
        }

    # What happens

    def tick(self) -> Timestamp:
        self.now += 1_000
        return Timestamp(self.now)

    def tell(self, event: e.Event) -> list[Command] | None:
        """None when it was refused."""
        before = watching.statuses(self.scheduler)
        is_new = isinstance(event, e.SubmitRequested)
        stale = {j.key for j in self.workflow.jobs if is_new or self._may_start(j)}
        try:
            commands = self.scheduler.handle(event)
        except UserError:
            assert violations(self.scheduler) == []
            assert watching.statuses(self.scheduler) == before
            return None
        assert violations(self.scheduler) == []
        if isinstance(event, e.ElementsMade) and self.node.workflow is event.edit.workflow:
            editing.becomes(self, event.edit.workflow, before)
        self.store.commit(commands)
        self.log.append(commands)
        for command in commands:
            if isinstance(command, WakeAt):
                self.timer = command.at
            if isinstance(command, MakeElements):
                self.orders.append(unfolding.begin(self, command))
            if isinstance(command, AddAttempt) and command.is_recovery:
                self.scripts.add(command.attempt_key)
                self.under_way[command.attempt_key] = command.job_key, {}
            elif isinstance(command, AddAttempt):
                job = self.job(command.job_key)
                adding.check_start(self, self.node.jobs[job.key])
                self.chosen.append(job.key)
                self.under_way[command.attempt_key] = job.key, self._seen(job)
                assert job.for_each is None
                assert job.key in stale or self._may_start(job), f"{job.name} need not run"
            elif isinstance(command, StartAttempt) and command.after is not None:
                self.after[command.attempt_key] = command.after
        return commands

    def _may_start(self, job: Job) -> bool:
        """It would do something, going by what there is."""
        memory = self.memories.get(job.key)
        if job.key in self.is_forced or memory is None or not memory.is_known:
            return True
        if memory.definition != self.definition(job):
            return True
        if any(self.status(key) in ENDED_BADLY for key in self.before(job)):
            return True  # it may have left anything behind
        return {**memory.given, **memory.made} != self._seen(job)

    def _seen(self, job: Job) -> Snapshot:
        return {**self.snapshot(job, given=True), **self.snapshot(job, given=False)}

    def look_for_disturbed(self) -> None:
        """Call after anything may have changed under what runs."""
        for attempt, (key, seen) in self.under_way.items():
            now = self._seen(self.job(key))
            changed = {thing for thing in seen if now[thing] != seen[thing]}
            if changed:
                self.disturbed.add(attempt)
            given = self.snapshot(self.job(key), given=True)
            if any(thing in given for thing in changed if thing[0] == "file"):
                self.file_changed.add(attempt)

    def step(self) -> bool:
        """One attempt goes on. False: none is under way."""
        if self.orders and not (self.under_way and self.pick(4)):
            unfolding.answer(self, self.orders.pop(self.pick(len(self.orders))))
            return True
        if not self.under_way:
            return self._time_passes()
        attempts = [key for key in sorted(self.under_way) if self._may_go_on(key)]
        attempt = attempts[self.pick(len(attempts))]
        key, _ = self.under_way[attempt]
        state = self.node.jobs[key].state
        if isinstance(state, Pending):
            if state.stop is not None:
                self._does_not_start(attempt)
                return True
            self.begun.add(attempt)
            self.tell(e.AttemptStarted(attempt, self.tick()))
            if attempt not in self.scripts:
                self._store_early(attempt, self.job(key))
            return True
        assert isinstance(state, Running)
        if attempt in self.scripts:
            self._end_script(attempt, self.job(key))
        else:
            self._end(attempt, self.node.jobs[key])
        return True

    def _may_go_on(self, attempt: AttemptKey) -> bool:
        state = self.node.jobs[self.under_way[attempt][0]].state
        return attempt not in self.after or (isinstance(state, Pending) and state.stop is not None)

    def _does_not_start(self, attempt: AttemptKey) -> None:
        self.after.pop(attempt, None)
        del self.under_way[attempt]
        self.tell(e.AttemptNotStarted(attempt, None, self.tick()))
        for follower in self._followers(attempt):
            self._does_not_start(follower)

    def _followers(self, attempt: AttemptKey) -> list[AttemptKey]:
        return [follower for follower, leader in self.after.items() if leader == attempt]

    def _lead_on(self, attempt: AttemptKey) -> None:
        """It has ended well: those after it see what it has made."""
        for follower in self._followers(attempt):
            del self.after[follower]
            key, seen = self.under_way[follower]
            now = self._seen(self.job(key))
            made = {thing: now[thing] for thing in seen if thing[0] == "job"}
            self.under_way[follower] = key, {**seen, **made}

    def _time_passes(self) -> bool:
        """Until somebody has rested."""
        if self.timer is None:
            return False
        self.now, self.timer = max(self.now, self.timer), None
        self.tell(e.TimePassed(Timestamp(self.now)))
        return True

    def _end_script(self, attempt: AttemptKey, job: Job) -> None:
        del self.under_way[attempt]
        state = self.node.jobs[job.key].state
        assert isinstance(state, Running)
        fails = job.key in self.failing_scripts or state.stop is not None
        # What it had read early may have gone bad meanwhile; then it is not tried again.
        bad = any(self.status(key) in ENDED_BADLY for key in self.before(job))
        is_canceled = bad and job.cancel_on_blocking_job_failure
        self.tell(
            e.AttemptExited(
                attempt_key=attempt,
                return_code=1 if fails else 0,
                cpu_seconds=None,
                peak_memory_bytes=None,
                outputs=e.Outputs(),
                at=self.tick(),
            )
        )
        assert (self.status(job.key) in ENDED_BADLY) == (fails or is_canceled)

    def _store_early(self, attempt: AttemptKey, job: Job) -> None:
        for data in self.workflow.user_data:
            if data.key in job.output_user_data and data.available == "on_store":
                self._store(data.key, self._made(job), attempt)

    def _store(self, key: DataKey, text: str, attempt: AttemptKey | None) -> None:
        self.values[key] = self.written(key, text)
        if attempt is not None:
            self.stored.add((self.under_way[attempt][0], key))
        self.tell(
            e.StoreRequested(
                workflow_key=WorkflowKey(1),
                data_key=key,
                value=parsed(self.values[key]),
                attempt_key=attempt,
                at=self.tick(),
            )
        )
        self.look_for_disturbed()

    def _made(self, job: Job) -> str:
        """What it makes of what it reads."""
        mood = self.moods.get(job.key, 0)
        read = [] if job.key in self.reads_nothing else sorted(map(str, self._read(job)))
        element = None if job.element is None else job.element.sha256
        return hashlib.sha256(repr((job.name, mood, read, element)).encode()).hexdigest()[:12]

    def _read(self, job: Job) -> list[tuple[int, str | None]]:
        files = [(int(key), self.disk.get(key)) for key in self.workflow.input_files(job)]
        data = [(int(key), self.values.get(key)) for key in self.workflow.input_user_data(job)]
        return files + data

    def _end(self, attempt: AttemptKey, node: JobNode) -> None:
        adding.adds(self, attempt, node)
        node = self.node.jobs[node.job.key]
        job = node.job
        assert isinstance(node.state, Running)
        fails = job.key in self.failing or node.state.stop is not None
        made = self._made(job)
        if not fails or self.pick(2):
            self.disk |= dict.fromkeys(job.output_files, made)
        stored = [
            key for key in job.output_user_data if self.node.data[key].data.available != "on_store"
        ]
        if not fails:
            self.values |= {key: self.written(key, made) for key in stored}
        del_under_way = self.under_way.pop(attempt)
        looked_at = [
            *job.output_files,
            *(
                file.key
                for file in self.workflow.files
                if (maker := self.maker(file.key)) is None
                or self.status(maker.key) is JobStatus.DISABLED
            ),
        ]
        self.look_for_disturbed()
        outputs = e.Outputs()
        if not fails:
            outputs = e.Outputs(
                values=tuple((key, parsed(self.written(key, made))) for key in stored),
                files=tuple((key, self.state(key)) for key in looked_at),
                inputs_changed=attempt in self.file_changed,
            )
        bad = any(self.status(key) in ENDED_BADLY for key in self.before(job))
        is_known = attempt not in self.disturbed and not bad and not self._waits_again(job)
        if fails:
            self.is_forced.add(job.key)  # perhaps it is tried again
        else:
            number = self.memories[job.key].number + 1 if job.key in self.memories else 1
            self.memories[job.key] = Memory(
                self.snapshot(job, given=True),
                self.snapshot(job, given=False),
                is_known,
                number,
                self.definition(job),
            )
            self.is_forced.discard(job.key)
            self._has_written(job)
            self._lead_on(attempt)
        assert del_under_way[0] == job.key
        fallen = self._followers(attempt) if fails else []
        told_before = fallen if self.pick(2) else []
        for follower in told_before:
            self._does_not_start(follower)
        withdrawal = None if fails else adding.withdrawal(self, attempt, node)
        removes = withdrawal is not None and adding.comes_to_pass(self, withdrawal)
        if withdrawal is not None and removes:
            editing.becomes(self, withdrawal.workflow, watching.statuses(self.scheduler))
        self.tell(
            e.AttemptExited(
                attempt_key=attempt,
                return_code=1 if fails else 0,
                cpu_seconds=None,
                peak_memory_bytes=None,
                outputs=outputs,
                at=self.tick(),
                withdrawal=withdrawal,
            )
        )
        for follower in fallen if not told_before else ():
            self._does_not_start(follower)
        self.look_for_disturbed()
        assert self.node.workflow == self.workflow
        if removes:
            adding.check_removed(self, job.key, withdrawal)
        if not fails:
            assert self.status(job.key) is JobStatus.COMPLETED
        self.disturbed.discard(attempt)

    def _has_written(self, job: Job) -> None:
        """It was put back when others that read its files had been chosen: they may have read them
        while they were written, though what is in them now is what was."""
        for attempt, (key, _) in self.under_way.items():
            if not set(job.output_files).isdisjoint(self.workflow.input_files(self.job(key))):
                self.disturbed.add(attempt)

    def _waits_again(self, job: Job) -> bool:
        """Something that it waits for was put back after it had been chosen."""
        early = {d.key for d in self.workflow.user_data if d.available == "on_store"}
        before = set(self.workflow.depends_on(job))
        for subject in (*self.workflow.input_files(job), *self.workflow.input_user_data(job)):
            maker = self.maker(subject)
            if maker is None or (subject in early and (maker.key, subject) in self.stored):
                continue
            before.add(maker.key)
        return any(
            self.status(key) not in (*ENDED_BADLY, JobStatus.COMPLETED, JobStatus.DISABLED)
            for key in before
        )

    def crash(self) -> None:
        """The daemon dies between two events, and the next one loads what is on disk."""
        if self.timer is not None and self.timer <= self.now:
            self._time_passes()
        before = watching.picture(self.scheduler, set())
        self.timer = None
        self.orders.clear()
        self.scheduler = Scheduler(
            next_key=self.store.next_key,
            next_attempt_key=self.store.next_attempt_key,
            next_happening=self.store.next_happening,
            is_loading=True,
        )
        loaded = self.store.load(WorkflowKey(1), frozenset(), Timestamp(self.now))
        commands = self.scheduler.handle(loaded)
        self.store.commit(commands)
        self.log.append(commands)
        for command in commands:
            if isinstance(command, WakeAt):
                self.timer = command.at
            if isinstance(command, MakeElements):
                self.orders.append(unfolding.begin(self, command))
        after = watching.picture(self.scheduler, set())
        assert before == after
        for attempt in sorted(self.begun & self.under_way.keys()):
            self.tell(e.AttemptStarted(attempt, self.tick()))
        assert self.tell(e.LoadingEnded(self.tick())) == []
        assert violations(self.scheduler) == []

    # What people do

    def restart(self, selection: e.Selection) -> bool:
        """False: refused, or nothing had to run."""
        run_id = self.node.run_id
        files = self.states()
        outlooks: dict[JobKey, str] = {}
        to_clear: set[DataKey] = set()
        if self.is_over:
            plan = planning.plan(self.node, selection, files)
            outlooks = {key: verdict.outlook for key, verdict in plan.verdicts.items()}
            to_clear = set(plan.to_clear)
            if selection == e.Selection():
                assert outlooks == self.outlooks()
                assert to_clear == self.cleared(outlooks)
        will_run = {key for key, outlook in outlooks.items() if outlook == "will_run"}
        before = self.is_forced, dict(self.values), self.stored
        self._is_to_begin(will_run, to_clear)
        event = e.RestartRequested(
            workflow_key=WorkflowKey(1), selection=selection, files=files, at=self.tick()
        )
        if event.at % 2:
            # Prepared before, or decided in one go: it comes to the same.
            with contextlib.suppress(UserError):
                prepared = restarting.prepare(self.node, event, self.scheduler.capacity)
                event = msgspec.structs.replace(event, prepared=prepared)
        commands = self.tell(event)
        if not commands:
            self.is_forced, self.values, self.stored = before
            assert commands is None or not will_run
            assert self.node.run_id == run_id
            return False
        assert self.node.run_id == run_id + 1
        assert will_run
        return True

    def begins_again(self, plan: planning.Plan) -> None:
        """An edit begins a new run."""
        will_run = {key for key, one in plan.verdicts.items() if one.outlook == "will_run"}
        self._is_to_begin(will_run, set(plan.to_clear))

    def _is_to_begin(self, will_run: set[JobKey], to_clear: set[DataKey]) -> None:
        self.is_forced = will_run
        for key in to_clear:
            [data] = [one for one in self.workflow.user_data if one.key == key]
            self.values.pop(key, None)
            if data.data is not None:
                self.values[key] = bytes(data.data).decode()
            assert data.is_ephemeral
        self.chosen = []
        self.became_another = set()
        self.stored = set()

    def check_the_end(self) -> None:
        """A restart of all has come to its end, and nobody has meddled: what completed is as it
        would be had it just run, and a second restart finds nothing to do but what ended badly, of
        which nobody can tell, or of which something was added only when it had ended."""
        plan = planning.plan(self.node, e.Selection(), self.states())
        assert {key: one.outlook for key, one in plan.verdicts.items()} == self.outlooks()
        left = {job.key for job in self.workflow.jobs if self._is_left_over(job)}
        for job in self.workflow.jobs:
            if self.status(job.key) is JobStatus.COMPLETED and job.key not in left:
                assert not self.is_stale(job), f"{job.name} was not run, and is not up to date"
        for job in self.workflow.jobs:
            state = self.node.jobs[job.key].state
            assert isinstance(state, Ended) or state.status is JobStatus.DISABLED
        if not left:
            assert not self.restart(e.Selection())

    def _is_left_over(self, job: Job) -> bool:
        if self.status(job.key) is JobStatus.DISABLED:
            return False
        memory = self.memories.get(job.key)
        is_bad = self.status(job.key) in ENDED_BADLY or job.key in self.became_another
        if job.for_each is not None:
            return is_bad
        return is_bad or memory is None or not memory.is_known


def parsed(text: str) -> value.Value:
    return value.parse(text.encode(), name="a value")
