"""How it must end: a reference that shares no code with the scheduler.

It looks at a whole history at once (the events that were accepted and committed, in their order)
and says of each job how it must have ended, by a definition that recurs over what it depends on.
It does not say when anything is decided; `inputs_are_there` says when a job may be chosen.
"""

import math
from collections.abc import Iterator, Set

from torcd.model import (
    AttemptKey,
    DataKey,
    FileKey,
    Job,
    JobKey,
    JobStatus,
    Timestamp,
    Workflow,
    WorkflowStatus,
)
from torcd.scheduler import events as e
from torcd.scheduler.commands import AddAttempt, Command

from .store import Store

BAD = {JobStatus.FAILED, JobStatus.CANCELED, JobStatus.TERMINATED}
DONE = {JobStatus.COMPLETED, JobStatus.DISABLED}

Log = list[tuple[e.Event, list[Command]]]


def makers(workflow: Workflow, key: int) -> list[Job]:
    return [job for job in workflow.jobs if key in job.output_files or key in job.output_user_data]


def producers(workflow: Workflow, job: Job) -> Iterator[tuple[int | None, JobKey]]:
    """Each job it waits for, with the file or value it waits for it because of."""
    for key in workflow.depends_on(job):
        yield None, key
    for subject in (*workflow.input_files(job), *workflow.input_user_data(job)):
        for maker in makers(workflow, subject):
            yield subject, maker.key


def inputs_are_there(
    store: Store,
    workflow: Workflow,
    job: Job,
    absent_files: Set[FileKey],
    leader: JobKey | None = None,
) -> bool:
    """Whether the job may be chosen, going by the rows; if it comes after `leader`, when that has
    ended well."""
    good = DONE if job.cancel_on_blocking_job_failure else DONE | BAD
    early = {d.key for d in workflow.user_data if d.available == "on_store"}
    for subject, key in producers(workflow, job):
        status = JobStatus.COMPLETED if key == leader else store.status(key)
        if status in DONE | BAD:
            if status not in good:
                return False
        elif subject not in early or key not in store.makers(DataKey(subject or 0)):
            return False
    for data in workflow.input_user_data(job):
        statuses = {store.status(maker.key) for maker in makers(workflow, data)}
        if statuses <= {JobStatus.DISABLED} and not store.values.get(data):
            return False
    return not any(not makers(workflow, f) and f in absent_files for f in workflow.input_files(job))


