"""People edit the spec of a workflow: what they may do to it, and what has to come of it."""

from typing import TYPE_CHECKING

import msgspec

from torcd.errors import UserError
from torcd.model import (
    ENDED,
    AttemptKey,
    DataKey,
    File,
    FileKey,
    Job,
    JobKey,
    JobStatus,
    Workflow,
    WorkflowKey,
)
from torcd.scheduler import events as e
from torcd.scheduler.job_states import Pending, Running
from torcd.value import Value, parse

from . import adding, watching
from .unfolding import regrouped, waiting_for_all
from .workflows import Pick

if TYPE_CHECKING:
    from .again import Again


def edits_the_spec(world: "Again", pick: Pick) -> bool:
    """Whether it was taken, and a new run has begun."""
    first = world.scheduler.next_key
    plain = ungrouped(world.workflow)
    for _ in range(1 + pick(2)):
        plain = _EDITS[pick(len(_EDITS))](world, plain, pick)
    plain = adding.collected(world, waiting_for_all(plain))
    newest = max([first - 1, *(item.key for item in _items(plain))])
    return _apply(world, regrouped(plain, world.workflow, newest + 1))


def applies_the_same(world: "Again", pick: Pick) -> bool:
    before, run_id = world.store.copy(), world.node.run_id
    assert not _apply(world, world.workflow)
    assert world.node.run_id == run_id
    assert vars(world.store) == vars(before)
    return False


def _apply(world: "Again", new: Workflow) -> bool:
    run_id = world.node.run_id
    applied(world, edit_of(world, new))
    return bool(world.node.run_id > run_id)


def edit_of(
    world: "Again", new: Workflow, *, attempt_key: AttemptKey | None = None
) -> e.EditRequested:
    return e.EditRequested(
        workflow_key=WorkflowKey(1),
        workflow=new,
        values_before={key: value.sha256 for key, value in _given(world.workflow).items()},
        values=_given(new),
        files={f.key: world.state(f.key) for f in new.files},
        at=world.tick(),
        attempt_key=attempt_key,
    )


def becomes(world: "Again", new: Workflow, statuses: dict[JobKey, JobStatus]) -> None:
    """From now on the world is like that; in `statuses` its jobs were before."""
    world.look_for_disturbed()
    before = {job.key: (world.before(job), world._seen(job).keys()) for job in world.workflow.jobs}
    world.workflow = new
    for job in new.jobs:
        if job.key in before and statuses[job.key] in ENDED:
            others, read = before[job.key]
            if world.before(job) - others or world._seen(job).keys() != read:
                world.became_another.add(job.key)
    for attempt, (key, seen) in world.under_way.items():
        # What a job is to make is another thing now, and what is there of it is what it was.
        now = world._seen(world.job(key))
        as_it_is = {thing: now[thing] for thing in seen if thing[0] == "job"}
        world.under_way[attempt] = key, {**seen, **as_it_is}


def applied(world: "Again", event: e.EditRequested) -> bool:
    """Whether it was taken."""
    new = event.workflow
    run_id = world.node.run_id
    in_flight = {
        key: job.job
        for key, job in world.node.jobs.items()
        if isinstance(job.state, Pending | Running)
    }
    try:
        edit = world.scheduler.outlook(event)
    except UserError:
        assert world.tell(event) is None
        return False
    was_over = world.is_over
    ended = {
        job.key: world.status(job.key)
        for job in world.workflow.jobs
        if world.status(job.key) in (JobStatus.COMPLETED, JobStatus.FAILED)
    }
    if edit.node is not world.node:
        becomes(world, new, watching.statuses(world.scheduler))
    changed = _given(new)
    for key, value in changed.items():
        if event.values_before.get(key) != value.sha256:
            world.values[key] = value.text.decode()
    if edit.plan is not None and edit.difference:
        outlooks = {key: verdict.outlook for key, verdict in edit.plan.verdicts.items()}
        assert outlooks == world.outlooks()
        if edit.plan.runs:
            world.begins_again(edit.plan)
    if event.at % 2:  # checked before, or in one go: it comes to the same
        event = msgspec.structs.replace(event, prepared=edit)
    commands = world.tell(event)
    assert commands is not None
    if event.attempt_key is None:
        assert bool(commands) == bool(edit.difference)
    world.look_for_disturbed()
    for key, job in in_flight.items():
        now = world.node.jobs[key].job
        assert (now.command, now.output_files) == (job.command, job.output_files)
        assert isinstance(world.node.jobs[key].state, Pending | Running)
    if not was_over:
        assert world.node.run_id == run_id
        # What was up to date may have ended by that.
        assert all(world.status(key) is was for key, was in ended.items() if key in world.node.jobs)
    begun = bool(world.node.run_id > run_id)
    assert begun == bool(was_over and edit.difference and edit.runs)
    return True


def _given(workflow: Workflow) -> dict[DataKey, Value]:
    return {
        data.key: parse(bytes(data.data), name="a value")
        for data in workflow.user_data
        if data.data is not None
    }


# What is done to it


def _another_command(world: "Again", workflow: Workflow, pick: Pick) -> Workflow:
    job = workflow.jobs[pick(len(workflow.jobs))]
    fold, command = _fold_of(job), ("true", "false")[pick(2)]
    for one in (job, *(j for j in workflow.jobs if fold is not None and _fold_of(j) == fold)):
        workflow = _with(workflow, msgspec.structs.replace(one, command=command))
    return workflow


