"""What restarts go by comes back as it was saved."""

import msgspec

from tests.store_world import (
    add_attempt,
    commit,
    create,
    data_key,
    save_attempt,
    save_job,
    save_value,
    save_workflow,
)
from torcd.model import DataKey, FileState, JobStatus, Timestamp, UserData, WorkflowStatus
from torcd.scheduler.commands import ClearValue, SaveFile, SaveInitialAgain
from torcd.scheduler.events import LoadedValue
from torcd.scheduler.job_states import EndedWell, Trace
from torcd.store import Store

W = 1

TRACE = Trace(
    attempt_key=11,
    run_id=1,
    attempt_id=1,
    ended=EndedWell(2000, 3000),
    definition=(1 << 128) - 2,
    given=0,
    made=1 << 8,
    made_at=12,
)


async def loaded(store: Store):
    found = await store.load(W)
    assert found is not None
    return found.event


async def test_a_trace_comes_back_whatever_has_become_of_the_job_since(store: Store) -> None:
    await commit(store, create(), add_attempt(11, 2), save_attempt(11))
    await commit(store, save_workflow(1, WorkflowStatus.RUNNING, run_id=2))
    for trace in (TRACE, msgspec.structs.replace(TRACE, given=None, made=None)):
        saved = save_job(2, JobStatus.BLOCKED, run_id=2, trace=trace, may_skip=True)
        await commit(store, saved)
        first = (await loaded(store)).jobs[0]
        assert (first.trace, first.may_skip, first.run_id) == (trace, True, 2)
    assert (await loaded(store)).jobs[1].trace is None


async def test_what_is_known_of_a_file_comes_back_until_it_is_gone(store: Store) -> None:
    creation = create()
    key = creation.workflow.files[0].key
    await commit(store, creation)
    for state in (FileState(1, 1 << 62, 3, "ab" * 32), FileState(1, 2, 3, "cd" * 32)):
        await commit(store, SaveFile(workflow_key=W, file_key=key, state=state))
        assert (await loaded(store)).file_states == {key: state}
    await commit(store, SaveFile(workflow_key=W, file_key=key, state=None))
    assert (await loaded(store)).file_states == {}


async def test_a_value_that_is_cleared_is_none_and_its_revisions_are_kept(store: Store) -> None:
    creation = create()
    key = data_key(creation)
    await commit(store, creation, save_value(key, 1, b"[1]", changed_at=4))
    [before] = (await loaded(store)).values.values()
    assert (before.revision, before.changed_at) == (1, 4)
    assert before.sha256 is not None
    await commit(store, ClearValue(workflow_key=W, data_key=key))
    assert (await loaded(store)).values[key].sha256 is None
    assert [row.value for row in await store.revisions(key)] == [b"[1]"]
    await commit(store, save_value(key, 2, b"[1]", changed_at=6))
    after = LoadedValue(revision=2, sha256=before.sha256, changed_at=6)
    assert (await loaded(store)).values[key] == after


async def test_an_initial_value_comes_back_as_a_revision_of_nobody(store: Store) -> None:
    data = UserData(key=DataKey(5), name="d", data=msgspec.Raw(b"{}"), is_ephemeral=True)
    await commit(store, create(user_data=(data,)), save_value(5, 1, b"{}", run_id=0))
    await commit(store, save_value(5, 2, b"7", run_id=1))
    await commit(store, save_workflow(1, WorkflowStatus.RUNNING, run_id=2))
    for revision in (3, 4):
        again = SaveInitialAgain(
            workflow_key=W, data_key=DataKey(5), revision=revision, changed_at=9, at=Timestamp(7)
        )
        await commit(store, again)
    rows = await store.revisions(DataKey(5))
    assert [(row.revision, row.value, row.run_id) for row in rows] == [
        (1, b"{}", 0),
        (2, b"7", 1),
        (3, b"{}", 0),
        (4, b"{}", 0),
    ]
    event = await loaded(store)
    [value] = event.values.values()
    assert (value.revision, value.sha256, value.changed_at) == (4, value.initial_sha256, 9)
    assert event.stored_in_run == {}


async def test_what_the_jobs_of_a_workflow_inherit_can_be_asked_for(store: Store) -> None:
    await commit(store, create(), environments={W: {"A": "1"}})
    assert await store.environment(W) == {"A": "1"}
    assert await store.environment(99) is None
