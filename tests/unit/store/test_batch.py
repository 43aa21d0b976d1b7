"""A batch comes to what its records come to one by one."""

import itertools
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store_world import (
    BOOT,
    add_attempt,
    create,
    dump,
    happening,
    save_attempt,
    save_job,
    save_value,
    save_workflow,
)
from torcd.model import AttemptKey, JobStatus, WorkflowStatus
from torcd.scheduler.commands import ClearValue, Record, RemoveAttempt
from torcd.store import reading, writing
from torcd.store.batch import Batch
from torcd.store.schema import open_database

N_JOBS = 3
FIRST_DATA = N_JOBS + 3


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Records in an order in which a scheduler could give them: attempts are added once, end or
    are removed once, and revisions count up."""
    records: list[Record] = [create(n_jobs=N_JOBS, n_data=2)]
    next_attempt, active = 1, list[int]()
    revisions = [0, 0]
    for _ in range(draw(st.integers(0, 25))):
        kind = draw(st.sampled_from(["add", "end", "remove", "job", "workflow", "value"]))
        if kind == "add":
            job_key = draw(st.integers(2, 1 + N_JOBS))
            records.append(add_attempt(next_attempt, job_key, attempt_id=next_attempt))
            active.append(next_attempt)
            next_attempt += 1
        elif kind == "job":
            status = draw(st.sampled_from(JobStatus))
            code = draw(st.none() | st.integers(-64, 255))
            records.append(save_job(draw(st.integers(2, 1 + N_JOBS)), status, return_code=code))
        elif kind == "workflow":
            records.append(save_workflow(1, draw(st.sampled_from(WorkflowStatus))))
        elif kind == "value":
            n = draw(st.integers(0, 1))
            revisions[n] += 1
            by = draw(st.sampled_from([*active, None]))
            records.append(
                save_value(FIRST_DATA + n, revisions[n], b"%d" % len(records), attempt_key=by)
            )
        elif active:
            key = active[draw(st.integers(0, len(active) - 1))]
            if kind == "end":
                running = draw(st.booleans())
                status = JobStatus.RUNNING if running else JobStatus.FAILED
                records.append(save_attempt(key, status, ended_at=None if running else 9))
                if not running:
                    active.remove(key)
            else:
                records.append(RemoveAttempt(AttemptKey(key)))
                active.remove(key)
    return records


@settings(max_examples=40, deadline=None)
@given(records=histories(), data=st.data())
def test_however_records_are_cut_into_batches_the_database_is_the_same(
    empty: Path, records: list[Record], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(records)))) | {0, len(records)})
    in_batches = [records[a:b] for a, b in itertools.pairwise(cuts)]
    one_by_one = [[record] for record in records]

    assert written(empty, in_batches) == written(empty, one_by_one)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, to be copied: making one costs more than all that is written to it."""
    path = tmp_path_factory.mktemp("batches") / "empty.db"
    open_database(path)[0].close()
    return path


def written(empty: Path, batches: list[list[Record]]) -> object:
    path = empty.with_name("written.db")
    shutil.copy(empty, path)
    connection, _ = open_database(path)
    connection.execute("PRAGMA synchronous = OFF")
    for batch in batches:
        writing.write(connection, batch, [], {}, BOOT, reading.meta(connection)[1])
    connection.close()
    return dump(path)


@pytest.mark.parametrize("first", [1, 2], ids=["first", "another"])
def test_a_value_that_is_written_alone_is_written_as_ever(
    empty: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    def written_anew() -> object:
        path = empty.with_name("alone.db")
        shutil.copy(empty, path)
        connection, _ = open_database(path)
        counters = reading.meta(connection)[1]
        made = [create(n_jobs=N_JOBS, n_data=2), save_value(FIRST_DATA + 1, 1, b"0")]
        made.append(ClearValue(workflow_key=1, data_key=FIRST_DATA))
        counters = writing.write(connection, made, [happening(6)], {}, BOOT, counters)
        for n in range(first, first + 2):
            value = save_value(FIRST_DATA, n, b"[%d]" % n, attempt_key=9, changed_at=n)
            told = happening(6 + n, kind="value_stored", data_key=FIRST_DATA)
            counters = writing.write(connection, [value], [told], {}, BOOT, counters)
        assert reading.meta(connection)[1] == counters
        connection.close()
        return dump(path), counters

    alone = written_anew()
    monkeypatch.setattr(writing, "_is_small_value", lambda _: False)
    assert written_anew() == alone


def test_a_value_that_cannot_be_written_alone_leaves_nothing(empty: Path) -> None:
    path = empty.with_name("nothing.db")
    shutil.copy(empty, path)
    connection, _ = open_database(path)
    counters = reading.meta(connection)[1]
    before = dump(path)
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        writing.write(connection, [save_value(77, 1, b"0")], [happening(1)], {}, BOOT, counters)
    assert not connection.in_transaction
    connection.close()
    assert dump(path) == before


def test_only_the_last_state_of_a_job_is_written() -> None:
    last = save_job(2, JobStatus.COMPLETED)
    batch = Batch([save_job(2, JobStatus.PENDING), save_job(2, JobStatus.CANCELED), last])
    assert batch.jobs == {2: last}


def test_an_attempt_taken_back_in_the_batch_that_adds_it_is_not_written() -> None:
    batch = Batch([add_attempt(5, 2), save_attempt(5), RemoveAttempt(AttemptKey(5))])
    assert (batch.added, batch.saved, batch.removed) == ({}, {}, set())
    assert batch.next_attempt_key == 6


def test_a_job_that_starts_and_ends_in_one_batch_writes_two_rows(
    tmp_path: Path,
) -> None:
    connection, _ = open_database(tmp_path / "a.db")
    writing.write(connection, [create(n_jobs=20)], [], {}, BOOT, reading.meta(connection)[1])
    writing.write(connection, [add_attempt(100, 2)], [], {}, BOOT, reading.meta(connection)[1])

    def rows_changed(jobs: range) -> int:
        records: list[Record] = []
        for n in jobs:
            records += [add_attempt(n, n), save_attempt(n), save_job(n, JobStatus.COMPLETED)]
        before = connection.total_changes
        writing.write(connection, records, [], {}, BOOT, reading.meta(connection)[1])
        return connection.total_changes - before

    one = rows_changed(range(2, 3))
    ten = rows_changed(range(3, 13))
    connection.close()
    # One row of the attempt, one of the job; the counters once a batch.
    assert (one, ten) == (2 + 1, 20 + 1)
