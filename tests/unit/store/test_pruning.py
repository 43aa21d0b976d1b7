"""Runs that are kept no more: what goes, what stays because something refers to it."""

from pathlib import Path

import anyio
import msgspec
import pytest

from tests.store_world import (
    add_attempt,
    commit,
    create,
    data_key,
    happening,
    looking_at,
    save_attempt,
    save_job,
    save_value,
    save_workflow,
)
from tests.unit.store.test_traces import TRACE
from torcd.model import JobKey, JobStatus, Reason, Timestamp, WorkflowKey, WorkflowStatus
from torcd.scheduler.commands import EditWorkflow
from torcd.scheduler.sharing import BOUNDLESS
from torcd.store import Store, check, pruning
from torcd.store.agreement import Problem
from torcd.store.rows import OldAttempt, Removable

W = WorkflowKey(1)
CREATION = create(n_jobs=3, n_data=2)
VALUE, OTHER = data_key(CREATION, 1), data_key(CREATION, 2)
RUNS = 4


def trace(attempt: int, run: int):
    return msgspec.structs.replace(TRACE, attempt_key=attempt, run_id=run)


async def lived(store: Store) -> None:
    """Four runs of three jobs. Job 2 ran in all of them, twice in each, and stored a value; job 3
    only in the first, and is up to date; job 4 failed in the third, and completed in the first.
    In the end a spec gives the value."""
    await commit(store, CREATION, save_value(OTHER, 1, b"0", run_id=0))
    for run in range(1, RUNS + 1):
        attempts = [
            add_attempt(run * 10 + 1, 2, run_id=run, attempt_id=1),
            add_attempt(run * 10 + 2, 2, run_id=run, attempt_id=2),
        ]
        records = [
            save_attempt(run * 10 + 1, JobStatus.FAILED),
            save_attempt(run * 10 + 2),
            save_value(VALUE, 2 * run - 1, b"%d" % run, attempt_key=run * 10 + 2, run_id=run),
            save_value(VALUE, 2 * run, b"%d1" % run, attempt_key=run * 10 + 2, run_id=run),
            save_job(
                2, JobStatus.COMPLETED, run_id=run, attempt_id=2, trace=trace(run * 10 + 2, run)
            ),
        ]
        if run == 1:
            attempts += [add_attempt(13, 3), add_attempt(14, 4)]
            records += [save_attempt(13), save_attempt(14)]
            records += [save_job(3, JobStatus.COMPLETED, attempt_id=1, trace=trace(13, 1))]
            records += [save_job(4, JobStatus.COMPLETED, attempt_id=1, trace=trace(14, 1))]
        if run == 3:
            failed = save_job(
                4,
                JobStatus.FAILED,
                reason=Reason.EXIT,
                message="exited with status 1",
                run_id=3,
                attempt_id=1,
                trace=trace(14, 1),
            )
            attempts += [add_attempt(34, 4, run_id=3)]
            records += [save_attempt(34, JobStatus.FAILED), failed]
        status = WorkflowStatus.COMPLETED if run < 3 else WorkflowStatus.FAILED
        await commit(
            store,
            *attempts,
            *records,
            save_workflow(1, status, run_id=run),
            # The first of a run is told together with the last of the one before.
            happenings=[happening(3 * run - 2 + n, run_id=run + n // 2) for n in range(3)],
        )
    await commit(store, save_value(VALUE, 2 * RUNS + 1, b"0", run_id=0))


async def pruned(store: Store, keep: int) -> None:
    (old,) = await store.removable(keep)
    place = await store.note_storers(old)
    while place is not None:
        place = await store.note_storers(old, place)
    await store.mark_removed(old)
    last: OldAttempt | None = None
    while found := await store.old_attempts(old, last):
        last = found[-1]
        await store.remove_attempts([one.key for one in found if not one.is_referred_to])
    while not await store.remove_events(old):
        pass


async def problems(path: Path) -> list[Problem]:
    return list((await anyio.to_thread.run_sync(check, path, BOUNDLESS)).items)


async def results(store: Store) -> list[tuple[int, int]]:
    return sorted((row.job_key, row.run_id) for row in await store.attempts(W))


async def test_what_no_job_comes_from_goes(store: Store, path: Path) -> None:
    await lived(store)
    before = await store.load(W)
    assert await store.removable(4) == []
    await pruned(store, 2)
    # Of job 4 the third run is its state, and the first what it completed with.
    assert await results(store) == [(2, 3), (2, 3), (2, 4), (2, 4), (3, 1), (4, 1), (4, 3)]
    assert await store.removed_runs(W) == 2
    assert [row.job_key for row in await store.attempts(W, run_id=1)] == [3, 4]
    assert await store.attempts(W, run_id=2) == []
    after = await store.load(W)
    assert after is not None
    assert before is not None
    changed = msgspec.structs.replace(after.event, at=before.event.at)
    assert changed == before.event
    assert await problems(path) == []


@pytest.mark.parametrize("rows", [1, 2, 3, 2_000])
async def test_all_revisions_stay_with_who_stored_them(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(pruning, "ROWS_IN_A_STEP", rows)
    await lived(store)
    before = await store.revisions(VALUE)
    assert [(row.job_name, row.run_id, row.attempt_id) for row in before[::2]] == [
        *(("j1", run, 2) for run in range(1, RUNS + 1)),
        (None, 0, None),
    ]
    for keep in (3, 1):
        await pruned(store, keep)
        assert await store.revisions(VALUE) == before
        assert await problems(path) == []
    with looking_at(path) as connection:
        noted = connection.execute("SELECT attempt_key FROM storer ORDER BY 1").fetchall()
        left = connection.execute("SELECT key FROM attempt WHERE run_id = 2").fetchall()
    assert noted == [(12,), (22,), (32,)]
    assert left == []


async def test_events_of_the_runs_go_to_the_last_one(store: Store, path: Path) -> None:
    await lived(store)
    await pruned(store, 2)
    found = await store.happenings(1)
    assert [(h.number, h.run_id) for h in found] == [
        (6, 3), (7, 3), (8, 3), (9, 4), (10, 4), (11, 4), (12, 5)
    ]  # fmt: skip
    assert await store.happenings(8, workflow_key=W) == found[2:]
    assert await problems(path) == []


async def test_events_go_some_rows_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "EVENT_ROWS_IN_A_STEP", 1)
    await lived(store)
    old = Removable(workflow_key=W, runs=3)
    steps = [await store.remove_events(old) for _ in range(4)]
    assert steps == [False, False, True, True]
    assert [h.run_id for h in await store.happenings(1)] == [4, 4, 4, 5]


async def test_half_way_it_is_sound_and_nobody_is_told_of_the_rest(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lived(store)
    (old,) = await store.removable(2)
    while await store.note_storers(old) is not None:
        pass
    assert await store.mark_removed(old)
    assert not await store.mark_removed(old)
    told = await results(store)
    monkeypatch.setattr(pruning, "ROWS_IN_A_STEP", 1)
    (first,) = await store.old_attempts(old, None)
    await store.remove_attempts([first.key])  # of two attempts of a run
    assert await results(store) == told
    assert await problems(path) == []


async def test_one_that_is_archived_is_left_alone(store: Store) -> None:
    await lived(store)
    await commit(store, save_workflow(1, WorkflowStatus.FAILED, run_id=RUNS, archived=True))
    assert await store.removable(1) == []
    assert await store.removable(1, W) == []


async def test_to_keep_more_brings_nothing_back_and_finishes_what_was_begun(store: Store) -> None:
    await lived(store)
    await pruned(store, 1)
    assert await store.removable(2) == [Removable(workflow_key=W, runs=3)]


async def test_what_an_edit_has_taken_out_keeps_nothing(store: Store, path: Path) -> None:
    await lived(store)
    left = msgspec.structs.replace(
        CREATION.workflow, jobs=tuple(j for j in CREATION.workflow.jobs if j.key != 3)
    )
    await commit(
        store,
        EditWorkflow(
            workflow=left,
            jobs=(),
            files=(),
            user_data=(),
            removed_jobs=(JobKey(3),),
            removed_files=(),
            removed_user_data=(),
            next_key=20,
            at=Timestamp(9000),
        ),
    )
    assert (3, 1) in await results(store)
    await pruned(store, 2)
    assert (3, 1) not in await results(store)
    assert await problems(path) == []