class History:
    """What people asked for and what became of attempts, in one workflow."""

    def __init__(self, workflow: Workflow, log: Log) -> None:
        self.workflow = workflow
        self.jobs = {job.key: job for job in workflow.jobs}
        self.is_canceled = False
        self.canceled_at: dict[JobKey, int] = {}
        self.disabled: set[JobKey] = set()
        self.ever_disabled: set[JobKey] = set()
        self.stored_at: dict[DataKey, int] = {}
        self.fates: dict[JobKey, tuple[int, e.AttemptExited | e.AttemptLost | str]] = {}
        """When and how its attempt ended; a text is why it could not be started."""
        self.taken_back_at: dict[JobKey, int] = {}
        self.timed_out_at: dict[JobKey, int] = {}
        """When it was found to have run for too long; not of those canceled before."""
        self.in_time: set[JobKey] = set()
        """Those that ended by themselves before that, though it became known later."""
        self.started: dict[JobKey, Timestamp] = {}
        """Of what runs, as far as this daemon has heard."""
        self.frozen_since: Timestamp | None = None
        self.frozen: dict[JobKey, int] = {}
        """How long each attempt was frozen."""
        job_of: dict[AttemptKey, JobKey] = {}
        for at, (event, commands) in enumerate(log):
            self._note(at, event, job_of)
            for command in commands:
                if isinstance(command, AddAttempt) and command.workflow_key == workflow.key:
                    job_of[command.attempt_key] = command.job_key
                    self.frozen[command.job_key] = 0

    def _note(self, at: int, event: e.Event, job_of: dict[AttemptKey, JobKey]) -> None:
        match event:
            case e.CancelRequested(workflow_key=self.workflow.key):
                self.is_canceled |= event.jobs is None
                if event.jobs is None:
                    self.frozen_since = None
                for key in self.jobs if event.jobs is None else event.jobs:
                    if key not in self.disabled:
                        self.canceled_at.setdefault(key, at)
            case e.DisableRequested(workflow_key=self.workflow.key):
                self.disabled |= set(event.jobs)
                self.ever_disabled |= set(event.jobs)
            case e.EnableRequested(workflow_key=self.workflow.key):
                self.disabled -= set(event.jobs)
            case e.WorkflowLoaded() if event.workflow.key == self.workflow.key:
                self.started = {}
            case e.AttemptStarted() if event.attempt_key in job_of:
                self.started.setdefault(job_of[event.attempt_key], event.at)
            case e.PauseRequested(workflow_key=self.workflow.key, freezes=True):
                if self.frozen_since is None:
                    self.frozen_since = event.at
            case e.ResumeRequested(workflow_key=self.workflow.key):
                self._thaw(event.at, set(job_of.values()))
            case e.TimePassed() if self.frozen_since is None:
                for key in self.started:
                    if key not in self.canceled_at and self._limit(key) <= event.at:
                        self.timed_out_at.setdefault(key, at)
            case e.StoreRequested(workflow_key=self.workflow.key):
                self.stored_at.setdefault(event.data_key, at)
            case e.AttemptExited() | e.AttemptLost() | e.AttemptNotStarted():
                # The first that is said of an attempt's end counts.
                job = job_of.pop(event.attempt_key, None)
                if job is None:
                    return
                started = self.started.get(job)
                if started is not None and isinstance(event, e.AttemptExited):
                    is_own = event.return_code not in (-9, -15)
                    if is_own and started <= event.at < self._limit(job):
                        self.in_time.add(job)
                self.started.pop(job, None)
                if isinstance(event, e.AttemptExited) and event.return_code == 0:
                    for key, _ in event.outputs.values:
                        self.stored_at.setdefault(key, at)
                if not isinstance(event, e.AttemptNotStarted):
                    self.fates[job] = at, event
                elif event.problem is not None:
                    self.fates[job] = at, event.problem
                else:
                    self.taken_back_at[job] = at

    def _thaw(self, at: Timestamp, active: set[JobKey]) -> None:
        """The time does not count; of what is not known to run all of it does not."""
        since, self.frozen_since = self.frozen_since, None
        if since is None:
            return
        for key in active - self.canceled_at.keys() - self.timed_out_at.keys():
            self.frozen[key] += max(1, at - max(since, self.started.get(key, since)))

    def _limit(self, key: JobKey) -> float:
        """When a job that runs has run for long enough."""
        asks = self.jobs[key].resources
        if asks is None or asks.runtime_seconds is None:
            return math.inf
        return self.started[key] + asks.runtime_seconds * 1_000_000 + self.frozen[key]

    def _ended_well_when_canceled(self, key: JobKey) -> bool:
        """What comes after it may have started before that was known; and is killed then."""
        fate = self.fates[key][1] if key in self.fates else None
        is_well = isinstance(fate, e.AttemptExited) and fate.return_code == 0
        makes = self.jobs[key].output_files or self.jobs[key].output_user_data
        return is_well and not makes and self.status(key) is JobStatus.CANCELED

    def status(self, key: JobKey) -> JobStatus:
        job = self.jobs[key]
        if key in self.disabled:
            return JobStatus.DISABLED
        culprits = [
            (subject, producer)
            for subject, producer in producers(self.workflow, job)
            if job.cancel_on_blocking_job_failure and self.status(producer) in BAD
        ]
        if key not in self.fates:
            assert key in self.canceled_at or culprits or self._is_never_made(job), (
                f"{job.name} did not run, and nothing kept it from it"
            )
            return JobStatus.CANCELED
        at, fate = self.fates[key]
        if isinstance(fate, str):
            was_stopped = self.canceled_at.get(key, at) < at or any(
                self._ended_at(producer) < at for _, producer in culprits
            )
            return JobStatus.CANCELED if was_stopped else JobStatus.FAILED
        early = {d.key for d in self.workflow.user_data if d.available == "on_store"}
        strict = [
            producer
            for subject, producer in culprits
            if subject not in early and producer not in self.ever_disabled
        ]
        assert all(self._ended_well_when_canceled(producer) for producer in strict), (
            f"{job.name} ran, though what it needs ended badly"
        )
        if strict:
            return JobStatus.CANCELED
        if self.timed_out_at.get(key, at) < at:
            if key not in self.in_time:
                return JobStatus.TERMINATED
        elif self.canceled_at.get(key, at) < at:
            return JobStatus.CANCELED
        return self._verdict(job, at, fate)

    def _ended_at(self, key: JobKey) -> int:
        """When a job that ended badly did."""
        if key in self.fates:
            return self.fates[key][0]
        causes = [self.canceled_at[key]] if key in self.canceled_at else []
        for _, producer in producers(self.workflow, self.jobs[key]):
            if self.status(producer) in BAD:
                causes.append(self._ended_at(producer))
        # One that had been chosen ended only when it had been taken back.
        return max(min(causes, default=0), self.taken_back_at.get(key, 0))

    def _verdict(self, job: Job, at: int, fate: e.AttemptExited | e.AttemptLost) -> JobStatus:
        is_good = (
            isinstance(fate, e.AttemptExited)
            and fate.return_code == 0
            and fate.outputs.problem is None
            and not fate.outputs.missing_files
            and all(self.stored_at.get(key, at + 1) <= at for key in job.output_user_data)
        )
        return JobStatus.COMPLETED if is_good else JobStatus.FAILED

    def _is_never_made(self, job: Job) -> bool:
        return any(
            found and all(maker.key in self.ever_disabled for maker in found)
            for found in (
                makers(self.workflow, subject)
                for subject in (
                    *self.workflow.input_files(job),
                    *self.workflow.input_user_data(job),
                )
            )
        )

    def workflow_status(self) -> WorkflowStatus:
        if self.is_canceled:
            return WorkflowStatus.CANCELED
        good = all(self.status(key) in DONE for key in self.jobs)
        return WorkflowStatus.COMPLETED if good else WorkflowStatus.FAILED
