"""What is committed comes back, from the same store and from the next one."""

from pathlib import Path

import msgspec
import pytest

from tests.store_world import (
    BOOT,
    add_attempt,
    added,
    change_spec,
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
    Action,
    Added,
    AttemptKey,
    DataKey,
    FailureHandler,
    FailureRule,
    File,
    FileKey,
    Job,
    JobKey,
    JobStatus,
    KeptSpec,
    Reason,
    Resources,
    SpecChange,
    Timestamp,
    UserData,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
    spec_change,
)
from torcd.scheduler.commands import CreateWorkflow, RemoveAttempt, SaveFrozenTime
from torcd.scheduler.events import LoadedJob, WorkflowLoaded
from torcd.store import Store

W = WorkflowKey(1)


async def loaded(store: Store, key: int = 1) -> WorkflowLoaded:
    found = await store.load(WorkflowKey(key))
    assert found is not None
    return found.event


async def first_job(store: Store) -> LoadedJob:
    return (await loaded(store)).jobs[0]


async def test_every_field_of_a_workflow_comes_back(store: Store) -> None:
    workflow = Workflow(
        key=WorkflowKey(1),
        name='a "name" with ünicode',
        jobs=(
            Job(
                key=JobKey(2),
                name="j",
                command=("prog", "an argument", "\x01"),
                depends_on=(JobKey(3),),
                input_files=(FileKey(4),),
                output_files=(FileKey(5),),
                input_user_data=(DataKey(6),),
                output_user_data=(DataKey(7),),
                cancel_on_blocking_job_failure=False,
                supports_termination=True,
                priority=-(2**70),
                env={"A": "b"},
                cwd="/somewhere",
                stdio="combined",
                resources=Resources(num_cpus=2, memory_bytes=2**40, runtime_seconds=0.5),
                failure_handler="again",
                added=Added(by=JobKey(3), run_id=2, attempt_id=1),
            ),
            Job(key=JobKey(3), name="k", command="true"),
        ),
        files=(
            File(key=FileKey(4), name="in", path="/in"),
            File(key=FileKey(5), name="out", path="/out"),
        ),
        user_data=(
            UserData(key=DataKey(6), name="e", is_ephemeral=True, available="on_store"),
            UserData(key=DataKey(7), name="d", schema=msgspec.Raw(b'{"type": "object"}')),
        ),
        actions=(
            Action(trigger="on_jobs_ready", commands=("true",), jobs=(JobKey(2),), persistent=True),
        ),
        failure_handlers=(
            FailureHandler(
                name="again",
                rules=(FailureRule(exit_codes=(1, -9), on=(Reason.OOM,), backoff_seconds=0.5),),
            ),
        ),
        jobs_sort_method="gpus_memory_runtime",
        max_dynamic_jobs=5,
        description="what it is for",
        user="somebody",
        env={"X": "1"},
        directory="/home/somebody",
    )
    creation = CreateWorkflow(
        workflow=workflow, max_parallel_jobs=7, wait_for_inputs=True, next_key=8, at=1000
    )
    await commit(store, creation, environments={W: {"PATH": "/bin", "HOME": "/root"}})

    found = await store.load(W)

    assert found is not None
    assert found.event.workflow == workflow
    assert found.event.max_parallel_jobs == 7
    assert found.event.wait_for_inputs
    assert found.event.status is WorkflowStatus.RUNNING
    assert found.event.run_id == 1
    assert found.event.started_at == 1000
    assert found.environment == {"PATH": "/bin", "HOME": "/root"}


async def test_a_workflow_saved_before_there_were_definitions_comes_back(
    store: Store, path: Path
) -> None:
    await commit(store, create())
    saved = (await loaded(store)).workflow
    with looking_at(path) as connection:
        connection.execute("UPDATE workflow SET definition = NULL")

    assert (await loaded(store)).workflow == saved


async def test_an_initial_value_is_loaded_as_revision_one_and_not_as_data(store: Store) -> None:
    data = UserData(key=DataKey(5), name="d1", data=msgspec.Raw(b"[1]"))
    creation = create(user_data=(data,))
    await commit(store, creation, save_value(5, 1, b"[1]", run_id=0))

    event = await loaded(store)

    assert event.workflow.user_data[0].data is None
    assert {key: value.revision for key, value in event.values.items()} == {5: 1}
    assert event.stored_in_run == {}


async def test_a_job_of_which_nothing_was_saved_is_blocked(store: Store) -> None:
    await commit(store, create())
    job = await first_job(store)
    assert (job.status, job.attempt_id, job.attempt_key) == (JobStatus.BLOCKED, 0, None)


