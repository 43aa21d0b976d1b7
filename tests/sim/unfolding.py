"""Jobs for the elements of values, in the make-believe world: what the daemon makes of a spec is
made here of what the workflow is, one job for each item of a list.

A job that says `for_each` names its elements by their place or by what they are, whichever its key
says, and half of them make a file each. Whoever waits for it waits for all of them.
"""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from tests.grouping import grouped
from torcd.model import (
    DataKey,
    Element,
    File,
    FileKey,
    ForEach,
    Job,
    JobKey,
    JobStatus,
    Workflow,
    WorkflowKey,
)
from torcd.scheduler import events as e
from torcd.scheduler.commands import MakeElements

from . import editing
from .workflows import Pick

if TYPE_CHECKING:
    from .again import Again

ITEMS = 5
"""As many different elements as there are."""


def some_list(text: str) -> str:
    """A list that a text stands for, as JSON; now and then a value that is none. Few, so that they
    often are the same."""
    digest = hashlib.sha256(text.encode()).digest()
    if not digest[0] % 12:
        return "5"
    items = [n for n in range(ITEMS) if digest[1] >> n & 1]
    return "[" + ",".join(map(str, items)) + "]"


class Order(msgspec.Struct, frozen=True):
    """Somebody has begun to do what was asked."""

    command: MakeElements
    base: Workflow
    text: str | None
    """The value, as it was then."""
    next_key: int


def begin(world: "Again", command: MakeElements) -> Order:
    text = world.values.get(command.data_key)
    return Order(command, world.node.workflow, text, world.scheduler.next_key)


def answer(world: "Again", order: Order) -> None:
    key = order.command.data_key
    items = None if order.text is None else msgspec.json.decode(order.text)
    sha256 = None if order.text is None else world.parsed(order.text).sha256
    if not isinstance(items, list):
        world.unfolded.add("refused")
        world.tell(
            e.ElementsRefused(
                workflow_key=WorkflowKey(1),
                data_key=key,
                sha256=sha256,
                base=order.base,
                message="it is no list",
                at=world.tick(),
            )
        )
        return
    assert sha256 is not None
    new = unfolded(order.base, key, items, sha256, order.next_key)
    old = world.node.workflow
    before = {job.key: world.status(job.key) for job in old.jobs}
    names = {job.name: job.key for job in old.jobs}
    edit = editing.edit_of(world, new)
    world.tell(e.ElementsMade(data_key=key, sha256=sha256, base=order.base, edit=edit))
    if world.workflow is not new:
        world.unfolded.add("void")
    if world.workflow is new:
        world.unfolded.add(_how_many(old, new, key))
        is_ended = (JobStatus.COMPLETED, JobStatus.FAILED)
        for job in new.jobs:
            assert names.get(job.name, job.key) == job.key, "it has another key than before"
            if before.get(job.key) in is_ended:
                assert world.status(job.key) is before[job.key]


def _how_many(old: Workflow, new: Workflow, key: DataKey) -> str:
    """Compared with before."""
    was, now = (
        sum(len(elements_of(one, fold.key)) for fold, _ in folds(one, key)) for one in (old, new)
    )
    if not was:
        return "first"
    return "more" if now > was else "fewer" if now < was else "as many"


def folds(workflow: Workflow, key: DataKey | None = None) -> Iterator[tuple[Job, ForEach]]:
    for job in workflow.jobs:
        if job.for_each is not None and key in (None, job.for_each.data):
            yield job, job.for_each


def elements_of(workflow: Workflow, fold: JobKey) -> list[Job]:
    return [j for j in workflow.jobs if j.element is not None and j.element.of == fold]


