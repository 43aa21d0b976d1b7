"""What people ask the store for."""

from pathlib import Path

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
from torcd.model import (
    AttemptKey,
    DataKey,
    Happening,
    JobKey,
    JobStatus,
    Reason,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.commands import AddCommand
from torcd.store import Store, writing
from torcd.store.rows import AttemptRow, RevisionRow, WorkflowRow
from torcd.store.writing_values import LARGE_BYTES

W = WorkflowKey(1)


# Workflows


async def test_workflows_are_listed_oldest_first_with_their_facts(store: Store) -> None:
    first = create(1, description="what for", user="me", directory="/here")
    await commit(store, create(10), first)
    rows = await store.workflows()
    assert [row.key for row in rows] == [1, 10]
    assert rows[0] == WorkflowRow(
        key=W,
        name="w1",
        description="what for",
        user="me",
        owner=None,
        directory="/here",
        max_parallel_jobs=4,
        submitted_at=1000,
        status=WorkflowStatus.RUNNING,
        stopping=False,
        run_id=1,
        started_at=1000,
        ended_at=None,
        archived=False,
        frozen_since=None,
        jobs=None,
    )
    assert await store.workflow(W) == rows[0]
    assert await store.newest_workflow() == 10


async def counts(store: Store) -> dict[JobStatus, int] | None:
    row = await store.workflow(W)
    assert row is not None
    return row.jobs


async def test_the_jobs_of_a_workflow_that_is_over_are_counted(store: Store) -> None:
    await commit(store, create(n_jobs=4), save_job(2, JobStatus.COMPLETED))
    assert await counts(store) is None
    await commit(
        store,
        save_workflow(1, WorkflowStatus.FAILED),
        save_job(3, JobStatus.COMPLETED),
        save_job(4, JobStatus.FAILED),
    )
    # One of them never came to anything, in no way a scheduler would leave it.
    assert await counts(store) == {
        JobStatus.COMPLETED: 2,
        JobStatus.FAILED: 1,
        JobStatus.BLOCKED: 1,
    }


async def test_the_counts_follow_what_changes_after_the_end(store: Store) -> None:
    await commit(
        store,
        create(n_jobs=1),
        save_job(2, JobStatus.CANCELED),
        save_workflow(1, WorkflowStatus.CANCELED),
    )
    await commit(store, save_job(2, JobStatus.DISABLED))
    assert await counts(store) == {JobStatus.DISABLED: 1}
    await commit(store, save_workflow(1, WorkflowStatus.RUNNING, run_id=2))
    assert await counts(store) is None


# Attempts


async def test_attempts_have_every_fact(store: Store) -> None:
    ended = save_attempt(
        8,
        JobStatus.FAILED,
        reason=Reason.SIGNAL,
        message="killed by SIGKILL",
        return_code=-9,
        cpu_seconds=1.5,
        peak_memory_bytes=2**33,
    )
    await commit(store, create(), add_attempt(8, 2, run_id=3, attempt_id=4))
    await commit(store, ended)
    assert await store.attempts(W) == [
        AttemptRow(
            key=8,
            job_key=2,
            run_id=3,
            attempt_id=4,
            status=JobStatus.FAILED,
            reason=Reason.SIGNAL,
            message="killed by SIGKILL",
            return_code=-9,
            started_at=2000,
            ended_at=3000,
            cpu_seconds=1.5,
            peak_memory_bytes=2**33,
        )
    ]


async def test_attempts_come_by_job_run_and_number(store: Store) -> None:
    await commit(
        store,
        create(1),
        create(20),
        add_attempt(1, 3),
        add_attempt(2, 2),
        add_attempt(3, 2, run_id=2),
        add_attempt(4, 2, attempt_id=2),
        add_attempt(5, 21, workflow_key=20),
    )
    assert [row.key for row in await store.attempts(W)] == [2, 4, 3, 1]
    assert [row.key for row in await store.attempts(W, run_id=1)] == [2, 4, 1]
    assert [row.key for row in await store.attempts(W, job_keys={JobKey(3)})] == [1]
    assert await store.attempts(W, run_id=1, job_keys=()) == []
    assert [row.key for row in await store.attempts(WorkflowKey(20))] == [5]


# User data


async def test_commands_of_actions_are_told_apart_from_attempts_of_jobs(store: Store) -> None:
    command = AddCommand(attempt_key=AttemptKey(8), workflow_key=W, run_id=1, action=2, command=1)
    older = msgspec.structs.replace(command, attempt_key=AttemptKey(6), run_id=0)
    await commit(store, create(1), older, add_attempt(7, 2), command, save_attempt(7))
    stopped = save_attempt(
        8, JobStatus.RUNNING, reason=Reason.CANCELED, return_code=None, ended_at=None
    )
    await commit(store, stopped)
    assert [row.key for row in await store.attempts(W)] == [7]
    [row] = await store.action_commands(W, run_id=1)
    assert (row.key, row.action, row.command, row.run_id) == (8, 2, 1, 1)
    assert (row.status, row.reason, row.ended_at) == (JobStatus.RUNNING, Reason.CANCELED, None)
    assert [row.key for row in await store.action_commands(W)] == [6, 8]


async def test_a_value_comes_with_who_stored_it(store: Store) -> None:
    creation = create()
    key = data_key(creation)
    by_a_job = save_value(key, 2, b'{"a": 1.50}', attempt_key=8)
    await commit(store, creation, save_value(key, 1, b"null", run_id=0))
    await commit(store, add_attempt(8, 3, attempt_id=5), by_a_job)

    assert await store.value(key) == RevisionRow(
        data_key=key,
        revision=2,
        value=b'{"a": 1.50}',
        size_bytes=11,
        sha256=by_a_job.value.sha256,
        stored_at=4002,
        run_id=1,
        attempt_key=8,
        attempt_id=5,
        job_key=3,
        job_name="j2",
    )
    initial = await store.value(key, 1)
    assert initial is not None
    assert (initial.value, initial.run_id) == (b"null", 0)
    assert (initial.attempt_key, initial.job_key, initial.job_name) == (None, None, None)


async def test_a_value_that_is_larger_than_asked_for_is_told_about_and_not_read(
    store: Store,
) -> None:
    creation = create()
    key = data_key(creation)
    await commit(store, creation, save_value(key, 1, b'"1234"'))
    for revision in (None, 1):
        there = await store.value(key, revision, max_bytes=6)
        assert there is not None
        assert (there.value, there.size_bytes) == (b'"1234"', 6)
        told = await store.value(key, revision, max_bytes=5)
        assert told is not None
        assert (told.value, told.size_bytes) == (b"", 6)
        assert told.sha256 == there.sha256


async def test_a_large_value_is_kept_as_it_is(store: Store) -> None:
    creation = create()
    key = data_key(creation)
    text = b'"%s"' % (b"x" * LARGE_BYTES)
    await commit(store, creation, save_value(key, 1, text), save_value(key, 2, b"0"))
    assert [row.value for row in await store.revisions(key)] == [text, b"0"]


async def test_what_has_no_value_has_no_revision(store: Store) -> None:
    creation = create()
    key = data_key(creation)
    await commit(store, creation)
    assert await store.value(key) is None
    assert await store.value(key, 1) is None
    assert await store.revisions(key) == []
    assert await store.value(DataKey(999)) is None


async def test_every_revision_is_kept_and_told_from_those_of_others(store: Store) -> None:
    creation = create(n_data=2)
    one, other = data_key(creation, 1), data_key(creation, 2)
    await commit(store, creation, save_value(one, 1, b"1"), save_value(other, 1, b'"x"'))
    await commit(store, save_value(one, 2, b"2"), save_value(other, 2, b'"y"'))
    await commit(store, save_value(one, 3, b"3"))

    assert [(r.revision, r.value) for r in await store.revisions(one)] == [
        (1, b"1"),
        (2, b"2"),
        (3, b"3"),
    ]
    assert [r.value for r in await store.revisions(other)] == [b'"x"', b'"y"']
    for revision in (1, 2, 3):
        row = await store.value(one, revision)
        assert row is not None
        assert row.value == b"%d" % revision
    assert await store.value(one, 4) is None
    assert await store.value(one, 0) is None


async def test_a_large_value_comes_back_byte_by_byte(store: Store) -> None:
    creation = create()
    text = b'"' + "aé€😀".encode() * 1_000_000 + b'"'
    await commit(store, creation, save_value(data_key(creation), 1, text))
    row = await store.value(data_key(creation))
    assert row is not None
    assert row.value == text


# Happenings


def interleaved(count: int) -> list[Happening]:
    """Of two workflows, in stretches of three."""
    return [happening(n, 1 if n % 6 < 3 else 20) for n in range(1, count + 1)]


@pytest.fixture
async def told(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[Happening]:
    """Happenings 1 to 60 of workflows 1 and 20 in batches of ten, four to a row at most."""
    monkeypatch.setattr(writing, "MAX_HAPPENINGS_PER_ROW", 4)
    happenings = interleaved(60)
    await commit(store, create(1), create(20))
    for start in range(0, 60, 10):
        await commit(store, happenings=happenings[start : start + 10])
    return happenings


async def test_happenings_come_in_order_from_any_number_on(
    store: Store, told: list[Happening]
) -> None:
    for since in range(62):
        assert await store.happenings(since) == [h for h in told if h.number >= since]


async def test_happenings_of_one_workflow_leave_out_the_others(
    store: Store, told: list[Happening]
) -> None:
    for since in range(0, 62, 5):
        found = await store.happenings(since, workflow_key=WorkflowKey(20))
        assert found == [h for h in told if h.number >= since and h.workflow_key == 20]


async def test_happenings_can_be_read_page_by_page(store: Store, told: list[Happening]) -> None:
    read: list[Happening] = []
    while page := await store.happenings(len(read) + 1, limit=7):
        assert len(page) <= 7
        read += page
    assert read == told


async def test_every_field_of_a_happening_comes_back(store: Store) -> None:
    full = happening(
        1,
        kind="job_changed",
        job_key=JobKey(2),
        data_key=DataKey(5),
        status="failed",
        stopping=True,
        run_id=1,
        attempt_id=2,
        return_code=-9,
        reason=Reason.SIGNAL,
        message='with "quotes" and ünicode',
        revision=3,
    )
    await commit(store, create(), happenings=[full])
    assert await store.happenings(1) == [full]


async def test_a_row_of_happenings_is_bounded(path: Path) -> None:
    async with Store.open(path) as store:
        await commit(store, create(), happenings=[happening(n) for n in range(1, 1001)])
    with looking_at(path) as connection:
        sizes = connection.execute("SELECT json_array_length(happenings) FROM event").fetchall()
    assert sum(size for (size,) in sizes) == 1000
    assert max(sizes) <= (writing.MAX_HAPPENINGS_PER_ROW,)