def _fold_of(job: Job) -> JobKey | None:
    """The job that says `for_each` of it and of itself."""
    if job.element is not None:
        return job.element.of
    return None if job.for_each is None else job.key


def _another_priority(world: "Again", workflow: Workflow, pick: Pick) -> Workflow:
    job = workflow.jobs[pick(len(workflow.jobs))]
    return _with(workflow, msgspec.structs.replace(job, priority=pick(3)))


def _a_job_less(world: "Again", workflow: Workflow, pick: Pick) -> Workflow:
    if len(workflow.jobs) == 1:
        return workflow
    chosen = workflow.jobs[pick(len(workflow.jobs))]
    fold = _fold_of(chosen)
    gone = {chosen.key, *(j.key for j in workflow.jobs if fold is not None and _fold_of(j) == fold)}
    # What they have added goes with them.
    gone |= {job.key for job in workflow.jobs if job.added is not None and job.added.by in gone}
    if len(gone) == len(workflow.jobs):
        return workflow
    jobs = tuple(
        msgspec.structs.replace(job, depends_on=tuple(k for k in job.depends_on if k not in gone))
        for job in workflow.jobs
        if job.key not in gone
    )
    return msgspec.structs.replace(workflow, jobs=jobs)


def _a_job_more(world: "Again", workflow: Workflow, pick: Pick) -> Workflow:
    items = _items(workflow)
    key = max(world.scheduler.next_key, max(item.key for item in items) + 1)
    files: tuple[File, ...] = ()
    if not pick(2):
        files = (File(key=FileKey(key + 1), name=f"f{key + 1}", path=f"/f{key + 1}"),)
    job = Job(
        key=JobKey(key),
        name=f"j{key}",
        command="true",
        depends_on=tuple(job.key for job in workflow.jobs if not pick(4)),
        input_files=tuple(file.key for file in workflow.files if not pick(3)),
        input_user_data=tuple(data.key for data in workflow.user_data if not pick(3)),
        output_files=tuple(file.key for file in files),
    )
    return msgspec.structs.replace(
        workflow, jobs=(*workflow.jobs, job), files=(*workflow.files, *files)
    )


def _an_input_less(world: "Again", workflow: Workflow, pick: Pick) -> Workflow:
    job = workflow.jobs[pick(len(workflow.jobs))]
    if _fold_of(job) is not None:
        return workflow
    field = ("depends_on", "input_files", "input_user_data")[pick(3)]
    return _with(workflow, msgspec.structs.replace(job, **{field: getattr(job, field)[1:]}))


def _a_file_less(world: "Again", workflow: Workflow, pick: Pick) -> Workflow:
    of_elements = {f for job in workflow.jobs if job.element for f in job.output_files}
    files_of_others = [file.key for file in workflow.files if file.key not in of_elements]
    if not files_of_others:
        return workflow
    gone = files_of_others[pick(len(files_of_others))]
    jobs = tuple(
        msgspec.structs.replace(
            job,
            input_files=tuple(k for k in job.input_files if k != gone),
            output_files=tuple(k for k in job.output_files if k != gone),
        )
        for job in workflow.jobs
    )
    files = tuple(file for file in workflow.files if file.key != gone)
    return msgspec.structs.replace(workflow, jobs=jobs, files=files)


def _a_value_less(world: "Again", workflow: Workflow, pick: Pick) -> Workflow:
    plain_data = [data.key for data in workflow.user_data if data.key not in world.folded]
    if not plain_data:
        return workflow
    gone = plain_data[pick(len(plain_data))]
    jobs = tuple(
        msgspec.structs.replace(
            job,
            input_user_data=tuple(k for k in job.input_user_data if k != gone),
            output_user_data=tuple(k for k in job.output_user_data if k != gone),
        )
        for job in workflow.jobs
    )
    data = tuple(one for one in workflow.user_data if one.key != gone)
    return msgspec.structs.replace(workflow, jobs=jobs, user_data=data)


def _another_value(world: "Again", workflow: Workflow, pick: Pick) -> Workflow:
    given = [data for data in workflow.user_data if data.data is not None]
    if not given:
        return workflow
    chosen = given[pick(len(given))]
    text = world.written(chosen.key, ("0", "1")[pick(2)])
    other = msgspec.structs.replace(chosen, data=msgspec.Raw(text.encode()))
    data = tuple(other if one.key == chosen.key else one for one in workflow.user_data)
    return msgspec.structs.replace(workflow, user_data=data)


_EDITS = (
    _another_command,
    _another_priority,
    _a_job_less,
    _a_job_more,
    _a_job_more,
    _an_input_less,
    _a_file_less,
    _a_value_less,
    _another_value,
)


def _with(workflow: Workflow, job: Job) -> Workflow:
    jobs = tuple(job if one.key == job.key else one for one in workflow.jobs)
    return msgspec.structs.replace(workflow, jobs=jobs)


def _items(workflow: Workflow) -> list[Job | File]:
    return [*workflow.jobs, *workflow.files, *workflow.user_data]  # type: ignore[list-item]


def ungrouped(workflow: Workflow) -> Workflow:
    jobs = tuple(
        msgspec.structs.replace(
            job,
            awaits=(),
            depends_on=workflow.depends_on(job),
            input_files=workflow.input_files(job),
            input_user_data=workflow.input_user_data(job),
        )
        for job in workflow.jobs
    )
    return msgspec.structs.replace(workflow, jobs=jobs, groups=())
