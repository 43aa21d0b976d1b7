"""Whether the rows of a database agree with one another: what is always true of them, whatever has
happened. Rows of deleted workflows and removed runs, which go some at a time, need not."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator

import msgspec

from torcd import value
from torcd.errors import InvalidValue
from torcd.model import WORKFLOW_OVER, Happening
from torcd.store import reading
from torcd.store.counting import counts_of
from torcd.store.pruning import REFERRED_TO
from torcd.store.rows import Counters

_OVER = ", ".join(f"'{status.value}'" for status in WORKFLOW_OVER)
_ENDED = "'completed', 'failed', 'canceled', 'terminated'"

# Their rows go some at a time, and what is left of them need not agree.
_DELETED = "SELECT key FROM workflow WHERE deleted_at IS NOT NULL"

_PRESENT_JOBS = f"SELECT key FROM job WHERE removed_at IS NULL AND workflow_key NOT IN ({_DELETED})"

_decode_happenings = msgspec.json.Decoder(list[Happening]).decode


class Problem(msgspec.Struct, frozen=True):
    check: str
    """Which invariant: a word."""
    subject: str
    """What it is about, as `workflow 7`."""
    message: str


Found = Iterator[Problem]


# Numbers


def _counters(connection: sqlite3.Connection) -> Found:
    counters: Counters = reading.meta(connection)[1]
    for table, column, bound in (
        ("workflow", "key", counters.next_key),
        ("job", "key", counters.next_key),
        ("file", "key", counters.next_key),
        ("user_data", "key", counters.next_key),
        ("attempt", "key", counters.next_attempt_key),
    ):
        for (key,) in connection.execute(f"SELECT {column} FROM {table} WHERE key >= ?", (bound,)):
            yield Problem("counters", f"{table} {key}", f"its key would be given again at {bound}")
    for key, count in connection.execute(
        "SELECT key, count(*) FROM (SELECT key FROM workflow UNION ALL SELECT key FROM job"
        " UNION ALL SELECT key FROM file UNION ALL SELECT key FROM user_data)"
        " GROUP BY key HAVING count(*) > 1"
    ):
        yield Problem("counters", f"key {key}", f"{count} things have it")


def _events(connection: sqlite3.Connection) -> Found:
    """Rows may have gone with their workflow; those that are there follow one another."""
    next_number = 1
    last = reading.meta(connection)[1].next_happening
    for first, workflow, text in connection.execute(
        "SELECT first_number, workflow_key, happenings FROM event ORDER BY first_number"
    ):
        subject = f"event {first}"
        try:
            happenings = _decode_happenings(text)
        except msgspec.MsgspecError as error:
            yield Problem("events", subject, f"cannot be read: {error}")
            continue
        if [h.number for h in happenings] != list(range(first, first + len(happenings))):
            yield Problem("events", subject, "its numbers do not follow one another")
        if first < next_number:
            yield Problem("events", subject, f"its number was given before {next_number}")
        next_number = first + len(happenings)
        if next_number > last:
            yield Problem("events", subject, f"its number would be given again at {last}")
        if any(h.workflow_key != workflow for h in happenings):
            yield Problem("events", subject, f"is not of workflow {workflow} alone")


# Values


def _values(connection: sqlite3.Connection) -> Found:
    """Revisions count from 1 without gaps, each points to the one before, the last is newest."""
    rows = connection.execute(
        "SELECT d.key, d.newest, r.key, r.revision, r.previous FROM user_data d"
        " LEFT JOIN revision r ON r.data_key = d.key ORDER BY d.key, r.revision, r.key"
    )
    for (key, newest), revisions in itertools.groupby(rows, lambda row: row[:2]):
        subject = f"user_data {key}"
        last: int | None = None
        for position, (_, _, row, number, previous) in enumerate(revisions, start=1):
            if row is None:
                continue
            if number != position:
                yield Problem("revisions", subject, f"revision {number} stands at {position}")
            if previous != last:
                yield Problem("revisions", subject, f"revision {number} does not follow the last")
            last = row
        if newest != last:
            yield Problem("revisions", subject, "what it has as the newest is not its last")
    for key, attempt in connection.execute(
        "SELECT data_key, attempt_key FROM revision"
        " WHERE attempt_key IS NOT NULL AND attempt_key NOT IN (SELECT key FROM attempt)"
        " AND attempt_key NOT IN (SELECT attempt_key FROM storer)"
    ):
        message = f"attempt {attempt} stored a revision, and is not there"
        yield Problem("revisions", f"user_data {key}", message)


def identity_of(text: bytes) -> bytes | None:
    """None: it is no value at all."""
    try:
        return bytes.fromhex(value.parse(text, name="", max_bytes=len(text)).sha256)
    except InvalidValue:
        return None


def _hashes(connection: sqlite3.Connection) -> Found:
    for key, number, sha256, text in connection.execute(
        "SELECT data_key, revision, sha256, value FROM revision"
        " WHERE key NOT IN (SELECT revision_key FROM value_file)"
    ):
        if identity_of(text) != sha256:
            message = f"the SHA-256 of revision {number} is not that of its value"
            yield Problem("hashes", f"user_data {key}", message)


# What runs and has run


def _attempts(connection: sqlite3.Connection) -> Found:
    for key, problem in connection.execute(
        "SELECT a.key, CASE"
        " WHEN w.key IS NULL THEN 'its workflow ' || a.workflow_key || ' is not there'"
        " WHEN b.key IS NULL THEN 'its boot of the machine is not there'"
        " WHEN (a.job_key IS NULL) = (a.action IS NULL)"
        "  THEN 'is of a job and of an action, or of neither'"
        " WHEN j.key IS NOT NULL AND j.workflow_key != a.workflow_key"
        "  THEN 'its job is of workflow ' || j.workflow_key"
        f" WHEN (a.status IN ({_ENDED})) != (a.ended_at IS NOT NULL)"
        "  THEN 'is ' || a.status || ', and ended at ' || coalesce(a.ended_at, 'no time')"
        " WHEN a.run_id > w.run_id THEN 'is of run ' || a.run_id || ', which has yet to come'"
        f" WHEN a.ended_at IS NULL AND w.status IN ({_OVER})"
        "  THEN 'has not ended, and its workflow is ' || w.status"
        " WHEN a.ended_at IS NULL AND a.run_id != w.run_id"
        "  THEN 'has not ended, and run ' || a.run_id || ' has'"
        " END AS problem"
        " FROM attempt a LEFT JOIN workflow w ON w.key = a.workflow_key"
        " LEFT JOIN boot b ON b.key = a.boot_key LEFT JOIN job j ON j.key = a.job_key"
        " WHERE problem IS NOT NULL AND w.deleted_at IS NULL"
    ):
        yield Problem("attempts", f"attempt {key}", problem)
    for job, run, count, newest, active in connection.execute(
        "SELECT job_key, a.run_id, count(DISTINCT attempt_id), max(attempt_id),"
        " sum(a.ended_at IS NULL) FROM attempt"
        " a JOIN workflow w ON w.key = a.workflow_key"
        " WHERE job_key IS NOT NULL AND NOT is_recovery AND deleted_at IS NULL"
        # Of removed runs, some are gone and some not yet; what is referred to is all there.
        f" AND (a.run_id > w.removed_runs OR {REFERRED_TO})"
        " GROUP BY job_key, a.run_id"
        " HAVING count(*) != max(attempt_id) OR count(DISTINCT attempt_id) != max(attempt_id)"
        " OR sum(a.ended_at IS NULL) > 1"
    ):
        message = f"run {run} has {count} attempts up to number {newest}, {active} at work"
        yield Problem("attempts", f"job {job}", message)


def _jobs(connection: sqlite3.Connection) -> Found:
    for key, status, attempt, problem in connection.execute(
        "SELECT s.job_key, s.status, s.attempt_id, CASE"
        " WHEN a.key IS NULL THEN 'is not there' ELSE 'has not ended' END"
        " FROM job_state s LEFT JOIN attempt a"
        " ON a.job_key = s.job_key AND a.run_id = s.run_id AND a.attempt_id = s.attempt_id"
        " AND NOT a.is_recovery"
        f" WHERE s.status IN ({_ENDED}) AND s.attempt_id > 0 AND a.ended_at IS NULL"
        # What an edit has taken out keeps no attempts of removed runs.
        f" AND s.job_key IN ({_PRESENT_JOBS})"
    ):
        message = f"is {status}, and its attempt {attempt} {problem}"
        yield Problem("jobs", f"job {key}", message)
    for key, attempt in connection.execute(
        "SELECT job_key, trace_attempt FROM job_state WHERE trace_attempt IS NOT NULL"
        " AND trace_attempt NOT IN (SELECT key FROM attempt WHERE ended_at IS NOT NULL)"
        f" AND job_key IN ({_PRESENT_JOBS})"
    ):
        message = f"attempt {attempt} was its last to complete, and is not there, or not over"
        yield Problem("jobs", f"job {key}", message)


def _workflows(connection: sqlite3.Connection) -> Found:
    for key, status, ended in connection.execute(
        "SELECT key, status, ended_at FROM workflow"
        f" WHERE (status IN ({_OVER})) != (ended_at IS NOT NULL)"
    ):
        yield Problem("workflows", f"workflow {key}", f"is {status}, and ended at {ended}")
    for key, removed, run in connection.execute(
        "SELECT key, removed_runs, run_id FROM workflow WHERE removed_runs >= run_id"
    ):
        message = f"its first {removed} runs are removed, and it is at run {run}"
        yield Problem("workflows", f"workflow {key}", message)
    for (key,) in connection.execute(
        "SELECT key FROM workflow WHERE deleted_at IS NULL"
        " AND key NOT IN (SELECT workflow_key FROM workflow_environment)"
    ):
        yield Problem("workflows", f"workflow {key}", "what its jobs inherit is not there")
    for key, text in connection.execute(
        "SELECT key, job_counts FROM workflow WHERE job_counts NOT NULL AND deleted_at IS NULL"
    ):
        there_are = counts_of(connection, key)
        if msgspec.json.decode(text) != there_are:
            message = f"its jobs were counted as {text}, and there are {there_are}"
            yield Problem("workflows", f"workflow {key}", message)


CHECKS: tuple[Callable[[sqlite3.Connection], Found], ...] = (
    _counters,
    _events,
    _values,
    _hashes,
    _attempts,
    _jobs,
    _workflows,
)
