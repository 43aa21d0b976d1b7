"""Jobs that add jobs while they run: what they add, and what has to come of it.

What a job adds is settled beforehand, as its script would be; it says so at the end of each
attempt. Some jobs of the spec wait for all that one of them adds, as a regex would have them.
"""

from typing import TYPE_CHECKING

import msgspec

from tests.grouping import grouped
from torcd import graph
from torcd.errors import UserError
from torcd.model import (
    ENDED,
    Added,
    AttemptKey,
    DataKey,
    File,
    FileKey,
    Job,
    JobKey,
    JobStatus,
    Workflow,
)
from torcd.scheduler import events as e
from torcd.scheduler.job_states import Active
from torcd.scheduler.nodes import JobNode

from . import editing
from .workflows import Pick

if TYPE_CHECKING:
    from .again import Again


class Part(msgspec.Struct, frozen=True):
    """A job that is to be added."""

    name: str
    command: str
    waits_for_the_adder: bool
    waits_for_the_last: bool
    makes_a_file: bool
    reads: bool
    """What its adder makes, and what no job does."""


def a_script_is_written(world: "Again", pick: Pick) -> None:
    """What a job of the spec adds from now on; perhaps nothing."""
    own = [job for job in world.workflow.jobs if job.added is None and is_plain(job)]
    if not own:
        return
    job = own[pick(len(own))]
    world.parts[job.key] = tuple(
        Part(
            f"{job.name}.{n}",
            ("true", "false")[pick(2)],
            bool(pick(2)),
            not pick(3),
            bool(pick(2)),
            bool(pick(2)),
        )
        for n in range(1 + pick(4))
        if pick(3)
    )
    if not pick(4):
        world.failing ^= {job.key}


def is_plain(job: Job) -> bool:
    return job.for_each is None and job.element is None


def an_adder_is_run_again(world: "Again", pick: Pick) -> None:
    """With another script, more often than not."""
    adders = [
        job.key
        for job in world.workflow.jobs
        if job.key in world.parts and world.status(job.key) is not JobStatus.DISABLED
    ]
    if adders and world.is_over:
        key = adders[pick(len(adders))]
        world.parts[key] = tuple(part for part in world.parts[key] if pick(3))
        world.restart(e.Selection(jobs=frozenset({key}), only=not pick(4)))


def a_collector_is_named(world: "Again", pick: Pick) -> None:
    """A job waits for all that another one adds; it comes after it in any case."""
    pairs = [
        (job.key, adder)
        for job in world.workflow.jobs
        for adder in world.workflow.depends_on(job)
        if job.added is None and world.job(adder).added is None
        if is_plain(job) and is_plain(world.job(adder))
    ]
    if pairs:
        collector, adder = pairs[pick(len(pairs))]
        before = world.collectors
        world.collectors = {**before, collector: adder}
        new = _regrouped(world, collected(world, editing.ungrouped(world.workflow)))
        if not editing.applied(world, editing.edit_of(world, new)):
            world.collectors = before


def adds(world: "Again", attempt: AttemptKey, node: JobNode) -> None:
    """An attempt says what its script has it say. It may be refused; then nothing happens."""
    parts = world.parts.get(node.job.key, ())
    if not parts:
        return
    new = _with_parts(world, node, parts)
    if graph.find_cycles(new, graph.gates(new)):
        return  # refused before it comes to the scheduler
    event = editing.edit_of(world, new, attempt_key=attempt)
    before = {key: one.state for key, one in world.node.jobs.items()}
    if not editing.applied(world, event):
        return
    if not world.pick(3):  # a client that has had no answer asks again
        at = world.tick()
        assert world.tell(msgspec.structs.replace(event, values_before=given(event), at=at)) == []
    for part in parts:
        job = world.node.jobs[world.node.job_keys[part.name]]
        assert job.adder is world.node.jobs[node.job.key]
        assert not job.held
    for key, state in before.items():
        if isinstance(state, Active):
            now = world.node.jobs[key].state
            assert isinstance(now, Active)
            was = (type(state), state.attempt_key, state.stop)
            assert was == (type(now), now.attempt_key, now.stop), "what runs was touched"


def given(event: e.EditRequested) -> dict[DataKey, str]:
    return {key: value.sha256 for key, value in event.values.items()}


def withdrawal(world: "Again", attempt: AttemptKey, node: JobNode) -> e.EditRequested | None:
    """What goes with the news that it has ended; from then on the world is like that, if it
    comes to that."""
    gone = {
        job.job.key
        for job in world.node.jobs.values()
        if job.adder is not None
        and job.adder.job.key == node.job.key
        and job.is_earlier
        and not isinstance(job.state, Active)
    }
    if not gone:
        return None
    return editing.edit_of(world, _without(world, gone), attempt_key=attempt)


