"""What people ask for. These functions run on the thread of the connection that reads."""

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from torcd.errors import LostValue
from torcd.kept_block import used_block
from torcd.model import (
    AttemptKey,
    DataKey,
    Happening,
    JobKey,
    JobStatus,
    Owner,
    Timestamp,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.store.pruning import REFERRED_TO
from torcd.store.rows import AttemptRow, CommandRow, Counters, RevisionRow, WorkflowRow
from torcd.store.value_files import ValueFiles

_decode_counts = msgspec.json.Decoder(dict[JobStatus, int]).decode
_decode_happenings = msgspec.json.Decoder(list[Happening]).decode


def meta(connection: sqlite3.Connection) -> tuple[bytes, Counters]:
    """The secret, and where counting goes on."""
    secret, *counters = connection.execute(
        "SELECT secret, next_key, next_attempt_key, next_event_number, commits FROM meta"
    ).fetchone()
    return secret, Counters(*counters)


def _can_be_there(number: int) -> bool:
    """Whether a number that somebody gave could be in a column; SQLite takes no other."""
    return 0 <= number < 1 << 63


# Workflows

_WORKFLOW = (
    "SELECT key, name, description, user, directory, max_parallel_jobs, submitted_at, status,"
    " stopping, run_id, started_at, ended_at, archived_at, frozen_since, job_counts,"
    " owner_uid, owner_name"
    " FROM workflow"
    " WHERE deleted_at IS NULL"
)


def unfinished(connection: sqlite3.Connection) -> list[WorkflowKey]:
    rows = connection.execute(
        "SELECT key FROM workflow WHERE status IN ('running', 'paused') ORDER BY key"
    )
    return [WorkflowKey(key) for (key,) in rows]


def active_attempts(connection: sqlite3.Connection) -> list[AttemptKey]:
    rows = connection.execute(
        "SELECT a.key FROM workflow w JOIN attempt a ON a.workflow_key = w.key"
        " AND a.run_id = w.run_id"
        " WHERE w.status IN ('running', 'paused') AND a.ended_at IS NULL ORDER BY a.key"
    )
    return [AttemptKey(key) for (key,) in rows]


_OWN_UID = os.geteuid()
"""The owner of what is from before owners were written down."""


def newest_workflow(
    connection: sqlite3.Connection, owner_uid: int | None = None
) -> WorkflowKey | None:
    row = connection.execute(
        "SELECT key FROM workflow WHERE deleted_at IS NULL AND archived_at IS NULL"
        f"{'' if owner_uid is None else ' AND coalesce(owner_uid, ?) = ?'}"
        " ORDER BY key DESC LIMIT 1",
        () if owner_uid is None else (_OWN_UID, owner_uid),
    ).fetchone()
    return None if row is None else WorkflowKey(row[0])


def owner_uid(connection: sqlite3.Connection, key: WorkflowKey) -> int | None:
    """Of a workflow that is there, or whose rows are still being removed."""
    row = connection.execute(
        "SELECT coalesce(owner_uid, ?) FROM workflow WHERE key = ?", (_OWN_UID, key)
    ).fetchone()
    return None if row is None else int(row[0])


_OVER = "ended_at IS NOT NULL AND archived_at IS NULL AND deleted_at IS NULL"


def ended_before(connection: sqlite3.Connection, at: Timestamp) -> list[WorkflowKey]:
    rows = connection.execute(
        f"SELECT key FROM workflow WHERE {_OVER} AND ended_at < ? ORDER BY ended_at", (at,)
    )
    return [WorkflowKey(key) for (key,) in rows]


def first_end(connection: sqlite3.Connection) -> Timestamp | None:
    (at,) = connection.execute(f"SELECT min(ended_at) FROM workflow WHERE {_OVER}").fetchone()
    return None if at is None else Timestamp(at)


def workflows(connection: sqlite3.Connection) -> list[WorkflowRow]:
    return list(_workflow_rows(connection.execute(_WORKFLOW + " ORDER BY key")))


def workflow(connection: sqlite3.Connection, key: WorkflowKey) -> WorkflowRow | None:
    return next(_workflow_rows(connection.execute(_WORKFLOW + " AND key = ?", (key,))), None)


def _workflow_rows(rows: Iterable[Any]) -> Iterator[WorkflowRow]:
    for (
        key,
        name,
        description,
        user,
        directory,
        max_parallel_jobs,
        submitted_at,
        status,
        stopping,
        run_id,
        started_at,
        ended_at,
        archived_at,
        frozen_since,
        counts,
        owner_uid,
        owner_name,
    ) in rows:
        yield WorkflowRow(
            key=key,
            name=name,
            description=description,
            user=user,
            owner=None if owner_uid is None else Owner(owner_uid, owner_name),
            directory=directory,
            max_parallel_jobs=max_parallel_jobs,
            submitted_at=submitted_at,
            status=WorkflowStatus(status),
            stopping=bool(stopping),
            run_id=run_id,
            started_at=started_at,
            ended_at=ended_at,
            archived=archived_at is not None,
            frozen_since=frozen_since,
            jobs=None if counts is None else _decode_counts(counts),
        )


# Attempts


def attempts(
    connection: sqlite3.Connection,
    key: WorkflowKey,
    run_id: int | None,
    job_keys: Collection[JobKey] | None,
) -> list[AttemptRow]:
    if run_id is not None and not _can_be_there(run_id):
        return []
    rows = connection.execute(
        "SELECT a.key, job_key, a.run_id, attempt_id, a.status, reason, message, return_code,"
        " a.started_at, a.ended_at, cpu_seconds, peak_memory_bytes"
        " FROM attempt a JOIN workflow w ON w.key = a.workflow_key"
        f" WHERE a.workflow_key = ?{'' if run_id is None else ' AND a.run_id = ?'}"
        " AND job_key IS NOT NULL AND NOT is_recovery"
        f" AND (a.run_id > w.removed_runs OR {REFERRED_TO})"
        " ORDER BY job_key, a.run_id, attempt_id",
        (key,) if run_id is None else (key, run_id),
    )
    wanted = [row for row in rows if job_keys is None or row[1] in job_keys]
    return msgspec.convert(wanted, list[AttemptRow])


def removed_runs(connection: sqlite3.Connection, key: WorkflowKey) -> int:
    row = connection.execute("SELECT removed_runs FROM workflow WHERE key = ?", (key,)).fetchone()
    return 0 if row is None else int(row[0])


def action_commands(
    connection: sqlite3.Connection, key: WorkflowKey, run_id: int | None
) -> list[CommandRow]:
    if run_id is not None and not _can_be_there(run_id):
        return []
    rows = connection.execute(
        "SELECT key, action, attempt_id, run_id, status, reason, message, return_code,"
        " started_at, ended_at, cpu_seconds, peak_memory_bytes FROM attempt"
        f" WHERE workflow_key = ?{'' if run_id is None else ' AND run_id = ?'}"
        " AND job_key IS NULL ORDER BY run_id, action, attempt_id",
        (key,) if run_id is None else (key, run_id),
    )
    return msgspec.convert(rows.fetchall(), list[CommandRow])


# User data

_ANY_SIZE = 1 << 40

IN_PLACE_BYTES = 256 << 10
"""A value from here on is read from its place to where it shall be: SQLite makes no copy."""

_PIECE_BYTES = 128 << 10
"""Read at a time: a copy that the processor's cache holds costs less than memory for all of it."""

_REVISION = (
    " SELECT r.data_key, r.revision,"
    " CASE WHEN length(r.value) <= :most THEN r.value ELSE x'' END,"
    " coalesce(f.size_bytes, length(r.value)),"
    " lower(hex(r.sha256)), r.stored_at, r.run_id,"
    " r.attempt_key, coalesce(a.attempt_id, s.attempt_id), j.key, j.name, f.name, r.key"
    " FROM {source}"
    " LEFT JOIN value_file f ON f.revision_key = r.key"
    " LEFT JOIN attempt a ON a.key = r.attempt_key"
    " LEFT JOIN storer s ON s.attempt_key = r.attempt_key"
    " LEFT JOIN job j ON j.key = coalesce(a.job_key, s.job_key)"
)

_NEWEST = (
    _REVISION.format(source="user_data d JOIN revision r ON r.key = d.newest")
    + " WHERE d.key = :key"
)

# From the newest one back; the rows' values are not touched on the way.
_CHAIN = (
    "WITH RECURSIVE chain (key, previous, revision) AS ("
    " SELECT r.key, r.previous, r.revision"
    " FROM user_data d JOIN revision r ON r.key = d.newest WHERE d.key = :key"
    " UNION ALL SELECT r.key, r.previous, r.revision"
    " FROM chain c JOIN revision r ON r.key = c.previous)"
)

_HISTORY = _CHAIN + _REVISION.format(source="chain c JOIN revision r ON r.key = c.key")

_ONE_REVISION = _CHAIN + _REVISION.format(
    source="(SELECT key FROM chain WHERE revision = :revision LIMIT 1) c"
    " JOIN revision r ON r.key = c.key"
)


def value(
    connection: sqlite3.Connection,
    files: ValueFiles,
    key: DataKey,
    revision: int | None,
    max_bytes: int | None,
) -> RevisionRow | None:
    """Without the value itself if that has more than `max_bytes`. Raises LostValue."""
    if revision is not None and not _can_be_there(revision):
        return None
    most = _ANY_SIZE if max_bytes is None else max_bytes
    given = {"key": key, "revision": revision, "most": min(most, IN_PLACE_BYTES)}
    connection.execute("BEGIN")
    try:
        row = connection.execute(_NEWEST if revision is None else _ONE_REVISION, given).fetchone()
        if row is None:
            return None
        *told, revision_key = row
        found = msgspec.convert(told, RevisionRow)
        if found.size_bytes > most:
            return found
        if found.file is not None:
            text = files.read(found.file, found.size_bytes)
        elif found.size_bytes > IN_PLACE_BYTES:
            with connection.blobopen("revision", "value", revision_key, readonly=True) as blob:
                text = _in_a_block(blob)
        else:
            return found
        return msgspec.structs.replace(found, value=text)
    except LostValue as error:
        lost = error
    finally:
        connection.execute("COMMIT")
    if _is_of_a_deleted_workflow(connection, key):  # since the row was read
        return None
    raise lost


def _is_of_a_deleted_workflow(connection: sqlite3.Connection, key: DataKey) -> bool:
    row = connection.execute(
        "SELECT w.deleted_at FROM user_data d JOIN workflow w ON w.key = d.workflow_key"
        " WHERE d.key = ?",
        (key,),
    ).fetchone()
    return row is None or row[0] is not None


def _in_a_block(blob: sqlite3.Blob) -> memoryview:
    whole = used_block(len(blob))
    while piece := blob.read(_PIECE_BYTES):
        whole.write(piece)
    return memoryview(whole)[: len(blob)]


def revisions(connection: sqlite3.Connection, key: DataKey, max_bytes: int) -> list[RevisionRow]:
    """All, oldest first, each without a value that has more than `max_bytes`, or is in a file."""
    rows = connection.execute(_HISTORY, {"key": key, "most": max_bytes}).fetchall()
    # Not ORDER BY: SQLite would copy all the values into its sorter.
    return sorted(
        (msgspec.convert(told, RevisionRow) for *told, _ in rows), key=lambda row: row.revision
    )


# Happenings


def happenings(
    connection: sqlite3.Connection, since: int, key: WorkflowKey | None, limit: int | None
) -> list[Happening]:
    """Those from number `since` on, at most `limit`."""
    since = max(since, 1)
    if not _can_be_there(since):
        return []
    rows = connection.execute(
        # `since` may be in the middle of a row.
        "SELECT happenings FROM event WHERE first_number >= coalesce("
        "(SELECT max(first_number) FROM event WHERE first_number <= ?), 0)"
        f"{'' if key is None else ' AND workflow_key = ?'} ORDER BY first_number",
        (since,) if key is None else (since, key),
    )
    found: list[Happening] = []
    for (text,) in rows:
        found += [h for h in _decode_happenings(text) if h.number >= since]
        if limit is not None and len(found) >= limit:
            break
    return found[:limit]
