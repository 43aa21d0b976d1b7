"""A workflow comes back into memory, as of one moment."""

import sqlite3
from collections import defaultdict

import msgspec

from torcd.model import (
    WORKFLOW_OVER,
    Addition,
    AttemptKey,
    DataKey,
    File,
    FileKey,
    FileState,
    Job,
    JobKey,
    JobStatus,
    KeptSpec,
    Owner,
    Reason,
    Timestamp,
    Trace,
    UserData,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.building import AS_SUBMITTED
from torcd.scheduler.events import LoadedCommand, LoadedJob, LoadedValue, WorkflowLoaded
from torcd.scheduler.job_states import Recovery
from torcd.store.rows import LoadedWorkflow, Removed

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
        for (
            attempt_key,
            job_key,
            attempt_id,
            ended,
            boot_id,
            gpus,
            frozen,
            is_recovery,
        ) in connection.execute(
            "SELECT a.key, job_key, attempt_id, ended_at, boot_id, gpus, frozen_microseconds,"
            " is_recovery"
            " FROM attempt a JOIN boot b ON b.key = a.boot_key"
            " WHERE workflow_key = ? AND run_id = ? AND job_key IS NOT NULL ORDER BY a.key",
            (key, run_id),
        ):
            if not is_recovery:
                newest[job_key] = attempt_id
            if ended is None:
                held = () if gpus is None else _decode_gpus(gpus)
                active[job_key] = attempt_key, held, frozen
                boot_ids[attempt_key] = boot_id
    jobs, states = _jobs(connection, key, run_id, newest, active)
    user_data, values = _user_data(connection, key)
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
            values=values,
            file_states=_file_states(connection, key),
            stored_in_run=_stored_in_run(connection, key, run_id),
            absent_files=frozenset(),
            frozen_since=frozen_since,
            at=at,
        ),
        _decode_variables(variables),
        boot_ids,
    )


def environment(connection: sqlite3.Connection, key: WorkflowKey) -> dict[str, str] | None:
    """What the jobs of a workflow inherit; None: there is none of that key."""
    row = connection.execute(
        "SELECT variables FROM workflow_environment JOIN workflow w ON w.key = workflow_key"
        " WHERE workflow_key = ? AND deleted_at IS NULL",
        (key,),
    ).fetchone()
    return None if row is None else _decode_variables(row[0])


def given_values(connection: sqlite3.Connection, key: WorkflowKey) -> dict[DataKey, str]:
    """The SHA-256 of the values that the spec of a workflow gives, as it is now."""
    keys = connection.execute(
        "SELECT key FROM user_data WHERE workflow_key = ? AND removed_at IS NULL AND has_initial",
        (key,),
    ).fetchall()
    return {data_key: _initial(connection, data_key) for (data_key,) in keys}


def spec(connection: sqlite3.Connection, key: WorkflowKey) -> KeptSpec | None:
    """None: it is from before specs were kept, or there is none of that key."""
    row = connection.execute("SELECT text FROM spec WHERE workflow_key = ?", (key,)).fetchone()
    if row is None:
        return None
    additions = connection.execute(
        "SELECT adder, run_id, attempt_id, section, name, item FROM addition"
        " WHERE workflow_key = ? ORDER BY key",
        (key,),
    )
    return KeptSpec(
        row[0],
        tuple(
            Addition(
                adder=adder,
                run_id=run_id,
                attempt_id=attempt_id,
                section=section,
                name=name,
                item=item,
            )
            for adder, run_id, attempt_id, section, name, item in additions
        ),
    )


def removed(connection: sqlite3.Connection, key: WorkflowKey) -> Removed:
    """What another spec of the workflow has taken out."""
    jobs = connection.execute(
        "SELECT key, definition FROM job WHERE workflow_key = ? AND removed_at IS NOT NULL", (key,)
    ).fetchall()
    user_data = connection.execute(
        "SELECT key, name FROM user_data WHERE workflow_key = ? AND removed_at IS NOT NULL", (key,)
    ).fetchall()
    return Removed(
        jobs={job_key: _decode_job(definition) for job_key, definition in jobs},
        user_data={data_key: name.partition("\0")[0] for data_key, name in user_data},
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
        may_skip,
        retry_at,
        script,
        *trace,
    ) in connection.execute(
        "SELECT j.definition, s.status, s.stopping, s.reason, s.message, s.return_code,"
        " s.run_id, s.attempt_id, s.started_at, s.ended_at, s.may_skip,"
        " s.retry_at, s.recovery_script,"
        " s.trace_attempt, t.run_id, t.attempt_id, t.started_at, t.ended_at,"
        " s.trace_definition, s.trace_given, s.trace_made, s.trace_made_at"
        " FROM job j LEFT JOIN job_state s ON s.job_key = j.key"
        " LEFT JOIN attempt t ON t.key = s.trace_attempt"
        " WHERE j.workflow_key = ? AND j.removed_at IS NULL ORDER BY j.key",
        (key,),
    ):
        job = _decode_job(definition)
        jobs.append(job)
        if word is None and job.key not in newest:
            states.append(AS_SUBMITTED)
            continue
        attempt_key, gpus, frozen = active.get(job.key, (None, (), 0))
        is_retry_under_way = retry_at is not None and newest.get(job.key) != attempt_id
        if job.key in newest:
            run, attempt_id = run_id, newest[job.key]
        states.append(
            LoadedJob(
                status=JobStatus.BLOCKED if word is None else _STATUSES[word],
                stopping=bool(stopping),
                reason=_REASONS[reason],
                message=message,
                return_code=code,
                attempt_id=attempt_id,
                attempt_key=attempt_key,
                started_at=start,
                ended_at=end,
                gpus=gpus,
                frozen_microseconds=frozen,
                run_id=run,
                trace=_trace(*trace),
                recovery=_recovery(retry_at, script, reason, message, code),
                is_retry_under_way=is_retry_under_way,
                may_skip=bool(may_skip),
            )
        )
    return tuple(jobs), tuple(states)


