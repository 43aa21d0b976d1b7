"""Removing old runs of workflows that stay, some rows at a time.

In this order, so that whatever interrupts it, it can be begun again at any time:

    1  who stored the revisions of these runs is noted (`storer`), since revisions are kept
    2  the workflow's row says that the runs are removed: from now on nobody is told of them
    3  attempts go; whoever removes them has removed their logs before
    4  events go

An attempt stays as long as the present state of a job refers to its run: the job has not run since,
so it is its newest one; or it is what a restart compares with (`torcd.model.Trace`), and what the
job takes back when it turns out to be up to date. Of such a run all attempts of that job stay. What
an edit has taken out is never run again, and keeps nothing.
"""

import contextlib
import sqlite3
from collections.abc import Collection, Iterator

import msgspec

from torcd.model import AttemptKey, DataKey, WorkflowKey
from torcd.store.rows import OldAttempt, Removable

ROWS_IN_A_STEP = 2_000
"""Some milliseconds, for which a commit, or somebody who reads, may have to wait."""

EVENT_ROWS_IN_A_STEP = 20
"""Each may hold 256 happenings, which are read to see of which run they are."""

REFERRED_TO = (
    "EXISTS (SELECT 1 FROM job_state s JOIN job j ON j.key = s.job_key"
    " LEFT JOIN attempt t ON t.key = s.trace_attempt"
    " WHERE s.job_key = a.job_key AND j.removed_at IS NULL AND a.run_id IN (s.run_id, t.run_id))"
)
"""Whether the present state of its job refers to the run of attempt `a`."""


class _RunOf(msgspec.Struct, gc=False):
    """What matters of a happening."""

    run_id: int = 0


_decode_runs = msgspec.json.Decoder(list[_RunOf]).decode
_decode_texts = msgspec.json.Decoder(list[msgspec.Raw]).decode

Place = tuple[DataKey, int | None]
"""How far the revisions of a workflow have been looked at: those of user_data up to that key; or
the ones of that user_data from the row of that key back are next."""

START: Place = (DataKey(0), None)


def removable(
    connection: sqlite3.Connection, keep: int, key: WorkflowKey | None
) -> list[Removable]:
    """Workflows, or that one, with more than `keep` runs; those that are archived are kept."""
    rows = connection.execute(
        "SELECT key, max(run_id - ?, removed_runs) FROM workflow"
        " WHERE run_id > ? AND archived_at IS NULL AND deleted_at IS NULL"
        f"{'' if key is None else ' AND key = ?'} ORDER BY key",
        (keep, keep) if key is None else (keep, keep, key),
    )
    return [Removable(workflow_key=WorkflowKey(key), runs=runs) for key, runs in rows]


def note_storers(connection: sqlite3.Connection, old: Removable, place: Place) -> Place | None:
    """One step. Returns where the next one begins; None: all have been noted."""
    row = connection.execute(
        "SELECT w.removed_runs, max(d.key) FROM workflow w"
        " JOIN user_data d ON d.workflow_key = w.key WHERE w.key = ?",
        (old.workflow_key,),
    ).fetchone()
    noted, last = row
    if last is None or noted >= old.runs:
        return None
    found: list[int] = []
    left = ROWS_IN_A_STEP
    data_key = place[0]
    chains = [] if place[1] is None else [place]
    rows = connection.execute(
        "SELECT key, newest, workflow_key FROM user_data WHERE key > ? AND key <= ?"
        " ORDER BY key LIMIT ?",
        (data_key, last, left),
    ).fetchall()
    # Among the keys of one workflow may be some of others: an edit takes keys of its own.
    chains += [(key, newest if of == old.workflow_key else None) for key, newest, of in rows]
    next_place: Place | None = None if len(rows) < left else (rows[-1][0], None)
    for data_key, revision in chains:
        while revision is not None and left > 0:
            revision, run_id, attempt_key = connection.execute(
                "SELECT previous, run_id, attempt_key FROM revision WHERE key = ?", (revision,)
            ).fetchone()
            left -= 1
            # Run 0 is that of what specs gave, at any time.
            if 0 < run_id <= noted:
                revision = None
            elif run_id <= old.runs and attempt_key is not None:
                found.append(attempt_key)
        left -= 1
        if left <= 0:
            next_place = (data_key, revision)
            break
    if found:
        with _transaction(connection):
            connection.executemany(
                "INSERT OR IGNORE INTO storer (attempt_key, workflow_key, job_key, attempt_id)"
                " SELECT key, workflow_key, job_key, attempt_id FROM attempt WHERE key = ?",
                [(key,) for key in found],
            )
    return next_place


def mark_removed(connection: sqlite3.Connection, old: Removable) -> bool:
    """Returns whether they had not been."""
    marked = connection.execute(
        "UPDATE workflow SET removed_runs = ? WHERE key = ? AND removed_runs < ?",
        (old.runs, old.workflow_key, old.runs),
    )
    return marked.rowcount > 0


def old_attempts(
    connection: sqlite3.Connection, old: Removable, after: tuple[int, AttemptKey]
) -> list[OldAttempt]:
    """Some of those in removed runs, after that run and key; [] when there are no more."""
    rows = connection.execute(
        "SELECT a.key, a.run_id, a.job_key, a.action, a.attempt_id, a.is_recovery,"
        f" {REFERRED_TO} FROM attempt a"
        " WHERE a.workflow_key = ? AND a.run_id <= ? AND (a.run_id, a.key) > (?, ?)"
        " ORDER BY a.run_id, a.key LIMIT ?",
        (old.workflow_key, old.runs, *after, ROWS_IN_A_STEP),
    )
    return msgspec.convert(rows.fetchall(), list[OldAttempt], strict=False)


def remove_attempts(connection: sqlite3.Connection, keys: Collection[AttemptKey]) -> None:
    with _transaction(connection):
        connection.executemany("DELETE FROM attempt WHERE key = ?", [(key,) for key in keys])


def remove_events(connection: sqlite3.Connection, old: Removable) -> bool:
    """One step. True: there are none of these runs any more."""
    with _transaction(connection):
        rows = connection.execute(
            "SELECT first_number, happenings FROM event WHERE workflow_key = ?"
            " ORDER BY first_number LIMIT ?",
            (old.workflow_key, EVENT_ROWS_IN_A_STEP),
        ).fetchall()
        for first, text in rows:
            runs = [of.run_id for of in _decode_runs(text)]
            first_kept = next((n for n, run in enumerate(runs) if run > old.runs), None)
            if first_kept == 0:
                return True
            connection.execute("DELETE FROM event WHERE first_number = ?", (first,))
            if first_kept is not None:
                # Of two runs: the row is of what is left.
                left = b",".join(map(bytes, _decode_texts(text)[first_kept:])).decode()
                connection.execute(
                    "INSERT INTO event (first_number, workflow_key, happenings) VALUES (?, ?, ?)",
                    (first + first_kept, old.workflow_key, f"[{left}]"),
                )
                return True
    return len(rows) < EVENT_ROWS_IN_A_STEP


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
