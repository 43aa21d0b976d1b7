"""A make-believe database: it keeps what the records say, and refuses what its constraints forbid.

Only what was committed is in it. A row that cannot be (an attempt added twice, a revision left
out, an ended job that lives on) is an AssertionError here, as it would be a failed commit there.
"""

from collections import Counter

import msgspec

from torcd.model import (
    ENDED,
    ENDED_BADLY,
    WORKFLOW_OVER,
    AttemptKey,
    DataKey,
    FileKey,
    FileState,
    Happening,
    JobKey,
    JobStatus,
    Timestamp,
    UserData,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.building import AS_SUBMITTED
from torcd.scheduler.commands import (
    Action,
    AddAttempt,
    AddCommand,
    ClearValue,
    Command,
    CreateWorkflow,
    EditWorkflow,
    Record,
    RemoveAttempt,
    RemoveWorkflow,
    SaveAttempt,
    SaveFile,
    SaveFrozenTime,
    SaveInitialAgain,
    SaveJob,
    SaveValue,
    SaveWorkflow,
)
from torcd.scheduler.events import LoadedCommand, LoadedJob, LoadedValue, WorkflowLoaded


class Store:
    def __init__(self) -> None:
        self.next_key = 1
        self.next_attempt_key = 1
        self.next_happening = 1
        self.workflows: dict[WorkflowKey, CreateWorkflow] = {}
        self.workflow_rows: dict[WorkflowKey, SaveWorkflow] = {}
        self.deleted: dict[WorkflowKey, None] = {}
        """Nobody sees them any more; their rows are kept here to be judged."""
        self.job_rows: dict[JobKey, SaveJob | None] = {}
        self.attempts: dict[AttemptKey, AddAttempt] = {}
        self.attempt_ends: dict[AttemptKey, SaveAttempt] = {}
        self.commands: dict[AttemptKey, AddCommand] = {}
        """Of actions."""
        self.command_rows: dict[AttemptKey, SaveAttempt] = {}
        """What became of them: those that have ended, and those that were told to."""
        self.frozen: dict[AttemptKey, int] = {}
        """How many microseconds attempts were frozen."""
        self.values: dict[DataKey, tuple[SaveValue, ...]] = {}
        self.changed_at: dict[DataKey, int] = {}
        self.cleared: dict[DataKey, None] = {}
        """Of those that have revisions: those that have no value."""
        self.files: dict[FileKey, FileState] = {}
        self.edited_at: Timestamp | None = None
        """When a workflow was edited last."""
        self.told: dict[JobKey, str] = {}
        """The status in which each job was announced last."""

    def copy(self) -> "Store":
        other = Store()
        for name, mine in vars(self).items():
            setattr(other, name, dict(mine) if isinstance(mine, dict) else mine)
        return other

    def commit(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Happening):
                self._keep(command)
            elif not isinstance(command, Action):
                self._apply(command)

    def _keep(self, happening: Happening) -> None:
        assert happening.number == self.next_happening, "happenings have a gap"
        self.next_happening += 1
        if happening.job_key is not None and happening.status is not None:
            self.told[happening.job_key] = happening.status

    def _counts(self, key: WorkflowKey) -> dict[JobStatus, int]:
        """How many jobs are in which state, without those that nobody sees."""
        counts: Counter[JobStatus] = Counter()
        for job in self.workflows[key].workflow.jobs:
            row = self.job_rows[job.key]
            status = JobStatus.BLOCKED if row is None else row.status
            counts[status] += not job.is_unfolded or status in ENDED_BADLY
        return {status: count for status, count in counts.items() if count}

    def _apply(self, record: Record) -> None:
        assert getattr(record, "workflow_key", None) not in self.deleted, "it was deleted"
        match record:
            case CreateWorkflow(workflow=workflow):
                assert workflow.key == self.next_key
                assert record.next_key == self.next_key + workflow.size
                self.next_key = record.next_key
                self.workflows[workflow.key] = record
                self.workflow_rows[workflow.key] = SaveWorkflow(
                    workflow_key=workflow.key,
                    status=WorkflowStatus.RUNNING,
                    stopping=False,
                    run_id=1,
                    started_at=record.at,
                    ended_at=None,
                    at=record.at,
                )
                self.job_rows |= dict.fromkeys((job.key for job in workflow.jobs), None)
            case EditWorkflow(workflow=workflow):
                self._edit(record)
            case SaveWorkflow():
                row = self.workflow_rows[record.workflow_key]
                if row.status in WORKFLOW_OVER and record.run_id > row.run_id:
                    assert record.run_id == row.run_id + 1, "a run was left out"
                    assert record.status is WorkflowStatus.RUNNING
                    assert not row.archived, "it runs, and is out of sight"
                elif row.status in WORKFLOW_OVER and record.status is WorkflowStatus.RUNNING:
                    assert not row.archived, "it runs, and is out of sight"
                    assert record.run_id == row.run_id
                elif row.status in WORKFLOW_OVER:
                    same = msgspec.structs.replace(row, at=record.at, job_counts=record.job_counts)
                    if record.at == self.edited_at:
                        assert record == msgspec.structs.replace(same, status=record.status)
                    else:
                        archived = msgspec.structs.replace(same, archived=not row.archived)
                        assert record == archived, "it lives on"
                else:
                    assert not record.archived, "it is put out of sight before it is over"
                if record.job_counts is not None:
                    assert record.status in WORKFLOW_OVER
                    assert record.job_counts == self._counts(record.workflow_key)
                self.workflow_rows[record.workflow_key] = record
            case RemoveWorkflow(workflow_key=key):
                assert self.workflow_rows[key].status in WORKFLOW_OVER
                assert not any(a.workflow_key == key for a in self.active_attempts().values())
                assert not self.active_commands(key)
                self.deleted[key] = None
            case SaveJob(job_key=key):
                before = self.job_rows[key]
                is_restarted = before is not None and record.run_id > before.run_id
                if before is not None and before.status in ENDED and not is_restarted:
                    is_put_back = before.status is not JobStatus.COMPLETED
                    is_over = self.workflow_rows[record.workflow_key].status in WORKFLOW_OVER
                    if not (is_over and record.status is JobStatus.DISABLED):
                        assert is_put_back, before.status
                        assert record.status is JobStatus.BLOCKED, record.status
                assert record.workflow_key in self.workflows
                self.job_rows[key] = record
            case AddAttempt(attempt_key=key):
                assert key == self.next_attempt_key, "attempts are numbered without gaps"
                self.next_attempt_key += 1
                mine = [a for a in self.attempts.values() if a.job_key == record.job_key]
                in_run = [a for a in mine if a.run_id == record.run_id and not a.is_recovery]
                assert record.attempt_id == len(in_run) + (not record.is_recovery)
                assert record.run_id == self.workflow_rows[record.workflow_key].run_id
                assert all(a.attempt_key in self.attempt_ends for a in mine), "two at once"
                self.attempts[key] = record
            case AddCommand(attempt_key=key):
                assert key == self.next_attempt_key, "attempts are numbered without gaps"
                self.next_attempt_key += 1
                assert not self.active_commands(record.workflow_key), "two at once"
                before_it = self.commands_of(record.workflow_key, record.action)
                assert record.command == len(before_it) + 1, "a command begins twice"
                ends = [self.command_rows[c.attempt_key].status for c in before_it]
                assert set(ends) <= {JobStatus.COMPLETED}, "it goes on after a failure"
                self.commands[key] = record
            case SaveAttempt(attempt_key=key) if key in self.commands:
                row = self.command_rows.get(key)
                assert row is None or row.ended_at is None, "it ends twice"
                assert (record.status in ENDED) == (record.ended_at is not None)
                self.command_rows[key] = record
            case SaveAttempt(attempt_key=key):
                assert key in self.attempts
                assert key not in self.attempt_ends
                assert record.status in ENDED
                self.attempt_ends[key] = record
            case SaveFrozenTime(attempt_key=key):
                assert key in self.active_attempts() or key in [
                    command.attempt_key for command in self.active_commands()
                ]
                assert record.microseconds > self.frozen.get(key, 0), "time that was not"
                self.frozen[key] = record.microseconds
            case RemoveAttempt(attempt_key=key):
                assert key not in self.attempt_ends
                assert all(v.attempt_key != key for vs in self.values.values() for v in vs)
                del self.attempts[key]
            case SaveValue(data_key=key):
                revisions = self.values.get(key, ())
                assert record.revision == len(revisions) + 1, "a revision was left out"
                assert record.attempt_key is None or record.attempt_key in self.attempts
                self.values[key] = (*revisions, record)
                self.changed_at[key] = record.changed_at
                self.cleared.pop(key, None)
            case SaveInitialAgain(data_key=key):
                revisions = self.values[key]
                assert record.revision == len(revisions) + 1, "a revision was left out"
                given = [one for one in revisions if not one.run_id][-1]
                again = msgspec.structs.replace(given, revision=record.revision, at=record.at)
                self.values[key] = (*revisions, again)
                self.changed_at[key] = record.changed_at
                self.cleared.pop(key, None)
            case ClearValue(data_key=key):
                assert key in self.values
                self.cleared[key] = None
            case SaveFile(file_key=key, state=None):
                del self.files[key]
            case SaveFile(file_key=key, state=state):
                assert state is not None
                self.files[key] = state

    def _edit(self, record: EditWorkflow) -> None:
        key = record.workflow.key
        before = self.workflows[key].workflow
        parts = (
            (before.jobs, record.jobs, record.removed_jobs, record.workflow.jobs),
            (before.files, record.files, record.removed_files, record.workflow.files),
            (
                before.user_data,
                record.user_data,
                record.removed_user_data,
                record.workflow.user_data,
            ),
        )
        for old, saved, removed, new in parts:
            kept = {item.key: item for item in old if item.key not in removed}
            assert len(kept) == len(old) - len(removed), "what is removed was not there"
            fresh = [item.key for item in saved if item.key not in {one.key for one in old}]
            assert all(self.next_key <= one < record.next_key for one in fresh), "a key is reused"
            kept.update((item.key, item) for item in saved)
            assert [kept[one] for one in sorted(kept)] == list(new), "something is not written"
        for job_key in record.removed_jobs:
            assert all(a.job_key != job_key for a in self.active_attempts().values()), "it runs"
        self.next_key = record.next_key
        self.edited_at = record.at
        self.workflows[key] = msgspec.structs.replace(
            self.workflows[key], workflow=record.workflow, next_key=record.next_key
        )
        fresh_jobs = [job.key for job in record.jobs if job.key not in self.job_rows]
        self.job_rows |= dict.fromkeys(fresh_jobs, None)

    # What is in it

    def status(self, key: JobKey) -> JobStatus:
        """As saved: what is not told from the rows (ready, running) is blocked here."""
        row = self.job_rows[key]
        return JobStatus.BLOCKED if row is None else row.status

    def active_attempts(self) -> dict[AttemptKey, AddAttempt]:
        return {k: a for k, a in self.attempts.items() if k not in self.attempt_ends}

    def commands_of(self, key: WorkflowKey, action: int) -> list[AddCommand]:
        """That have begun."""
        run_id = self.workflow_rows[key].run_id
        found = [c for c in self.commands.values() if c.workflow_key == key]
        return [c for c in found if c.action == action and c.run_id == run_id]

    def active_commands(self, key: WorkflowKey | None = None) -> list[AddCommand]:
        """Those that have not ended; None: of all workflows."""
        return [
            command
            for attempt_key, command in self.commands.items()
            if key in (None, command.workflow_key)
            and (
                attempt_key not in self.command_rows
                or self.command_rows[attempt_key].ended_at is None
            )
        ]

    def visible(self) -> list[WorkflowKey]:
        return [key for key in self.workflows if key not in self.deleted]

    def unfinished(self) -> list[WorkflowKey]:
        return [k for k, row in self.workflow_rows.items() if row.status not in WORKFLOW_OVER]

    def makers(self, key: DataKey) -> frozenset[JobKey]:
        """The jobs that have stored it in this run."""
        stored = [v for v in self.values.get(key, ()) if v.attempt_key is not None]
        return frozenset(
            self.attempts[value.attempt_key].job_key
            for value in stored
            if value.run_id == self.workflow_rows[value.workflow_key].run_id
        )

    def _value(self, data: UserData) -> LoadedValue:
        revisions = self.values[data.key]
        given = [one.value.sha256 for one in revisions if not one.run_id]
        is_initial = data.is_ephemeral and data.data is not None
        return LoadedValue(
            revision=len(revisions),
            sha256=None if data.key in self.cleared else revisions[-1].value.sha256,
            initial_sha256=given[-1] if is_initial else None,
            changed_at=self.changed_at[data.key],
        )

    def load(self, key: WorkflowKey, absent: frozenset[FileKey], at: Timestamp) -> WorkflowLoaded:
        assert key not in self.deleted
        created = self.workflows[key]
        workflow = created.workflow
        row = self.workflow_rows[key]
        return WorkflowLoaded(
            workflow=workflow,
            status=row.status,
            stopping=row.stopping,
            run_id=row.run_id,
            max_parallel_jobs=created.max_parallel_jobs,
            wait_for_inputs=created.wait_for_inputs,
            started_at=row.started_at,
            ended_at=row.ended_at,
            jobs=self._load_jobs(workflow),
            action_commands=tuple(
                self._load_command(command)
                for command in self.commands.values()
                if command.workflow_key == key and command.run_id == row.run_id
            ),
            values={d.key: self._value(d) for d in workflow.user_data if d.key in self.values},
            file_states={f.key: self.files[f.key] for f in workflow.files if f.key in self.files},
            stored_in_run={
                d.key: self.makers(d.key)
                for d in workflow.user_data
                if any(value.run_id == row.run_id for value in self.values.get(d.key, ()))
            },
            absent_files=absent,
            frozen_since=row.frozen_since,
            archived=row.archived,
            at=at,
        )

    def _load_jobs(self, workflow: Workflow) -> tuple[LoadedJob, ...]:
        attempts: dict[JobKey, AddAttempt] = {}
        run_id = self.workflow_rows[workflow.key].run_id
        for attempt in self.attempts.values():
            if attempt.workflow_key == workflow.key and attempt.run_id == run_id:
                attempts[attempt.job_key] = attempt
        return tuple(self._load_job(job.key, attempts.get(job.key)) for job in workflow.jobs)

    def _load_command(self, command: AddCommand) -> LoadedCommand:
        row = self.command_rows.get(command.attempt_key)
        return LoadedCommand(
            attempt_key=command.attempt_key,
            action=command.action,
            command=command.command,
            status=JobStatus.PENDING if row is None else row.status,
            reason=None if row is None else row.reason,
            message=None if row is None else row.message,
            return_code=None if row is None else row.return_code,
            started_at=None if row is None else row.started_at,
            ended_at=None if row is None else row.ended_at,
            frozen_microseconds=self.frozen.get(command.attempt_key, 0),
        )

    def _load_job(self, key: JobKey, newest: AddAttempt | None) -> LoadedJob:
        row = self.job_rows[key]
        loaded = AS_SUBMITTED
        if row is not None:
            loaded = LoadedJob(
                status=row.status,
                stopping=row.stopping,
                reason=row.reason,
                message=row.message,
                return_code=row.return_code,
                attempt_id=row.attempt_id,
                attempt_key=None,
                started_at=row.started_at,
                ended_at=row.ended_at,
                run_id=row.run_id,
                trace=row.trace,
                recovery=row.recovery,
                is_retry_under_way=row.recovery is not None
                and newest is not None
                and newest.attempt_id != row.attempt_id,
                may_skip=row.may_skip,
            )
        if newest is None:
            return loaded
        is_active = newest.attempt_key not in self.attempt_ends
        return msgspec.structs.replace(
            loaded,
            run_id=newest.run_id,
            attempt_id=newest.attempt_id,
            attempt_key=newest.attempt_key if is_active else None,
            gpus=newest.gpus if is_active else (),
            frozen_microseconds=self.frozen.get(newest.attempt_key, 0) if is_active else 0,
        )