async def test_a_saved_job_comes_back(store: Store) -> None:
    saved = save_job(
        2,
        JobStatus.FAILED,
        stopping=True,
        reason=Reason.SIGNAL,
        message="killed by SIGKILL",
        return_code=-9,
        attempt_id=3,
        started_at=2000,
        ended_at=3000,
    )
    await commit(store, create(), saved)
    assert await first_job(store) == LoadedJob(
        status=JobStatus.FAILED,
        stopping=True,
        reason=Reason.SIGNAL,
        message="killed by SIGKILL",
        return_code=-9,
        attempt_id=3,
        attempt_key=None,
        started_at=2000,
        ended_at=3000,
        run_id=1,
    )


async def test_a_saved_workflow_comes_back(store: Store) -> None:
    saved = save_workflow(1, WorkflowStatus.PAUSED, stopping=True, run_id=2, started_at=None)
    await commit(store, create(), saved)
    event = await loaded(store)
    assert (event.status, event.stopping, event.run_id) == (WorkflowStatus.PAUSED, True, 2)
    assert (event.started_at, event.ended_at) == (None, None)


async def test_a_frozen_workflow_is_frozen_since_then(store: Store) -> None:
    await commit(store, create())
    for since in (Timestamp(7000), None):
        await commit(store, save_workflow(1, WorkflowStatus.PAUSED, frozen_since=since))
        assert (await loaded(store)).frozen_since == since


async def test_an_active_attempt_has_its_frozen_time_again(store: Store) -> None:
    await commit(store, create(), add_attempt(11, 2), SaveFrozenTime(AttemptKey(11), 5))
    assert (await first_job(store)).frozen_microseconds == 5
    await commit(store, SaveFrozenTime(AttemptKey(11), 8))
    assert (await first_job(store)).frozen_microseconds == 8
    await commit(store, save_attempt(11))
    assert (await first_job(store)).frozen_microseconds == 0


async def test_an_active_attempt_has_its_gpus_again(store: Store) -> None:
    await commit(store, create(), add_attempt(11, 2, gpus=(1, 3)))
    assert (await first_job(store)).gpus == (1, 3)
    await commit(store, save_attempt(11))
    assert (await first_job(store)).gpus == ()


async def test_an_added_attempt_is_active_and_knows_its_boot(store: Store) -> None:
    await commit(store, create(), add_attempt(11, 2, attempt_id=4))
    await commit(store, add_attempt(12, 3), boot_id="another boot")

    found = await store.load(W)

    assert found is not None
    assert [(j.attempt_key, j.attempt_id) for j in found.event.jobs] == [(11, 4), (12, 1)]
    assert found.boot_ids == {11: BOOT, 12: "another boot"}


async def test_an_attempt_that_is_over_is_not_active(store: Store) -> None:
    await commit(store, create(), add_attempt(11, 2))
    await commit(store, save_attempt(11))
    found = await store.load(W)
    assert found is not None
    assert (found.event.jobs[0].attempt_key, found.event.jobs[0].attempt_id) == (None, 1)
    assert found.boot_ids == {}


async def test_a_removed_attempt_leaves_no_trace(store: Store) -> None:
    await commit(store, create(), add_attempt(11, 2))
    await commit(store, RemoveAttempt(11))
    assert await store.attempts(W) == []
    assert (await first_job(store)).attempt_id == 0


async def test_a_job_that_has_not_run_in_this_run_has_the_attempt_of_the_one_in_which_it_did(
    store: Store,
) -> None:
    await commit(store, create(), add_attempt(11, 2, attempt_id=3), save_attempt(11))
    await commit(store, save_job(2, JobStatus.FAILED, attempt_id=3))
    await commit(store, save_workflow(1, WorkflowStatus.RUNNING, run_id=2))
    first = await first_job(store)
    assert (first.run_id, first.attempt_id) == (1, 3)


async def test_values_stored_in_this_run_are_told_with_the_jobs_that_stored_them(
    store: Store,
) -> None:
    creation = create(n_data=4)
    by_jobs, by_a_person, before, never = (data_key(creation, n) for n in (1, 2, 3, 4))
    await commit(
        store,
        creation,
        add_attempt(1, 2),
        add_attempt(2, 3),
        save_value(by_jobs, 1, b"1", attempt_key=1),
        save_value(by_jobs, 2, b"2", attempt_key=2),
        save_value(by_jobs, 3, b"3"),
        save_value(by_a_person, 1, b"1"),
        save_value(before, 1, b"1", run_id=0),
    )
    event = await loaded(store)
    assert event.stored_in_run == {by_jobs: frozenset({2, 3}), by_a_person: frozenset()}
    revisions = {key: value.revision for key, value in event.values.items()}
    assert revisions == {by_jobs: 3, by_a_person: 1, before: 1}
    assert never not in event.values