def comes_to_pass(world: "Again", event: e.EditRequested) -> bool:
    """Whether it will be carried out."""
    try:
        world.scheduler.outlook(event)
    except UserError:
        return False
    return True


def check_removed(world: "Again", adder: JobKey, event: e.EditRequested | None) -> None:
    """After it has ended well."""
    if event is None:
        return
    names = {part.name for part in world.parts.get(adder, ())}
    for job in world.node.jobs.values():
        if job.adder is not None and job.adder.job.key == adder and job.job.name not in names:
            assert isinstance(job.state, Active), "it was not added again, and is there"


def check_start(world: "Again", job: JobNode) -> None:
    """Nothing starts of which its adder has yet to say whether it is to be."""
    if job.adder is None or job.adder.state.status in ENDED:
        return
    added = job.job.added
    assert added is not None
    assert (added.run_id, added.attempt_id) == (job.adder.run_id, job.adder.attempt_id)


# How it is done


def _with_parts(world: "Again", node: JobNode, parts: tuple[Part, ...]) -> Workflow:
    adder = node.job
    plain = editing.ungrouped(world.workflow)
    by_name = {job.name: job for job in plain.jobs}
    files = {file.name: file for file in plain.files}
    key = world.scheduler.next_key
    jobs = {job.key: job for job in plain.jobs}
    last: JobKey | None = None
    for part in parts:
        was = by_name.get(part.name)
        job_key = JobKey(key) if was is None else was.key
        key += was is None
        made: tuple[FileKey, ...] = ()
        if part.makes_a_file:
            if part.name not in files:
                files[part.name] = File(key=FileKey(key), name=part.name, path=f"/{part.name}")
                key += 1
            made = (files[part.name].key,)
        depends_on = [adder.key] * part.waits_for_the_adder
        if last is not None and part.waits_for_the_last:
            depends_on.append(last)
        free = [f.key for f in plain.files if world.maker(f.key) is None]
        jobs[job_key] = Job(
            key=job_key,
            name=part.name,
            command=part.command,
            depends_on=tuple(depends_on),
            input_files=tuple(
                key for key in (*adder.output_files, *free) if part.reads and key not in made
            ),
            output_files=made,
            failure_handler=adder.failure_handler,
            added=Added(by=adder.key, run_id=node.run_id, attempt_id=node.attempt_id),
        )
        last = job_key
    ordered = tuple(jobs[one] for one in sorted(jobs))
    in_order = tuple(sorted(files.values(), key=lambda file: file.key))
    return _regrouped(
        world, collected(world, msgspec.structs.replace(plain, jobs=ordered, files=in_order))
    )


def _without(world: "Again", gone: set[JobKey]) -> Workflow:
    plain = editing.ungrouped(world.workflow)
    names = {job.name for job in plain.jobs if job.key in gone}
    files = {file.key for file in plain.files if file.name in names}
    jobs = tuple(
        msgspec.structs.replace(
            job,
            depends_on=tuple(key for key in job.depends_on if key not in gone),
            input_files=tuple(key for key in job.input_files if key not in files),
        )
        for job in plain.jobs
        if job.key not in gone
    )
    left = tuple(file for file in plain.files if file.key not in files)
    return _regrouped(
        world, collected(world, msgspec.structs.replace(plain, jobs=jobs, files=left))
    )


def collected(world: "Again", plain: Workflow) -> Workflow:
    """Collectors wait for what there is now."""
    added: dict[JobKey, set[JobKey]] = {}
    for job in plain.jobs:
        if job.added is not None:
            added.setdefault(job.added.by, set()).add(job.key)
    all_added = set().union(*added.values())
    jobs = []
    for job in plain.jobs:
        adder = world.collectors.get(job.key)
        if job.added is None and adder is not None and adder in job.depends_on:
            own = set(job.depends_on) - all_added
            job = msgspec.structs.replace(
                job, depends_on=tuple(sorted(own | added.get(adder, set())))
            )
        jobs.append(job)
    return msgspec.structs.replace(plain, jobs=tuple(jobs))


def _regrouped(world: "Again", plain: Workflow) -> Workflow:
    items = (*plain.jobs, *plain.files, *plain.user_data)
    first = max(world.scheduler.next_key, *(item.key + 1 for item in items))
    chosen = lambda members: sum(members) % 3 > 0  # noqa: E731
    new, old = grouped(plain, chosen, first=first), world.workflow
    if old.groups and [(g.kind, g.members) for g in new.groups] == [
        (g.kind, g.members) for g in old.groups
    ]:
        return grouped(plain, chosen, first=old.groups[0].key)
    return new
