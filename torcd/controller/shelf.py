"""Which workflows are in memory, and what their jobs inherit.

Those that are not over always are. One that is over is brought back when somebody asks about it,
and let go again, the oldest first, when there are many. While somebody works with a workflow it is
pinned.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
import msgspec
from anyio import to_thread

from torcd import errors
from torcd.accounts import Accounts
from torcd.controller.launching import environment_name, shared_environment
from torcd.controller.presence import absent_inputs
from torcd.executors.base import Executor
from torcd.model import WORKFLOW_OVER, AttemptKey, Workflow, WorkflowKey
from torcd.scheduler import Scheduler
from torcd.scheduler.building import build
from torcd.scheduler.events import WorkflowLoaded
from torcd.scheduler.state import WorkflowNode
from torcd.store import NO_BOOT, Store

_RESTARTED = "the machine was restarted while it was pending or running"
_RESTORED = "it was pending or running when the backup was made that was put back"

MAX_IDLE_JOBS = 5_000
"""Jobs of workflows that are over and kept in memory for who asks next: less than 10 MiB."""


class Shelf:
    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        accounts: Accounts,
        executor: Executor,
        socket: str,
        boot_id: str,
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._accounts = accounts
        self._executor = executor
        self._socket = socket
        self._boot_id = boot_id
        self._pins: dict[WorkflowKey, int] = {}
        self._loading = anyio.Lock()
        self.environments: dict[WorkflowKey, Mapping[str, str]] = {}
        """What the jobs of each workflow that is not over inherit."""
        self._reviving: dict[WorkflowKey, int] = {}
        """Those that are over, and about to be no more."""
        self.unborn: set[WorkflowKey] = set()
        """Submitted and not yet on disk: nobody may see them."""
        self.foreign_attempts: dict[AttemptKey, str] = {}
        """Active ones that were ordered under another boot of the machine, or before the database
        was put back; with why they are lost."""

    @asynccontextmanager
    async def workflow(
        self,
        key: WorkflowKey,
        load: Callable[[WorkflowLoaded], Awaitable[object]],
        settled: Callable[[], Awaitable[None]],
    ) -> AsyncIterator[WorkflowNode]:
        """A workflow, in memory for as long as the block lasts. Raises UnknownWorkflow.

        `load` has the event decided; `settled` waits until what was decided is on disk."""
        self._pins[key] = self._pins.get(key, 0) + 1
        try:
            if key in self.unborn:
                await settled()
            if key not in self._scheduler.workflows:
                async with self._loading:
                    # One whose deletion is decided is on disk until that is committed.
                    await settled()
                    if key not in self._scheduler.workflows:
                        await load(await self.read(key))
            if key not in self._scheduler.workflows:
                raise unknown(key)  # it was deleted meanwhile
            yield self._scheduler.workflows[key]
        finally:
            self._pins[key] -= 1
            if not self._pins[key]:
                del self._pins[key]

    async def read_all(self) -> list[WorkflowLoaded]:
        """All that are not over, oldest first, and what somebody works with: as on disk."""
        found: dict[WorkflowKey, WorkflowLoaded | None] = {}
        wanted = await self._store.unfinished()
        while wanted:
            for key in wanted:
                try:
                    found[key] = await self.read(key)
                except errors.UnknownWorkflow:
                    found[key] = None
            # Meanwhile somebody may have begun to work with others.
            wanted = [key for key in self._pins if key not in found]
        return [event for event in found.values() if event is not None]

    async def read(self, key: WorkflowKey) -> WorkflowLoaded:
        """A workflow as the database has it. Raises UnknownWorkflow."""
        loaded = await self._store.load(key)
        if loaded is None:
            raise unknown(key)
        event = loaded.event
        await self._accounts.look_up(self._accounts.uid_of(event.workflow.owner))
        if event.wait_for_inputs:
            user = self._accounts.acts_as(event.workflow.owner)
            absent = await to_thread.run_sync(absent_inputs, event.workflow, user)
            event = msgspec.structs.replace(event, absent_files=absent)
        # A large one takes a second or two, in which others are served.
        built = await to_thread.run_sync(build, event, self._scheduler.capacity)
        event = msgspec.structs.replace(event, built=built)
        if event.status not in WORKFLOW_OVER:
            self.environments[key] = loaded.environment
            self.share_environment(event.workflow)
        self.foreign_attempts.update(
            (attempt, _RESTORED if boot_id == NO_BOOT else _RESTARTED)
            for attempt, boot_id in loaded.boot_ids.items()
            if boot_id != self._boot_id
        )
        return event

    @asynccontextmanager
    async def revived(self, node: WorkflowNode) -> AsyncIterator[None]:
        """While the block lasts there is what its jobs inherit; and afterwards, if it is not over
        any more."""
        key = node.key
        self._reviving[key] = self._reviving.get(key, 0) + 1
        try:
            if key not in self.environments:
                environment = await self._store.environment(key)
                if environment is None:
                    raise unknown(key)
                self.environments.setdefault(key, environment)
                self.share_environment(node.workflow)
            yield
        finally:
            self._reviving[key] -= 1
            if not self._reviving[key]:
                del self._reviving[key]
                if node.is_over:
                    self._drop_environment(key)

    def share_environment(self, workflow: Workflow) -> None:
        """Give the executor what all jobs of a workflow share."""
        inherited = self.environments.get(workflow.key, {})
        self._executor.add_environment(
            environment_name(workflow.key),
            shared_environment(workflow, inherited, self._socket),
        )

    def share_another_environment(self, workflow: Workflow) -> None:
        """The same for one that has another spec; what was ordered before keeps what it had."""
        if workflow.key in self.environments:
            self._executor.remove_environment(environment_name(workflow.key))
            self.share_environment(workflow)

    def is_over(self, key: WorkflowKey) -> None:
        """A workflow is: its jobs need nothing any more."""
        if key not in self._reviving:
            self._drop_environment(key)
        self._forget_idle()

    def _drop_environment(self, key: WorkflowKey) -> None:
        self.environments.pop(key, None)
        self._executor.remove_environment(environment_name(key))

    def _forget_idle(self) -> None:
        idle = [
            node
            for key, node in self._scheduler.workflows.items()
            if node.is_over and key not in self._pins
        ]
        jobs = sum(len(node.jobs) for node in idle)
        for node in idle:
            if jobs <= MAX_IDLE_JOBS:
                break
            jobs -= len(node.jobs)
            self._scheduler.forget(node.key)


def unknown(key: WorkflowKey) -> errors.UnknownWorkflow:
    """There is none, or none any more."""
    return errors.UnknownWorkflow(f"no workflow has the key {key}", workflow_key=str(key))
