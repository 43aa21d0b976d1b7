"""A batch of records becomes one transaction.

What one batch changes twice is written once: the last state of a job or a workflow counts, an
attempt that is added and ends in the same batch is one row, and one that is added and taken back
is none. These functions run on the thread of the connection that writes.
"""

import itertools
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from torcd.model import AttemptKey, Happening, JobKey, JobStatus, WorkflowKey
from torcd.scheduler.commands import (
    AddAttempt,
    CreateWorkflow,
    Record,
    RemoveAttempt,
    SaveAttempt,
    SaveJob,
    SaveValue,
    SaveWorkflow,
)

Environments = Mapping[WorkflowKey, Mapping[str, str]]

_encode = msgspec.json.Encoder().encode


class Batch:
    """The records of a transaction, sorted by what they change."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.creations: list[CreateWorkflow] = []
        self.workflows: dict[WorkflowKey, SaveWorkflow] = {}
        self.jobs: dict[JobKey, SaveJob] = {}
        self.added: dict[AttemptKey, AddAttempt] = {}
        self.ended: dict[AttemptKey, SaveAttempt] = {}
        self.removed: list[AttemptKey] = []
        self.values: list[SaveValue] = []
        for record in records:
            match record:
                case SaveJob():
                    self.jobs[record.job_key] = record
                case AddAttempt():
                    self.added[record.attempt_key] = record
                case SaveAttempt():
                    self.ended[record.attempt_key] = record
                case SaveValue():
                    self.values.append(record)
                case SaveWorkflow():
                    self.workflows[record.workflow_key] = record
                case RemoveAttempt():
                    if self.added.pop(record.attempt_key, None) is None:
                        self.removed.append(record.attempt_key)
                case CreateWorkflow():
                    self.creations.append(record)


def write(
    connection: sqlite3.Connection,
    records: Sequence[Record],
    happenings: Sequence[Happening],
    environments: Environments,
    boot_key: int,
) -> None:
    """All or nothing; on disk when it returns."""
    batch = Batch(records)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for creation in batch.creations:
            _create(connection, creation, environments.get(creation.workflow.key, {}))
        _write_attempts(connection, batch, boot_key)
        _write_values(connection, batch.values)
        _write_jobs(connection, batch.jobs.values())
        for workflow in batch.workflows.values():
            _write_workflow(connection, workflow)
        _write_happenings(connection, happenings)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def boot_key(connection: sqlite3.Connection, boot_id: str) -> int:
    """The number of a boot of the machine, given at its first use."""
    connection.execute("INSERT OR IGNORE INTO boot (boot_id) VALUES (?)", (boot_id,))
    (key,) = connection.execute("SELECT key FROM boot WHERE boot_id = ?", (boot_id,)).fetchone()
    return int(key)


def _create(
    connection: sqlite3.Connection, creation: CreateWorkflow, environment: Mapping[str, str]
) -> None:
    w = creation.workflow
    connection.execute(
        "INSERT INTO workflow (key, name, description, user, directory, env, max_parallel_jobs,"
        " wait_for_inputs, submitted_at, status, stopping, run_id, started_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', 0, 1, ?)",
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
        ),
    )
    connection.execute(
        "INSERT INTO workflow_environment VALUES (?, ?)", (w.key, _encode(environment).decode())
    )
    connection.executemany(
        "INSERT INTO job (key, workflow_key, name, definition) VALUES (?, ?, ?, ?)",
        ((job.key, w.key, job.name, _encode(job).decode()) for job in w.jobs),
    )
    connection.executemany(
        "INSERT INTO file (key, workflow_key, name, path) VALUES (?, ?, ?, ?)",
        ((file.key, w.key, file.name, file.path) for file in w.files),
    )
    connection.executemany(
        "INSERT INTO user_data (key, workflow_key, name, is_ephemeral, available, has_initial)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            (d.key, w.key, d.name, d.is_ephemeral, d.available, d.data is not None)
            for d in w.user_data
        ),
    )
    connection.execute("UPDATE meta SET next_key = max(next_key, ?)", (creation.next_key,))


def _write_attempts(connection: sqlite3.Connection, batch: Batch, boot: int) -> None:
    connection.executemany(
        "INSERT INTO attempt (key, workflow_key, job_key, run_id, attempt_id, boot_key, status,"
        " reason, message, return_code, started_at, ended_at, cpu_seconds, peak_memory_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                a.attempt_key,
                a.workflow_key,
                a.job_key,
                a.run_id,
                a.attempt_id,
                boot,
                *_outcome(batch.ended.pop(a.attempt_key, None)),
            )
            for a in batch.added.values()
        ),
    )
    connection.executemany(
        "UPDATE attempt SET status = ?, reason = ?, message = ?, return_code = ?, started_at = ?,"
        " ended_at = ?, cpu_seconds = ?, peak_memory_bytes = ? WHERE key = ?",
        ((*_outcome(ended), key) for key, ended in batch.ended.items()),
    )
    connection.executemany("DELETE FROM attempt WHERE key = ?", ((key,) for key in batch.removed))
    newest = max(batch.added, default=0)
    if newest or batch.removed:
        # Also past those taken back: a key is never used twice.
        connection.execute(
            "UPDATE meta SET next_attempt_key = max(next_attempt_key, ?)", (newest + 1,)
        )


def _outcome(ended: SaveAttempt | None) -> tuple[object, ...]:
    if ended is None:
        return ("pending", None, None, None, None, None, None, None)
    return (
        ended.status.value,
        ended.reason.value if ended.reason else None,
        ended.message,
        ended.return_code,
        ended.started_at,
        ended.ended_at,
        ended.cpu_seconds,
        ended.peak_memory_bytes,
    )


def _write_values(connection: sqlite3.Connection, values: Sequence[SaveValue]) -> None:
    for saved in values:
        cursor = connection.execute(
            "INSERT INTO revision (data_key, revision, previous, run_id, attempt_key, stored_at,"
            " sha256, value)"
            " VALUES (?1, ?2, (SELECT newest FROM user_data WHERE key = ?1), ?3, ?4, ?5, ?6, ?7)",
            (
                saved.data_key,
                saved.revision,
                saved.run_id,
                saved.attempt_key,
                saved.at,
                bytes.fromhex(saved.value.sha256),
                saved.value.text,
            ),
        )
        connection.execute(
            "UPDATE user_data SET newest = ? WHERE key = ?", (cursor.lastrowid, saved.data_key)
        )


def _write_jobs(connection: sqlite3.Connection, jobs: Iterable[SaveJob]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO job_state (job_key, status, stopping, reason, message,"
        " return_code, run_id, attempt_id, started_at, ended_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                job.job_key,
                job.status.value,
                job.stopping,
                job.reason.value if job.reason else None,
                job.message,
                job.return_code,
                job.run_id,
                job.attempt_id,
                job.started_at,
                job.ended_at,
            )
            for job in jobs
        ),
    )


def _write_workflow(connection: sqlite3.Connection, saved: SaveWorkflow) -> None:
    counts = None
    if saved.ended_at is not None:
        rows = connection.execute(
            "SELECT s.status, count(*) FROM job j JOIN job_state s ON s.job_key = j.key"
            " WHERE j.workflow_key = ? GROUP BY s.status",
            (saved.workflow_key,),
        ).fetchall()
        counts = _encode(dict.fromkeys((s.value for s in JobStatus), 0) | dict(rows)).decode()
    connection.execute(
        "UPDATE workflow SET status = ?, stopping = ?, run_id = ?, started_at = ?, ended_at = ?,"
        " job_counts = ? WHERE key = ?",
        (
            saved.status.value,
            saved.stopping,
            saved.run_id,
            saved.started_at,
            saved.ended_at,
            counts,
            saved.workflow_key,
        ),
    )


def _write_happenings(connection: sqlite3.Connection, happenings: Sequence[Happening]) -> None:
    if not happenings:
        return
    rows = []
    for workflow_key, group in itertools.groupby(happenings, lambda h: h.workflow_key):
        together = list(group)
        rows.append((together[0].number, workflow_key, _encode(together).decode()))
    connection.executemany(
        "INSERT INTO event (first_number, workflow_key, happenings) VALUES (?, ?, ?)", rows
    )
    connection.execute("UPDATE meta SET next_event_number = ?", (happenings[-1].number + 1,))
