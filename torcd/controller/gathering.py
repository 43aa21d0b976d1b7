"""What is in all files of a workflow now, before it is restarted: most are as they are known, the
others are read, in a worker thread, with somebody told how far it is."""

import os
import threading
import time
from collections.abc import Callable

import anyio
import msgspec
from anyio import from_thread, to_thread

from torcd.accounts import Account
from torcd.controller.contents import Abandoned, Glance, glance, state_of
from torcd.controller.looking import States
from torcd.impersonation import as_user
from torcd.model import FileKey, FileState, Workflow
from torcd.scheduler.state import WorkflowNode

TELL_SECONDS = 0.2
"""Between two words on how far it is: more often than people can see is waste."""

MAX_GATHERERS = 2
"""Restarts that look at files at a time; the others wait for their turn."""


class Progress(msgspec.Struct, frozen=True):
    """How far it is with the files that have to be read."""

    files: int
    read_files: int
    size_bytes: int
    read_bytes: int


Tell = Callable[[Progress], None]


class Gatherer:
    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(MAX_GATHERERS)

    async def states(
        self, node: WorkflowNode, user: Account | None, tell: Tell | None = None
    ) -> States:
        """Of the files that its jobs read and make, as that user sees them; None: it is not there.
        `tell` is called in the event loop. Whoever is cancelled is not waited for: the thread stops
        soon by itself."""
        return await self.states_of(node.workflow, dict(node.file_states), user, tell)

    async def states_of(
        self,
        workflow: Workflow,
        known: dict[FileKey, FileState],
        user: Account | None,
        tell: Tell | None = None,
    ) -> States:
        """The same of a workflow as it may become; `known`: of its files, as they were when
        somebody looked last."""
        round_ = _Round(workflow, known, tell)
        try:
            return await to_thread.run_sync(
                as_user, user, round_.run, limiter=self._limiter, abandon_on_cancel=True
            )
        finally:
            round_.is_abandoned.set()


class _Round:
    def __init__(
        self, workflow: Workflow, known: dict[FileKey, FileState], tell: Tell | None
    ) -> None:
        self.is_abandoned = threading.Event()
        self._workflow = workflow
        self._known = known
        self._tell = tell
        self._told_at = time.monotonic()
        self._files = self._read_files = self._size = self._read = 0

    def run(self) -> States:
        states: States = {}
        to_read: list[tuple[FileKey, str, Glance]] = []
        made = {key for job in self._workflow.jobs for key in job.output_files}
        used = {key for job in self._workflow.jobs for key in job.input_files}
        used |= {FileKey(k) for g in self._workflow.groups if g.kind == "file" for k in g.members}
        for file in self._workflow.files:
            if file.key not in made and file.key not in used:
                continue
            if self.is_abandoned.is_set():
                raise Abandoned
            # A link that leads nowhere can have been made, but there is nothing to be read.
            is_there = file.key in made or os.path.exists(file.path)
            seen = glance(file.path) if is_there else None
            known = self._known.get(file.key)
            if seen is None:
                states[file.key] = None
            elif seen.fits(known):
                states[file.key] = known
            else:
                to_read.append((file.key, file.path, seen))
        self._files, self._size = len(to_read), sum(seen.size for _, _, seen in to_read)
        for key, path, seen in to_read:
            states[key] = state_of(path, seen, self._have_read)
            self._read_files += 1
            self._have_read(0)
        return states

    def _have_read(self, size_bytes: int) -> None:
        if self.is_abandoned.is_set():
            raise Abandoned
        self._read += size_bytes
        now = time.monotonic()
        if self._tell is not None and now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            from_thread.run_sync(
                self._tell, Progress(self._files, self._read_files, self._size, self._read)
            )
