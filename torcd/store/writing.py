"""A batch of records becomes one transaction, on the thread of the connection that writes."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, islice
from operator import attrgetter
from typing import TypeGuard

import msgspec

from torcd.model import (
    WORKFLOW_OVER,
    Happening,
    JobStatus,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.commands import (
    AddAttempt,
    AddCommand,
    Record,
    SaveAttempt,
    SaveFile,
    SaveValue,
    SaveWorkflow,
)
from torcd.scheduler.digests import SIZE
from torcd.scheduler.job_states import Recovery, Trace
from torcd.store.batch import Batch
from torcd.store.counting import counts_of
from torcd.store.defining import create, edit
from torcd.store.rows import Counters
from torcd.store.writing_values import LARGE_BYTES, write_lone, write_values

Environments = Mapping[WorkflowKey, Mapping[str, str]]

MAX_HAPPENINGS_PER_ROW = 256
"""Whoever wants one of them has to read the whole row."""

_Row = tuple[str | bytes | memoryview | int | float | None, ...]

_encode = msgspec.json.Encoder().encode


def write(
    connection: sqlite3.Connection,
    records: Sequence[Record],
    happenings: Sequence[Happening],
    environments: Environments,
    boot_id: str,
    written: Counters,
) -> Counters:
    """All or nothing; on disk for good when it returns. Returns where counting goes on.

    `environments` has what the jobs of the workflows created here inherit; without one it is
    nothing. `boot_id` is the boot of this machine in which attempts are added. `written` is where
    counting goes on by what was committed before, which is what is in the database.
    """
    if len(records) == 1 == len(happenings) and _is_small_value(records[0]):
        return write_lone(records[0], happenings[0], connection, written)
    batch = Batch(records)
    counters = Counters(
        max(written.next_key, batch.next_key),
        max(written.next_attempt_key, batch.next_attempt_key),
        happenings[-1].number + 1 if happenings else written.next_happening,
        written.commits + 1,
    )
    connection.execute("BEGIN IMMEDIATE")
    try:
        if batch.has_more_than_values:
            _write_all_but_values(connection, batch, environments, boot_id)
        if batch.values:
            write_values(connection, batch.values)
        if happenings:
            _write_happenings(connection, happenings)
        # Not by way of RETURNING, for which SQLite makes a table of its own each time.
        connection.execute(
            "UPDATE meta SET next_key = ?, next_attempt_key = ?, next_event_number = ?,"
            " commits = ?",
            msgspec.structs.astuple(counters),
        )
        connection.execute("COMMIT")
    except BaseException:
        # Some failures (a full disk, for one) have rolled it back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return counters


def _is_small_value(record: Record) -> TypeGuard[SaveValue]:
    return type(record) is SaveValue and len(record.value.text) <= LARGE_BYTES


def _write_all_but_values(
    connection: sqlite3.Connection, batch: Batch, environments: Environments, boot_id: str
) -> None:
    for creation in batch.created:
        create(connection, creation, environments.get(creation.workflow.key, {}))
    for change in batch.edited:
        edit(connection, change)
    _write_attempts(connection, batch, boot_id)
    _write_files(connection, batch.files.values())
    _write_jobs(connection, batch)
    _write_workflows(connection, batch.workflows.values())
    _count_jobs_of_those_over(connection, batch)
    _write_rows(
        connection,
        "UPDATE workflow SET deleted_at = ? WHERE key = ?",
        [(deleted.at, deleted.workflow_key) for deleted in batch.deleted],
    )


def _write_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[_Row]) -> None:
    """The statement for each row; of nothing there is nothing to prepare."""
    if rows:
        connection.executemany(statement, rows)


def _write_attempts(connection: sqlite3.Connection, batch: Batch, boot_id: str) -> None:
    if batch.removed:
        _write_rows(
            connection, "DELETE FROM attempt WHERE key = ?", [(key,) for key in batch.removed]
        )
    if batch.added:
        boot_key = _boot_key(connection, boot_id)
        _write_rows(
            connection,
            "INSERT INTO attempt (key, workflow_key, job_key, action, attempt_id, run_id,"
            " boot_key, gpus, is_recovery, status, reason, message, return_code, started_at,"
            " ended_at, cpu_seconds, peak_memory_bytes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                _intent(added, boot_key)
                + (_outcome(batch.saved[key]) if key in batch.saved else _NO_OUTCOME)
                for key, added in batch.added.items()
            ],
        )
    _write_rows(
        connection,
        "UPDATE attempt SET status = ?, reason = ?, message = ?, return_code = ?, started_at = ?,"
        " ended_at = ?, cpu_seconds = ?, peak_memory_bytes = ? WHERE key = ?",
        [(*_outcome(saved), key) for key, saved in batch.saved.items() if key not in batch.added],
    )
    _write_rows(
        connection,
        "UPDATE attempt SET frozen_microseconds = ? WHERE key = ?",
        [(microseconds, key) for key, microseconds in batch.frozen.items()],
    )


def _intent(added: AddAttempt | AddCommand, boot_key: int) -> _Row:
    """The columns from key to is_recovery."""
    if isinstance(added, AddAttempt):
        return (
            added.attempt_key,
            added.workflow_key,
            added.job_key,
            None,
            added.attempt_id,
            added.run_id,
            boot_key,
            _encode(added.gpus).decode() if added.gpus else None,
            added.is_recovery,
        )
    return (
        added.attempt_key,
        added.workflow_key,
        None,
        added.action,
        added.command,
        added.run_id,
        boot_key,
        None,
        False,
    )


def _boot_key(connection: sqlite3.Connection, boot_id: str) -> int:
    find = "SELECT key FROM boot WHERE boot_id = ?"
    row = connection.execute(find, (boot_id,)).fetchone()
    if row is None:
        connection.execute("INSERT INTO boot (boot_id) VALUES (?)", (boot_id,))
        row = connection.execute(find, (boot_id,)).fetchone()
    return int(row[0])


_Outcome = tuple[str | int | float | None, ...]

_NO_OUTCOME: _Outcome = ("pending", None, None, None, None, None, None, None)


def _outcome(saved: SaveAttempt) -> _Outcome:
    return (
        saved.status.value,
        None if saved.reason is None else saved.reason.value,
        saved.message,
        saved.return_code,
        saved.started_at,
        saved.ended_at,
        saved.cpu_seconds,
        saved.peak_memory_bytes,
    )


def _write_files(connection: sqlite3.Connection, files: Iterable[SaveFile]) -> None:
    for saved in files:
        state = saved.state
        if state is None:
            connection.execute("DELETE FROM file_state WHERE file_key = ?", (saved.file_key,))
            continue
        connection.execute(
            "INSERT OR REPLACE INTO file_state (file_key, size, mtime_ns, inode, sha256)"
            " VALUES (?, ?, ?, ?, ?)",
            (saved.file_key, state.size, state.mtime_ns, state.inode, bytes.fromhex(state.sha256)),
        )


def _write_jobs(connection: sqlite3.Connection, batch: Batch) -> None:
    _write_rows(
        connection,
        "INSERT OR REPLACE INTO job_state (job_key, status, stopping, reason, message,"
        " return_code, run_id, attempt_id, started_at, ended_at, may_skip, retry_at,"
        " recovery_script, trace_attempt, trace_definition, trace_given, trace_made, trace_made_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                key,
                job.status.value,
                job.stopping,
                None if job.reason is None else job.reason.value,
                job.message,
                job.return_code,
                job.run_id,
                job.attempt_id,
                job.started_at,
                job.ended_at,
                job.may_skip,
                *((None, None) if job.recovery is None else _rest(job.recovery)),
                *_trace(job.trace),
            )
            for key, job in batch.jobs.items()
        ],
    )


def _rest(recovery: Recovery) -> tuple[int, str | None]:
    return recovery.until, recovery.script


def _trace(trace: Trace | None) -> tuple[int | bytes | None, ...]:
    if trace is None:
        return (None,) * 5
    given, made = trace.given, trace.made
    return (
        trace.attempt_key,
        trace.definition.to_bytes(SIZE, "big"),
        None if given is None else given.to_bytes(SIZE, "big"),
        None if made is None else made.to_bytes(SIZE, "big"),
        trace.made_at,
    )


def _write_workflows(connection: sqlite3.Connection, workflows: Iterable[SaveWorkflow]) -> None:
    _write_rows(
        connection,
        "UPDATE workflow SET status = ?, stopping = ?, run_id = ?, started_at = ?, ended_at = ?,"
        " archived_at = ?, frozen_since = ?, job_counts = ? WHERE key = ?",
        [
            (
                w.status.value,
                w.stopping,
                w.run_id,
                w.started_at,
                w.ended_at,
                w.at if w.archived else None,
                w.frozen_since,
                None if w.job_counts is None else _counts(w.job_counts),
                w.workflow_key,
            )
            for w in workflows
        ],
    )


def _counts(counts: Mapping[JobStatus, int]) -> str:
    # By their words: as keys, not every msgspec takes what stands for them.
    return _encode({status.value: count for status, count in counts.items()}).decode()


def _count_jobs_of_those_over(connection: sqlite3.Connection, batch: Batch) -> None:
    """Of workflows that are over and changed all the same, so that a list of workflows need not
    look at their jobs."""
    touched = {job.workflow_key for job in batch.jobs.values()}.union(batch.workflows)
    touched.update(edited.workflow.key for edited in batch.edited)
    for key in touched - batch.counted:
        row = connection.execute("SELECT status FROM workflow WHERE key = ?", (key,)).fetchone()
        if row is None or WorkflowStatus(row[0]) not in WORKFLOW_OVER:
            continue
        counts = counts_of(connection, key)
        connection.execute(
            "UPDATE workflow SET job_counts = ? WHERE key = ?", (_encode(counts).decode(), key)
        )


def _write_happenings(connection: sqlite3.Connection, happenings: Sequence[Happening]) -> None:
    _write_rows(
        connection,
        "INSERT INTO event (first_number, workflow_key, happenings) VALUES (?, ?, ?)",
        [
            (run[0].number, run[0].workflow_key, _encode(run).decode())
            for run in _runs_of_one_workflow(happenings)
        ],
    )


def _runs_of_one_workflow(happenings: Sequence[Happening]) -> Iterable[Sequence[Happening]]:
    """They follow one another, and each holds as many as a row may."""
    for _, run in groupby(happenings, attrgetter("workflow_key")):
        while row := list(islice(run, MAX_HAPPENINGS_PER_ROW)):
            yield row
