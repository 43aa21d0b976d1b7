"""A workflow comes back into memory, as of one moment."""

import sqlite3
from collections import defaultdict

import msgspec

from torcd.model import (
    WORKFLOW_OVER,
    Addition,
    DataKey,
    File,
    FileKey,
    FileState,
    JobKey,
    KeptSpec,
    Owner,
    Timestamp,
    UserData,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.events import LoadedCommand, LoadedValue, WorkflowLoaded
from torcd.store import loading_jobs
from torcd.store.loading_jobs import NO_ATTEMPTS, decode_job
from torcd.store.rows import LoadedWorkflow, Removed

_decode_workflow = msgspec.json.Decoder(Workflow).decode
_decode_variables = msgspec.json.Decoder(dict[str, str]).decode


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

    is_over = status in WORKFLOW_OVER
    attempts = NO_ATTEMPTS if is_over else loading_jobs.attempts(connection, key, run_id)
    jobs, states = loading_jobs.jobs(connection, key, run_id, attempts)
    user_data, values = _user_data(connection, key)
    workflow = (
        Workflow(key=key, name=name, jobs=())
        if definition is None
        else _decode_workflow(definition)
    )

    boot_ids = dict(attempts.boot_ids)
    commands: tuple[LoadedCommand, ...] = ()
    if workflow.actions:
        commands, boots = loading_jobs.action_commands(connection, key, run_id)
        boot_ids |= boots

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
        jobs={job_key: decode_job(definition) for job_key, definition in jobs},
        user_data={data_key: name.partition("\0")[0] for data_key, name in user_data},
    )


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
