"""Queries. These functions run on the thread of the connection that reads."""

import sqlite3
from collections.abc import Collection

import msgspec

from torcd.model import (
    WORKFLOW_OVER,
    AttemptKey,
    DataKey,
    File,
    FileKey,
    Happening,
    Job,
    JobKey,
    JobStatus,
    Reason,
    UserData,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.building import AS_SUBMITTED
from torcd.scheduler.events import LoadedJob, WorkflowLoaded
from torcd.store.rows import AttemptRow, LoadedWorkflow, RevisionRow, WorkflowRow

_decode_job = msgspec.json.Decoder(Job).decode
_decode_variables = msgspec.json.Decoder(dict[str, str]).decode
_decode_counts = msgspec.json.Decoder(dict[JobStatus, int]).decode
_decode_happenings = msgspec.json.Decoder(list[Happening]).decode

_WORKFLOW = (
    "SELECT key, name, description, user, directory, max_parallel_jobs, submitted_at, status,"
    " stopping, run_id, started_at, ended_at, job_counts FROM workflow"
)

_REVISION = (
    "SELECT r.data_key, r.revision, r.value, r.sha256, r.stored_at, r.run_id, r.attempt_key,"
    " a.attempt_id, a.job_key, j.name FROM {source}"
    " LEFT JOIN attempt a ON a.key = r.attempt_key LEFT JOIN job j ON j.key = a.job_key"
)

_NEWEST = (
    _REVISION.format(source="user_data d JOIN revision r ON r.key = d.newest") + " WHERE d.key = ?"
)

_CHAIN = (
    "WITH RECURSIVE chain (key, previous) AS ("
    " SELECT r.key, r.previous FROM user_data d JOIN revision r ON r.key = d.newest"
    " WHERE d.key = ?"
    " UNION ALL SELECT r.key, r.previous FROM chain c JOIN revision r ON r.key = c.previous) "
)

_HISTORY = (
    _CHAIN
    + _REVISION.format(source="chain c JOIN revision r ON r.key = c.key")
    + " ORDER BY r.revision"
)

_ONE_REVISION = (
    _CHAIN
    + _REVISION.format(source="chain c JOIN revision r ON r.key = c.key")
    + " WHERE r.revision = ?"
)


def unfinished(connection: sqlite3.Connection) -> list[WorkflowKey]:
    rows = connection.execute(
        "SELECT key FROM workflow WHERE status IN ('running', 'paused') ORDER BY key"
    )
    return [WorkflowKey(key) for (key,) in rows]


def newest_workflow(connection: sqlite3.Connection) -> WorkflowKey | None:
    (key,) = connection.execute("SELECT max(key) FROM workflow").fetchone()
    return None if key is None else WorkflowKey(key)


def workflows(connection: sqlite3.Connection) -> list[WorkflowRow]:
    return [_workflow_row(row) for row in connection.execute(_WORKFLOW + " ORDER BY key")]


def workflow(connection: sqlite3.Connection, key: WorkflowKey) -> WorkflowRow | None:
    row = connection.execute(_WORKFLOW + " WHERE key = ?", (key,)).fetchone()
    return None if row is None else _workflow_row(row)


def attempts(
    connection: sqlite3.Connection,
    key: WorkflowKey,
    run_id: int | None,
    job_keys: Collection[JobKey] | None,
) -> list[AttemptRow]:
    rows = connection.execute(
        "SELECT key, job_key, run_id, attempt_id, status, reason, message, return_code,"
        " started_at, ended_at, cpu_seconds, peak_memory_bytes FROM attempt"
        " WHERE workflow_key = ?1 AND (?2 IS NULL OR run_id = ?2)"
        " ORDER BY job_key, run_id, attempt_id",
        (key, run_id),
    )
    return [
        AttemptRow(
            key=row[0],
            job_key=row[1],
            run_id=row[2],
            attempt_id=row[3],
            status=JobStatus(row[4]),
            reason=None if row[5] is None else Reason(row[5]),
            message=row[6],
            return_code=row[7],
            started_at=row[8],
            ended_at=row[9],
            cpu_seconds=row[10],
            peak_memory_bytes=row[11],
        )
        for row in rows
        if job_keys is None or row[1] in job_keys
    ]


def value(connection: sqlite3.Connection, key: DataKey, revision: int | None) -> RevisionRow | None:
    if revision is None:
        row = connection.execute(_NEWEST, (key,)).fetchone()
    else:
        row = connection.execute(_ONE_REVISION, (key, revision)).fetchone()
    return None if row is None else _revision_row(row)


def revisions(connection: sqlite3.Connection, key: DataKey) -> list[RevisionRow]:
    return [_revision_row(row) for row in connection.execute(_HISTORY, (key,))]


def happenings(
    connection: sqlite3.Connection, since: int, key: WorkflowKey | None, limit: int | None
) -> list[Happening]:
    """Those from number `since` on, at most `limit`."""
    rows = connection.execute(
        "SELECT happenings FROM event WHERE first_number >= coalesce((SELECT max(first_number)"
        " FROM event WHERE first_number <= ?1), 0) AND (?2 IS NULL OR workflow_key = ?2)"
        " ORDER BY first_number",
        (since, key),
    )
    found: list[Happening] = []
    for (text,) in rows:
        found += (h for h in _decode_happenings(text) if h.number >= since)
        if limit is not None and len(found) >= limit:
            break
    return found[:limit]


def load(connection: sqlite3.Connection, key: WorkflowKey) -> LoadedWorkflow | None:
    # One transaction: all of it as of one moment.
    connection.execute("BEGIN")
    try:
        return _load(connection, key)
    finally:
        connection.execute("COMMIT")


def _load(connection: sqlite3.Connection, key: WorkflowKey) -> LoadedWorkflow | None:
    row = connection.execute(
        "SELECT w.name, description, user, directory, env, max_parallel_jobs, wait_for_inputs,"
        " status, stopping, run_id, started_at, ended_at, variables"
        " FROM workflow w JOIN workflow_environment ON workflow_key = w.key WHERE w.key = ?",
        (key,),
    ).fetchone()
    if row is None:
        return None
    (name, description, user, directory, env, max_parallel_jobs, wait_for_inputs) = row[:7]
    (status, stopping, run_id, started_at, ended_at, variables) = row[7:]
    jobs = connection.execute(
        "SELECT j.definition, s.status, s.stopping, s.reason, s.message, s.return_code,"
        " s.attempt_id, s.started_at, s.ended_at"
        " FROM job j LEFT JOIN job_state s ON s.job_key = j.key"
        " WHERE j.workflow_key = ? ORDER BY j.key",
        (key,),
    ).fetchall()
    newest, active, boot_ids = {}, {}, {}
    if WorkflowStatus(status) not in WORKFLOW_OVER:
        for attempt_key, job_key, attempt_id, attempt_status, boot_id in connection.execute(
            "SELECT a.key, job_key, attempt_id, status, boot_id"
            " FROM attempt a JOIN boot b ON b.key = a.boot_key"
            " WHERE workflow_key = ? AND run_id = ? ORDER BY a.key",
            (key, run_id),
        ):
            newest[job_key] = attempt_id
            if attempt_status == "pending":
                active[job_key] = AttemptKey(attempt_key)
                boot_ids[AttemptKey(attempt_key)] = boot_id
    definitions = tuple(_decode_job(row[0]) for row in jobs)
    files = connection.execute(
        "SELECT key, name, path FROM file WHERE workflow_key = ? ORDER BY key", (key,)
    )
    data = connection.execute(
        "SELECT d.key, d.name, is_ephemeral, available, revision"
        " FROM user_data d LEFT JOIN revision r ON r.key = d.newest"
        " WHERE workflow_key = ? ORDER BY d.key",
        (key,),
    ).fetchall()
    return LoadedWorkflow(
        WorkflowLoaded(
            workflow=Workflow(
                key=key,
                name=name,
                jobs=definitions,
                files=tuple(File(key=FileKey(f[0]), name=f[1], path=f[2]) for f in files),
                user_data=tuple(
                    UserData(key=DataKey(d[0]), name=d[1], is_ephemeral=bool(d[2]), available=d[3])
                    for d in data
                ),
                description=description,
                user=user,
                env=_decode_variables(env),
                directory=directory,
            ),
            status=WorkflowStatus(status),
            stopping=bool(stopping),
            run_id=run_id,
            max_parallel_jobs=max_parallel_jobs,
            wait_for_inputs=bool(wait_for_inputs),
            started_at=started_at,
            ended_at=ended_at,
            jobs=tuple(
                _loaded_job(row, newest.get(job.key), active.get(job.key))
                for job, row in zip(definitions, jobs, strict=True)
            ),
            revisions={DataKey(d[0]): d[4] for d in data if d[4]},
            stored_in_run=_stored_in_run(connection, key, run_id),
            absent_files=frozenset(),
            at=started_at,
        ),
        _decode_variables(variables),
        boot_ids,
    )


def _loaded_job(
    row: tuple[object, ...], newest: int | None, active: AttemptKey | None
) -> LoadedJob:
    if row[1] is None and newest is None:
        return AS_SUBMITTED
    _, status, stopping, reason, message, return_code, attempt_id, started_at, ended_at = row
    return LoadedJob(
        status=JobStatus.BLOCKED if status is None else JobStatus(status),
        stopping=bool(stopping),
        reason=None if reason is None else Reason(reason),
        message=message,  # type: ignore[arg-type]
        return_code=return_code,  # type: ignore[arg-type]
        attempt_id=newest or attempt_id or 0,  # type: ignore[arg-type]
        attempt_key=active,
        started_at=started_at,  # type: ignore[arg-type]
        ended_at=ended_at,  # type: ignore[arg-type]
    )


def _stored_in_run(
    connection: sqlite3.Connection, key: WorkflowKey, run_id: int
) -> dict[DataKey, frozenset[JobKey]]:
    """Who stored what in this run; nobody, where only people did."""
    rows = connection.execute(
        "WITH RECURSIVE chain (key, previous) AS ("
        " SELECT r.key, r.previous FROM user_data d JOIN revision r ON r.key = d.newest"
        " WHERE d.workflow_key = ?1 AND r.run_id = ?2"
        " UNION ALL SELECT r.key, r.previous FROM chain c JOIN revision r ON r.key = c.previous"
        " WHERE r.run_id = ?2)"
        " SELECT r.data_key, a.job_key FROM chain c JOIN revision r ON r.key = c.key"
        " LEFT JOIN attempt a ON a.key = r.attempt_key",
        (key, run_id),
    )
    found: dict[DataKey, set[JobKey]] = {}
    for data_key, job_key in rows:
        jobs = found.setdefault(data_key, set())
        if job_key is not None:
            jobs.add(job_key)
    return {data_key: frozenset(jobs) for data_key, jobs in found.items()}


def _workflow_row(row: tuple[object, ...]) -> WorkflowRow:
    (key, name, description, user, directory, limit, submitted, status, stopping, run_id) = row[:10]
    started_at, ended_at, counts = row[10:]
    return WorkflowRow(
        key=key,  # type: ignore[arg-type]
        name=name,  # type: ignore[arg-type]
        description=description,  # type: ignore[arg-type]
        user=user,  # type: ignore[arg-type]
        directory=directory,  # type: ignore[arg-type]
        max_parallel_jobs=limit,  # type: ignore[arg-type]
        submitted_at=submitted,  # type: ignore[arg-type]
        status=WorkflowStatus(status),
        stopping=bool(stopping),
        run_id=run_id,  # type: ignore[arg-type]
        started_at=started_at,  # type: ignore[arg-type]
        ended_at=ended_at,  # type: ignore[arg-type]
        jobs=None if counts is None else _decode_counts(counts),  # type: ignore[arg-type]
    )


def _revision_row(row: tuple[object, ...]) -> RevisionRow:
    return RevisionRow(
        data_key=row[0],  # type: ignore[arg-type]
        revision=row[1],  # type: ignore[arg-type]
        value=row[2],  # type: ignore[arg-type]
        sha256=row[3].hex(),  # type: ignore[attr-defined]
        stored_at=row[4],  # type: ignore[arg-type]
        run_id=row[5],  # type: ignore[arg-type]
        attempt_key=row[6],  # type: ignore[arg-type]
        attempt_id=row[7],  # type: ignore[arg-type]
        job_key=row[8],  # type: ignore[arg-type]
        job_name=row[9],  # type: ignore[arg-type]
    )