def unfolded(
    workflow: Workflow, data: DataKey, items: list[object], sha256: str, next_key: int
) -> Workflow:
    """With jobs for these elements, in place of those that there were."""
    plain = editing.ungrouped(workflow)
    jobs = {job.key: job for job in plain.jobs}
    files = {file.key: file for file in plain.files}
    job_keys = {job.name: job.key for job in plain.jobs}
    file_keys = {file.name: file.key for file in plain.files}
    for fold, for_each in folds(plain, data):
        for old in elements_of(plain, fold.key):
            del jobs[old.key]
            for file in old.output_files:
                del files[file]
        jobs[fold.key] = msgspec.structs.replace(
            fold, for_each=ForEach(data=for_each.data, sha256=sha256, count=len(items))
        )
        for index, item in enumerate(items):
            name = f"{fold.name}_{index if fold.key % 2 else item}"
            key, next_key = _key(job_keys, name, next_key)
            made: tuple[FileKey, ...] = ()
            if fold.key % 3:
                file_key, next_key = _key(file_keys, name, next_key)
                made = (FileKey(file_key),)
                files[made[0]] = File(key=made[0], name=name, path=f"/{name}")
            of = hashlib.sha256(str(item).encode()).hexdigest()
            jobs[JobKey(key)] = Job(
                key=JobKey(key),
                name=name,
                command=fold.command,
                depends_on=(fold.key,),
                output_files=made,
                cancel_on_blocking_job_failure=fold.cancel_on_blocking_job_failure,
                failure_handler=fold.failure_handler,
                element=Element(of=fold.key, index=index, sha256=of),
            )
    made_anew = msgspec.structs.replace(
        plain,
        jobs=tuple(jobs[key] for key in sorted(jobs)),
        files=tuple(files[key] for key in sorted(files)),
    )
    return regrouped(waiting_for_all(made_anew), workflow, next_key)


def _key(
    known: dict[str, int] | dict[str, JobKey] | dict[str, FileKey], name: str, new: int
) -> tuple[int, int]:
    """Of this name, and the next one that is new."""
    return (known[name], new) if name in known else (new, new + 1)


def waiting_for_all(workflow: Workflow) -> Workflow:
    """Who waits for some element of a job, or for the job, waits for all of its elements; nobody
    waits for what is gone with one."""
    stands_for: dict[JobKey, tuple[JobKey, ...]] = {}
    for fold, _ in folds(workflow):
        some = tuple(job.key for job in elements_of(workflow, fold.key))
        stands_for |= dict.fromkeys((fold.key, *some), some or (fold.key,))

    def waiting(job: Job) -> Job:
        if job.element is not None:
            return job
        named = [one for key in job.depends_on for one in stands_for.get(key, (key,))]
        return msgspec.structs.replace(job, depends_on=tuple(dict.fromkeys(named)))

    there = {job.key for job in workflow.jobs}
    files = {file.key for file in workflow.files}
    jobs = []
    for job in map(waiting, workflow.jobs):
        named = tuple(key for key in job.depends_on if key in there)
        read = tuple(key for key in job.input_files if key in files)
        jobs.append(msgspec.structs.replace(job, depends_on=named, input_files=read))
    return msgspec.structs.replace(workflow, jobs=tuple(jobs))


def regrouped(plain: Workflow, old: Workflow, first: int) -> Workflow:
    """With groups, of the same keys as before if they are the same."""

    def some(members: tuple[int, ...]) -> bool:
        return sum(members) % 3 > 0

    new = grouped(plain, some, first=first)
    if [(g.kind, g.members) for g in new.groups] == [(g.kind, g.members) for g in old.groups]:
        return grouped(plain, some, first=old.groups[0].key if old.groups else first)
    return new


def with_folds(workflow: Workflow, pick: Pick) -> Workflow:
    """Some of its jobs say `for_each`, in place of what they did."""
    jobs = list(workflow.jobs)
    makers = {key: n for n, job in enumerate(jobs) for key in job.output_user_data}
    for data in workflow.user_data:
        later = [n for n in range(len(jobs)) if n > makers.get(data.key, -1)]
        later = [n for n in later if not jobs[n].output_files and not jobs[n].output_user_data]
        if not later or pick(2):
            continue
        n = later[pick(len(later))]
        if jobs[n].for_each is None:
            jobs[n] = msgspec.structs.replace(
                jobs[n],
                depends_on=(),
                input_files=(),
                input_user_data=(data.key,),
                for_each=ForEach(data=data.key),
            )
    return msgspec.structs.replace(workflow, jobs=tuple(jobs))
