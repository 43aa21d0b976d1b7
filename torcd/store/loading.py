"""A workflow comes back into memory, as of one moment."""

import sqlite3
from collections import defaultdict

import msgspec

from torcd.model import (
    WORKFLOW_OVER,
    AttemptKey,
    DataKey,
    File,
    Job,
    JobKey,
    JobStatus,
    Owner,
    Reason,
    Timestamp,
    UserData,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.building import AS_SUBMITTED
from torcd.scheduler.events import LoadedCommand, LoadedJob, WorkflowLoaded
from torcd.store.rows import LoadedWorkflow

_decode_job = msgspec.json.Decoder(Job).decode
_decode_workflow = msgspec.json.Decoder(Workflow).decode
_decode_variables = msgspec.json.Decoder(dict[str, str]).decode
_decode_gpus = msgspec.json.Decoder(tuple[int, ...]).decode
_STATUSES = {status.value: status for status in JobStatus}
_Active = tuple[AttemptKey, tuple[int, ...], int]
"""Of a job's active attempt: its key, its GPUs, and how long it was frozen."""
_REASONS = {None: None} | {reason.value: reason for reason in Reason}


def load(connection: sqlite3.Connection, key: WorkflowKey, at: Timestamp) -> LoadedWorkflow | None:
    """None: there is none of that key."""
    connection.execute("BEGIN")
    try:
        return load_within(connection, key, at)
    finally:
        connection.execute("COMMIT")


def load_within(
    connection: sqlite3.Connection, key: WorkflowKey, at: Timestamp
) -> LoadedWorkflow | None:
    """The same for a caller that has a transaction open."""
    row = connection.execute(
        "SELECT w.name, description, user, directory, env, max_parallel_jobs, wait_for_inputs,"
        " status, stopping, run_id, started_at, ended_at, archived_at, frozen_since,"
        " variables, definition, owner_uid, owner_name"
        " FROM workflow w JOIN workflow_environment ON workflow_key = w.key"
        " WHERE w.key = ? AND deleted_at IS NULL",
        (key,),
    ).fetchone()
    if row is None:
        return None
    (name, description, user, directory, env, max_parallel_jobs, wait_for_inputs) = row[:7]
    (word, stopping, run_id, started_at, ended_at, archived_at, frozen_since) = row[7:14]
    (variables, definition, owner_uid, owner_name) = row[14:]
    status = WorkflowStatus(word)

    newest: dict[JobKey, int] = {}
    active: dict[JobKey, _Active] = {}
    boot_ids: dict[AttemptKey, str] = {}
    if status not in WORKFLOW_OVER:
        # Attempts tell more of a job than its own row, which is not written when one starts.
        for attempt_key, job_key, attempt_id, ended, boot_id, gpus, frozen in connection.execute(
            "SELECT a.key, job_key, attempt_id, ended_at, boot_id, gpus, frozen_microseconds"
            " FROM attempt a JOIN boot b ON b.key = a.boot_key"
            " WHERE workflow_key = ? AND run_id = ? AND job_key IS NOT NULL ORDER BY a.key",
            (key, run_id),
        ):
            newest[job_key] = attempt_id
            if ended is None:
                held = () if gpus is None else _decode_gpus(gpus)
                active[job_key] = attempt_key, held, frozen
                boot_ids[attempt_key] = boot_id
    jobs, states = _jobs(connection, key, run_id, newest, active)
    user_data, revisions = _user_data(connection, key)
    workflow = (
        Workflow(key=key, name=name, jobs=())
        if definition is None
        else _decode_workflow(definition)
    )

    commands = _action_commands(connection, key, run_id, boot_ids) if workflow.actions else ()

    return LoadedWorkflow(
        WorkflowLoaded(
            workflow=msgspec.structs.replace(
                workflow,
                jobs=jobs,
                files=_files(connection, key),
                user_data=user_data,
                description=description,
                user=user,
                owner=None if owner_uid is None else Owner(owner_uid, owner_name),
                env=_decode_variables(env),
                directory=directory,
            ),
            status=status,
            stopping=bool(stopping),
            archived=archived_at is not None,
            run_id=run_id,
            max_parallel_jobs=max_parallel_jobs,
            wait_for_inputs=bool(wait_for_inputs),
            started_at=started_at,
            ended_at=ended_at,
            jobs=states,
            action_commands=commands,
            revisions=revisions,
            stored_in_run=_stored_in_run(connection, key, run_id),
            absent_files=frozenset(),
            frozen_since=frozen_since,
            at=at,
        ),
        _decode_variables(variables),
        boot_ids,
    )


def _jobs(
    connection: sqlite3.Connection,
    key: WorkflowKey,
    run_id: int,
    newest: dict[JobKey, int],
    active: dict[JobKey, _Active],
) -> tuple[tuple[Job, ...], tuple[LoadedJob, ...]]:
    jobs = []
    states = []
    for (
        definition,
        word,
        stopping,
        reason,
        message,
        code,
        run,
        attempt_id,
        start,
        end,
    ) in connection.execute(
        "SELECT j.definition, s.status, s.stopping, s.reason, s.message, s.return_code,"
        " s.run_id, s.attempt_id, s.started_at, s.ended_at"
        " FROM job j LEFT JOIN job_state s ON s.job_key = j.key"
        " WHERE j.workflow_key = ? ORDER BY j.key",
        (key,),
    ):
        job = _decode_job(definition)
        jobs.append(job)
        if word is None and job.key not in newest:
            states.append(AS_SUBMITTED)
            continue
        attempt_key, gpus, frozen = active.get(job.key, (None, (), 0))
        states.append(
            LoadedJob(
                status=JobStatus.BLOCKED if word is None else _STATUSES[word],
                stopping=bool(stopping),
                reason=_REASONS[reason],
                message=message,
                return_code=code,
                attempt_id=newest.get(job.key, attempt_id if run == run_id else 0),
                attempt_key=attempt_key,
                started_at=start,
                ended_at=end,
                gpus=gpus,
                frozen_microseconds=frozen,
            )
        )
    return tuple(jobs), tuple(states)


def _action_commands(
    connection: sqlite3.Connection,
    key: WorkflowKey,
    run_id: int,
    boot_ids: dict[AttemptKey, str],
) -> tuple[LoadedCommand, ...]:
    found = []
    for (
        attempt_key,
        action,
        command,
        word,
        reason,
        message,
        code,
        start,
        end,
        boot_id,
        frozen,
    ) in connection.execute(
        "SELECT a.key, action, attempt_id, status, reason, message, return_code, started_at,"
        " ended_at, boot_id, frozen_microseconds FROM attempt a JOIN boot b ON b.key = a.boot_key"
        " WHERE workflow_key = ? AND run_id = ? AND job_key IS NULL ORDER BY a.key",
        (key, run_id),
    ):
        found.append(
            LoadedCommand(
                attempt_key=attempt_key,
                action=action,
                command=command,
                status=_STATUSES[word],
                reason=_REASONS[reason],
                message=message,
                return_code=code,
                started_at=start,
                ended_at=end,
                frozen_microseconds=frozen,
            )
        )
        if end is None:
            boot_ids[attempt_key] = boot_id
    return tuple(found)


def _files(connection: sqlite3.Connection, key: WorkflowKey) -> tuple[File, ...]:
    rows = connection.execute(
        "SELECT key, name, path FROM file WHERE workflow_key = ? ORDER BY key", (key,)
    )
    return tuple(File(key=file_key, name=name, path=path) for file_key, name, path in rows)


def _user_data(
    connection: sqlite3.Connection, key: WorkflowKey
) -> tuple[tuple[UserData, ...], dict[DataKey, int]]:
    found = []
    revisions: dict[DataKey, int] = {}
    for data_key, name, is_ephemeral, available, schema, revision in connection.execute(
        "SELECT d.key, d.name, is_ephemeral, available, schema, revision"
        " FROM user_data d LEFT JOIN revision r ON r.key = d.newest"
        " WHERE workflow_key = ? ORDER BY d.key",
        (key,),
    ):
        found.append(
            UserData(
                key=data_key,
                name=name,
                is_ephemeral=bool(is_ephemeral),
                available=available,
                schema=None if schema is None else msgspec.Raw(schema.encode()),
            )
        )
        if revision is not None:
            revisions[data_key] = revision
    return tuple(found), revisions


def _stored_in_run(
    connection: sqlite3.Connection, key: WorkflowKey, run_id: int
) -> dict[DataKey, frozenset[JobKey]]:
    """Who stored what in this run; nobody, where only people did."""
    found: defaultdict[DataKey, set[JobKey]] = defaultdict(set)
    for data_key, job_key in connection.execute(
        "WITH RECURSIVE chain (data_key, previous, attempt_key) AS ("
        " SELECT r.data_key, r.previous, r.attempt_key"
        " FROM user_data d JOIN revision r ON r.key = d.newest"
        " WHERE d.workflow_key = ? AND r.run_id = ?"
        " UNION ALL SELECT r.data_key, r.previous, r.attempt_key"
        " FROM chain c JOIN revision r ON r.key = c.previous WHERE r.run_id = ?)"
        " SELECT DISTINCT c.data_key, a.job_key"
        " FROM chain c LEFT JOIN attempt a ON a.key = c.attempt_key",
        (key, run_id, run_id),
    ):
        jobs = found[data_key]
        if job_key is not None:
            jobs.add(job_key)
    return {data_key: frozenset(jobs) for data_key, jobs in found.items()}