def _recovery(
    until: Timestamp | None,
    script: str | None,
    reason: str | None,
    message: str | None,
    return_code: int | None,
) -> Recovery | None:
    word = _REASONS[reason]
    if until is None or word is None:
        return None
    return Recovery(
        until=until, script=script, reason=word, message=message or "", return_code=return_code
    )


def _trace(
    attempt_key: AttemptKey | None,
    run_id: int,
    attempt_id: int,
    started_at: Timestamp,
    ended_at: Timestamp,
    definition: bytes,
    given: bytes | None,
    made: bytes | None,
    made_at: int,
) -> Trace | None:
    if attempt_key is None:
        return None
    return Trace(
        attempt_key=attempt_key,
        run_id=run_id,
        attempt_id=attempt_id,
        started_at=started_at,
        ended_at=ended_at,
        definition=definition,
        given=given,
        made=made,
        made_at=made_at,
    )


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
        "SELECT key, name, path FROM file WHERE workflow_key = ? AND removed_at IS NULL"
        " ORDER BY key",
        (key,),
    )
    return tuple(File(key=file_key, name=name, path=path) for file_key, name, path in rows)


def _file_states(connection: sqlite3.Connection, key: WorkflowKey) -> dict[FileKey, FileState]:
    rows = connection.execute(
        "SELECT file_key, size, mtime_ns, inode, sha256"
        " FROM file f JOIN file_state ON file_key = f.key"
        " WHERE workflow_key = ? AND removed_at IS NULL",
        (key,),
    )
    return {
        file_key: FileState(size, mtime_ns, inode, sha256.hex())
        for file_key, size, mtime_ns, inode, sha256 in rows
    }


def _user_data(
    connection: sqlite3.Connection, key: WorkflowKey
) -> tuple[tuple[UserData, ...], dict[DataKey, LoadedValue]]:
    found = []
    values: dict[DataKey, LoadedValue] = {}
    for (
        data_key,
        name,
        is_ephemeral,
        available,
        schema,
        has_initial,
        cleared,
        changed_at,
        revision,
        sha256,
    ) in connection.execute(
        "SELECT d.key, d.name, is_ephemeral, available, schema, has_initial, cleared, changed_at,"
        " revision, sha256"
        " FROM user_data d LEFT JOIN revision r ON r.key = d.newest"
        " WHERE workflow_key = ? AND removed_at IS NULL ORDER BY d.key",
        (key,),
    ).fetchall():
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
            initial = _initial(connection, data_key) if has_initial and is_ephemeral else None
            values[data_key] = LoadedValue(
                revision=revision,
                sha256=None if cleared else sha256.hex(),
                initial_sha256=initial,
                changed_at=changed_at,
            )
    return tuple(found), values


def _initial(connection: sqlite3.Connection, key: DataKey) -> str:
    """The SHA-256 of the value that the spec gave."""
    (sha256,) = connection.execute(
        "WITH RECURSIVE chain (previous, run_id, sha256) AS ("
        " SELECT r.previous, r.run_id, r.sha256"
        " FROM user_data d JOIN revision r ON r.key = d.newest WHERE d.key = ?"
        " UNION ALL SELECT r.previous, r.run_id, r.sha256"
        " FROM chain c JOIN revision r ON r.key = c.previous)"
        " SELECT sha256 FROM chain WHERE run_id = 0 LIMIT 1",
        (key,),
    ).fetchone()
    return str(sha256.hex())


def _stored_in_run(
    connection: sqlite3.Connection, key: WorkflowKey, run_id: int
) -> dict[DataKey, frozenset[JobKey]]:
    """Who stored what in this run; nobody, where only people did."""
    found: defaultdict[DataKey, set[JobKey]] = defaultdict(set)
    for data_key, job_key in connection.execute(
        # Among those of the run may be values that specs gave, which are of run 0.
        "WITH RECURSIVE chain (data_key, previous, attempt_key, run_id) AS ("
        " SELECT r.data_key, r.previous, r.attempt_key, r.run_id"
        " FROM user_data d JOIN revision r ON r.key = d.newest"
        " WHERE d.workflow_key = ? AND d.removed_at IS NULL AND r.run_id IN (0, ?)"
        " UNION ALL SELECT r.data_key, r.previous, r.attempt_key, r.run_id"
        " FROM chain c JOIN revision r ON r.key = c.previous WHERE r.run_id IN (0, ?))"
        " SELECT DISTINCT c.data_key, a.job_key"
        " FROM chain c LEFT JOIN attempt a ON a.key = c.attempt_key WHERE c.run_id = ?",
        (key, run_id, run_id, run_id),
    ):
        jobs = found[data_key]
        if job_key is not None:
            jobs.add(job_key)
    return {data_key: frozenset(jobs) for data_key, jobs in found.items()}