async def test_a_workflow_that_is_not_there_is_none(store: Store) -> None:
    assert await store.load(W) is None
    assert await store.workflow(W) is None
    assert await store.newest_workflow() is None


async def test_unfinished_are_those_that_run_or_are_paused(store: Store) -> None:
    creations = [create(key) for key in range(1, 30, 6)]
    statuses = list(WorkflowStatus)
    await commit(
        store,
        *creations,
        *(
            save_workflow(creation.workflow.key, status)
            for creation, status in zip(creations, statuses, strict=True)
        ),
    )
    wanted = [
        creation.workflow.key
        for creation, status in zip(creations, statuses, strict=True)
        if status in (WorkflowStatus.RUNNING, WorkflowStatus.PAUSED)
    ]
    assert await store.unfinished() == wanted


async def test_all_of_it_is_there_for_the_next_store(path: Path) -> None:
    creation = create()
    async with Store.open(path) as store:
        secret = store.secret
        await commit(
            store,
            creation,
            add_attempt(8, 2),
            save_value(data_key(creation), 1, b"7", attempt_key=8),
            happenings=[happening(1), happening(2)],
            environments={W: {"A": "b"}},
        )
        before = await store.load(W)
    async with Store.open(path) as store:
        after = await store.load(W)
        assert before is not None
        assert after is not None
        assert msgspec.structs.replace(after.event, at=0) == msgspec.structs.replace(
            before.event, at=0
        )
        assert (after.environment, after.boot_ids) == (before.environment, before.boot_ids)
        assert store.secret == secret
        assert len(secret) == 32


async def test_counting_goes_on_where_it_was(path: Path) -> None:
    async with Store.open(path) as store:
        counters = store.counters()
        assert (counters.next_key, counters.next_attempt_key, counters.next_happening) == (1, 1, 1)
        await commit(store, create(), add_attempt(8, 2), happenings=[happening(1), happening(2)])
    async with Store.open(path) as store:
        counters = store.counters()
        assert (counters.next_key, counters.next_attempt_key, counters.next_happening) == (6, 9, 3)
        await commit(store, save_job(2, JobStatus.COMPLETED))
    async with Store.open(path) as store:
        assert store.counters() == msgspec.structs.replace(counters, commits=2)


@pytest.mark.parametrize("in_one_batch", [True, False])
async def test_the_key_of_an_attempt_taken_back_is_spent(path: Path, in_one_batch: bool) -> None:
    async with Store.open(path) as store:
        await commit(store, create())
        if in_one_batch:
            await commit(store, add_attempt(8, 2), RemoveAttempt(8))
        else:
            await commit(store, add_attempt(8, 2))
            await commit(store, RemoveAttempt(8))
    async with Store.open(path) as store:
        assert store.counters().next_attempt_key == 9


async def changed(store: Store, change: SpecChange) -> KeptSpec | None:
    await commit(store, change_spec(create(), change))
    return await store.spec(W)


async def test_a_spec_is_kept_with_what_was_added_to_it_in_that_order(store: Store) -> None:
    text = b'{"jobs": []}' + b" " * 300_000
    await commit(store, msgspec.structs.replace(create(), spec=text))
    assert await store.spec(W) == KeptSpec(text, ())
    first = (added("b"), added("a", b'{"x":1}'))
    assert await changed(store, SpecChange(additions=first)) == KeptSpec(text, first)
    again = (added("b", run_id=2), added("a", b'{"x":1}'), added("c", run_id=2))
    change = spec_change(KeptSpec(text, first), None, again)
    assert [one.name for one in change.additions] == ["b", "c"]
    assert await changed(store, change) == KeptSpec(text, again)
    left = (again[0], again[2])
    change = spec_change(KeptSpec(text, again), b"{}", left)
    assert change.dropped == ((JobKey(2), "jobs", "a"),)
    assert await changed(store, change) == KeptSpec(b"{}", left)
    assert not spec_change(KeptSpec(b"{}", left), b"{}", left)


async def test_a_workflow_from_before_specs_were_kept_has_none(store: Store) -> None:
    await commit(store, create())
    assert await store.spec(W) is None


async def test_two_databases_have_two_secrets(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "a.db") as a, Store.open(tmp_path / "b.db") as b:
        assert a.secret != b.secret
