"""Deleted workflows: out of sight at once, and nothing is left of them in the end."""

from pathlib import Path

import msgspec
import pytest

from tests.store_world import (
    add_attempt,
    added,
    change_spec,
    commit,
    create,
    data_key,
    dump,
    happening,
    looking_at,
    save_attempt,
    save_job,
    save_value,
    save_workflow,
)
from torcd.model import JobStatus, SpecChange, Timestamp, WorkflowKey, WorkflowStatus
from torcd.scheduler.commands import RemoveWorkflow
from torcd.store import Store, sweeping

W = WorkflowKey(1)
REMOVED = RemoveWorkflow(workflow_key=W, at=Timestamp(9500))


async def lived(store: Store, key: int = 1, *, n_jobs: int = 2) -> None:
    """A workflow that is over and has a row in every table."""
    creation = msgspec.structs.replace(create(key, n_jobs=n_jobs, n_data=2), spec=b"{}")
    attempts = [add_attempt(key * 100 + n, key + n, workflow_key=key) for n in range(1, n_jobs + 1)]
    await commit(
        store,
        creation,
        change_spec(creation, SpecChange(additions=(added("x", by=key + 1),))),
        *attempts,
        *(save_attempt(attempt.attempt_key) for attempt in attempts),
        *(save_job(attempt.job_key, JobStatus.COMPLETED, workflow_key=key) for attempt in attempts),
        *(
            save_value(
                data_key(creation),
                n,
                b"1",
                attempt_key=key * 100 + 1,
                workflow_key=WorkflowKey(key),
            )
            for n in range(1, 5)
        ),
        save_workflow(key, WorkflowStatus.COMPLETED),
        happenings=[happening(key, key)],
        environments={WorkflowKey(key): {"A": "b"}},
    )


async def swept(store: Store) -> int:
    """In how many steps nothing was left."""
    steps = 1
    while not await store.sweep(W):
        steps += 1
    return steps


async def test_a_deleted_workflow_is_out_of_sight_before_anything_is_removed(store: Store) -> None:
    await lived(store)
    await commit(store, REMOVED)
    assert await store.workflows() == []
    assert await store.workflow(W) is None
    assert await store.load(W) is None
    assert await store.newest_workflow() is None
    assert await store.ended_before(Timestamp(10**18)) == []
    assert await store.first_end() is None
    assert await store.deleted() == [W]


async def test_nothing_is_left_of_it_and_nothing_else_is_touched(store: Store, path: Path) -> None:
    await lived(store, 1)
    await lived(store, 20)
    await commit(store, REMOVED)
    whole = dump(path)
    await swept(store)
    assert await store.deleted() == []
    left = dump(path)
    for table, rows in whole.items():
        if table == "meta":
            assert left[table] == rows
        else:
            assert len(left[table]) * 2 == len(rows), table
    assert (await store.load(WorkflowKey(20))) is not None
    with looking_at(path) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_a_large_one_goes_in_short_steps_which_may_be_interrupted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "ROWS_IN_A_STEP", 3)
    async with Store.open(path) as store:
        await lived(store, n_jobs=10)
        await commit(store, REMOVED)
        assert not await store.sweep(W)
    async with Store.open(path) as store:
        assert await store.deleted() == [W]
        # 4 revisions, 1 row of events, of 10 jobs 3 rows each, 1 file, 2 user_data, 1 addition, and
        # 3 rows of its own.
        assert await swept(store) == 14
        assert not any(rows for table, rows in dump(path).items() if table != "meta")


async def test_foreign_keys_hold_again_afterwards(store: Store) -> None:
    await lived(store)
    await commit(store, REMOVED)
    await swept(store)
    with pytest.raises(Exception, match="FOREIGN KEY"):
        await commit(store, save_job(2, JobStatus.COMPLETED))


async def test_an_archived_one_is_neither_the_newest_nor_does_it_expire(store: Store) -> None:
    await lived(store, 1)
    await lived(store, 20)
    await commit(store, save_workflow(20, WorkflowStatus.COMPLETED, archived=True))
    assert await store.newest_workflow() == W
    assert await store.ended_before(Timestamp(9001)) == [W]
    assert await store.ended_before(Timestamp(9000)) == []
    assert await store.first_end() == 9000
    rows = {row.key: row.archived for row in await store.workflows()}
    assert rows == {1: False, 20: True}
    loaded = await store.load(WorkflowKey(20))
    assert loaded is not None
    assert loaded.event.archived
