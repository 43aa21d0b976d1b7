"""What people do to workflows, at any time, sensible or not."""

from torcd.model import FileKey, JobKey, JobStatus, WorkflowKey
from torcd.scheduler import events as e

from . import naive
from .workflows import Pick, random_plan
from .world import World, person_stores

MAX_UNFINISHED = 3


_WAITING = frozenset({JobStatus.BLOCKED, JobStatus.READY})
_ACTIVE = frozenset({JobStatus.PENDING, JobStatus.RUNNING})


class Wish:
    """Something a person may want."""

    def __repr__(self) -> str:
        return type(self).__name__

    def come_true(self, world: World, pick: Pick) -> bool:
        """False when there was nothing to wish for."""
        raise NotImplementedError


class Submit(Wish):
    def come_true(self, world: World, pick: Pick) -> bool:
        if world.scheduler is None or len(world.view.unfinished()) >= MAX_UNFINISHED:
            return False
        world.submit(random_plan(pick, world.scheduler.next_key))
        return True


class WishForAWorkflow(Wish):
    def come_true(self, world: World, pick: Pick) -> bool:
        keys = self.candidates(world)
        if world.scheduler is None or not keys:
            return False
        key = keys[pick(len(keys))]
        if key not in world.scheduler.workflows:
            # Over, and not in memory since the last restart: loaded for who asks.
            world.handle(world.view.load(key, frozenset(world.absent), world.tick()))
            is_archived = world.view.workflow_rows[key].archived
            assert world.scheduler.workflows[key].archived == is_archived
        request = self.request(world, key, pick)
        if request is not None:
            world.requests.append(request)
        return request is not None

    def candidates(self, world: World) -> list[WorkflowKey]:
        return world.view.unfinished()

    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event | None:
        raise NotImplementedError


class Pause(WishForAWorkflow):
    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event:
        return e.PauseRequested(key, world.tick())


class Freeze(WishForAWorkflow):
    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event:
        return e.PauseRequested(key, world.tick(), freezes=True)


class Resume(WishForAWorkflow):
    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event:
        return e.ResumeRequested(key, world.tick())


class CancelJobs(WishForAWorkflow):
    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event:
        return e.CancelRequested(
            workflow_key=key, jobs=_some_jobs(world, key, pick, _ACTIVE), at=world.tick()
        )


class CancelWorkflow(WishForAWorkflow):
    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event | None:
        if pick(4):
            return None
        return e.CancelRequested(workflow_key=key, jobs=None, at=world.tick())


class DisableJobs(WishForAWorkflow):
    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event:
        return e.DisableRequested(
            workflow_key=key,
            jobs=_some_jobs(world, key, pick, _WAITING),
            absent_files=_some_files(world, key, pick),
            at=world.tick(),
        )


class EnableJobs(WishForAWorkflow):
    def candidates(self, world: World) -> list[WorkflowKey]:
        return [key for key in world.view.unfinished() if _disabled(world, key)]

    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event:
        disabled = _disabled(world, key)
        return e.EnableRequested(
            workflow_key=key,
            jobs=tuple(disabled[: 1 + pick(len(disabled))]),
            absent_files=_some_files(world, key, pick),
            at=world.tick(),
        )


class StoreValue(WishForAWorkflow):
    def candidates(self, world: World) -> list[WorkflowKey]:
        return world.view.visible()

    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event | None:
        data = world.workflow(key).user_data
        if not data:
            return None
        return person_stores(key, data[pick(len(data))].key, world.tick())


class ArchiveWorkflow(WishForAWorkflow):
    """Or bring it back."""

    def candidates(self, world: World) -> list[WorkflowKey]:
        return world.view.visible()

    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event:
        return e.ArchiveRequested(workflow_key=key, archived=bool(pick(2)), at=world.tick())


class DeleteWorkflow(WishForAWorkflow):
    def candidates(self, world: World) -> list[WorkflowKey]:
        return world.view.visible()

    def request(self, world: World, key: WorkflowKey, pick: Pick) -> e.Event | None:
        return None if pick(3) else e.DeleteRequested(key, world.tick())


class NobodyAsks(Wish):
    """For a workflow that is over: it is dropped from memory, until somebody does."""

    def come_true(self, world: World, pick: Pick) -> bool:
        if world.scheduler is None:
            return False
        over = [key for key, node in world.scheduler.workflows.items() if node.is_over]
        if over:
            world.scheduler.forget(over[pick(len(over))])
        return bool(over)


class ProvideFile(Wish):
    def come_true(self, world: World, pick: Pick) -> bool:
        files = sorted(
            file.key
            for key in world.view.unfinished()
            for file in world.workflow(key).files
            if file.key in world.absent and not naive.makers(world.workflow(key), file.key)
        )
        if files:
            world.provide(files[pick(len(files))])
        return bool(files)


class Drain(Wish):
    def come_true(self, world: World, pick: Pick) -> bool:
        if world.scheduler is None or pick(6):
            return False
        world.requests.append(e.DrainRequested(world.tick()))
        return True


WISHES: tuple[Wish, ...] = (
    Submit(),
    Submit(),
    Submit(),
    Submit(),
    Pause(),
    Freeze(),
    Freeze(),
    Resume(),
    Resume(),
    CancelJobs(),
    CancelJobs(),
    CancelJobs(),
    CancelJobs(),
    CancelWorkflow(),
    DisableJobs(),
    DisableJobs(),
    DisableJobs(),
    EnableJobs(),
    EnableJobs(),
    EnableJobs(),
    EnableJobs(),
    StoreValue(),
    StoreValue(),
    ArchiveWorkflow(),
    DeleteWorkflow(),
    NobodyAsks(),
    ProvideFile(),
    Drain(),
)


def _disabled(world: World, key: WorkflowKey) -> list[JobKey]:
    jobs = world.workflow(key).jobs
    return [job.key for job in jobs if world.view.status(job.key) is JobStatus.DISABLED]


def _some_jobs(
    world: World, key: WorkflowKey, pick: Pick, likely: frozenset[JobStatus]
) -> tuple[JobKey, ...]:
    """Mostly such as it makes sense for."""
    assert world.scheduler is not None
    jobs = world.scheduler.workflows[key].jobs
    sensible = [k for k, job in jobs.items() if job.state.status in likely]
    keys = sensible if sensible and pick(4) else list(jobs)
    return tuple(keys[pick(len(keys))] for _ in range(1 + pick(3)))


def _some_files(world: World, key: WorkflowKey, pick: Pick) -> frozenset[FileKey]:
    """Of those that jobs make: some are not there."""
    workflow = world.workflow(key)
    return frozenset(f.key for f in workflow.files if naive.makers(workflow, f.key) and pick(2))
