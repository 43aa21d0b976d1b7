"""What a spec says of a workflow is written down: at first, and when there is another one."""

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

from torcd.model import File, Job, SpecChange, UserData, Workflow, WorkflowKey
from torcd.scheduler.commands import CreateWorkflow, EditWorkflow

_encode = msgspec.json.Encoder().encode


def create(
    connection: sqlite3.Connection, creation: CreateWorkflow, environment: Mapping[str, str]
) -> None:
    w = creation.workflow
    connection.execute(
        "INSERT INTO workflow (key, name, description, user, directory, env, max_parallel_jobs,"
        " wait_for_inputs, submitted_at, status, stopping, run_id, started_at, definition,"
        " owner_uid, owner_name)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', 0, 1, ?, ?, ?, ?)",
        (
            w.key,
            w.name,
            w.description,
            w.user,
            w.directory,
            _encode(w.env).decode(),
            creation.max_parallel_jobs,
            creation.wait_for_inputs,
            creation.at,
            creation.at,
            _definition(w),
            None if w.owner is None else w.owner.uid,
            None if w.owner is None else w.owner.name,
        ),
    )
    connection.execute(
        "INSERT INTO workflow_environment (workflow_key, variables) VALUES (?, ?)",
        (w.key, _encode(environment).decode()),
    )
    _write_items(connection, w.key, w.jobs, w.files, w.user_data)
    if creation.spec is not None:
        _keep_spec(connection, w.key, creation.spec)


def edit(connection: sqlite3.Connection, edited: EditWorkflow) -> None:
    """What is removed keeps its row, out of sight."""
    w = edited.workflow
    connection.execute(
        "UPDATE workflow SET name = ?, description = ?, user = ?, directory = ?, env = ?,"
        " definition = ? WHERE key = ?",
        (
            w.name,
            w.description,
            w.user,
            w.directory,
            _encode(w.env).decode(),
            _definition(w),
            w.key,
        ),
    )
    for table, keys in (("job", edited.removed_jobs), ("file", edited.removed_files)):
        connection.executemany(
            f"UPDATE {table} SET removed_at = ? WHERE key = ?", [(edited.at, key) for key in keys]
        )
    connection.executemany(
        "UPDATE user_data SET removed_at = ?, name = name || char(0) || key WHERE key = ?",
        [(edited.at, key) for key in edited.removed_user_data],
    )
    _write_items(connection, w.key, edited.jobs, edited.files, edited.user_data)
    _change_spec(connection, w.key, edited.spec)


def _change_spec(connection: sqlite3.Connection, key: WorkflowKey, change: SpecChange) -> None:
    if change.text is not None:
        _keep_spec(connection, key, change.text)
    connection.executemany(
        "DELETE FROM addition WHERE workflow_key = ? AND adder = ? AND section = ? AND name = ?",
        [(key, *dropped) for dropped in change.dropped],
    )
    connection.executemany(
        "INSERT INTO addition (workflow_key, adder, section, name, run_id, attempt_id, item)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (workflow_key, adder, section, name) DO UPDATE SET"
        " run_id = excluded.run_id, attempt_id = excluded.attempt_id, item = excluded.item",
        (
            (key, a.adder, a.section, a.name, a.run_id, a.attempt_id, a.item)
            for a in change.additions
        ),
    )


def _keep_spec(connection: sqlite3.Connection, key: WorkflowKey, text: bytes) -> None:
    """It may be large, and a statement would keep what was bound to it."""
    connection.execute(
        "INSERT OR REPLACE INTO spec (workflow_key, text) VALUES (?, zeroblob(?))",
        (key, len(text)),
    )
    with connection.blobopen("spec", "text", key) as blob:
        blob.write(text)


def _definition(workflow: Workflow) -> str:
    return _encode(
        msgspec.structs.replace(workflow, owner=None, jobs=(), files=(), user_data=())
    ).decode()


def _write_items(
    connection: sqlite3.Connection,
    key: WorkflowKey,
    jobs: Iterable[Job],
    files: Iterable[File],
    user_data: Iterable[UserData],
) -> None:
    """New ones, and others than there were. A name stays what it is."""
    connection.executemany(
        "INSERT INTO job (key, workflow_key, name, definition) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET definition = excluded.definition",
        ((job.key, key, job.name, _encode(job).decode()) for job in jobs),
    )
    connection.executemany(
        "INSERT INTO file (key, workflow_key, name, path) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET path = excluded.path",
        ((file.key, key, file.name, file.path) for file in files),
    )
    connection.executemany(
        "INSERT INTO user_data (key, workflow_key, name, is_ephemeral, available, has_initial,"
        " schema) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET is_ephemeral = excluded.is_ephemeral,"
        " available = excluded.available, has_initial = excluded.has_initial,"
        " schema = excluded.schema",
        (
            (
                d.key,
                key,
                d.name,
                d.is_ephemeral,
                d.available,
                d.data is not None,
                None if d.schema is None else bytes(d.schema).decode(),
            )
            for d in user_data
        ),
    )
