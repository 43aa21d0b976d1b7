"""Old runs of workflows that stay are removed, where no more than some are to be kept.

It is due when a run ends and when one begins. First it is written down that the runs are removed;
from then on nobody is told of them. Then their logs go, and their rows after them: once an attempt
has no row, nobody knows of its logs. Whatever interrupts this, the next start goes on with it.
"""

import contextlib
import os
from collections.abc import Iterable
from typing import Any

import anyio
from anyio import to_thread

from torcd import errors
from torcd.controller.layout import Layout
from torcd.controller.room import room
from torcd.model import WorkflowKey
from torcd.store import Store
from torcd.store.pruning import START, Place
from torcd.store.rows import OldAttempt, Removable


class Pruner:
    def __init__(self, store: Store, layout: Layout, log: Any, *, keep_runs: int) -> None:
        """`keep_runs`: so many of each workflow; 0: all of them."""
        self._store = store
        self._layout = layout
        self._log = log
        self._woken = anyio.Event()
        self._due: set[WorkflowKey] = set()
        self.is_at_work = False
        """There is something to remove, or to look whether there is."""
        self.set_keep_runs(keep_runs)

    def set_keep_runs(self, keep_runs: int) -> None:
        """From now on."""
        self._keep_runs = keep_runs
        self._all_are_due = True
        self._woken.set()

    def run_changed(self, key: WorkflowKey, run_id: int) -> None:
        """That run of a workflow has begun, or ended."""
        if 0 < self._keep_runs < run_id:
            self._due.add(key)
            self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken, self.is_at_work = anyio.Event(), True
            try:
                for old in await self._what_is_due():
                    await self._prune(old)
            except errors.NoSpace:
                # To remove something has to be written down, too.
                self._all_are_due = True
                await room(self._layout.state_dir)
                continue
            self.is_at_work = False
            await self._woken.wait()

    async def _what_is_due(self) -> list[Removable]:
        keep, all_are_due, due = self._keep_runs, self._all_are_due, self._due
        self._all_are_due, self._due = False, set()
        if not keep:
            return []
        if all_are_due:
            return await self._store.removable(keep)
        return [old for key in sorted(due) for old in await self._store.removable(keep, key)]

    async def _prune(self, old: Removable) -> None:
        place: Place | None = START
        while place is not None:
            place = await self._store.note_storers(old, place)
        is_new = await self._store.mark_removed(old)
        last: OldAttempt | None = None
        count = 0
        while attempts := await self._store.old_attempts(old, last):
            last = attempts[-1]
            to_go = [attempt for attempt in attempts if not attempt.is_referred_to]
            if to_go:
                paths = [path for attempt in to_go for path in self._logs(old, attempt)]
                await to_thread.run_sync(_remove_files, paths)
                await self._store.remove_attempts([attempt.key for attempt in to_go])
                count += len(to_go)
        while not await self._store.remove_events(old):
            pass
        if is_new or count:
            key = str(old.workflow_key)
            self._log.info("runs_removed", workflow=key, up_to_run=old.runs, attempts=count)

    def _logs(self, old: Removable, attempt: OldAttempt) -> Iterable[str]:
        """Where they are, if they are."""
        key, run_id, number = old.workflow_key, attempt.run_id, attempt.attempt_id
        if attempt.job_key is None:
            return self._layout.action_log_paths(key, attempt.action or 0, run_id, number)
        if attempt.is_recovery:
            return self._layout.recovery_log_paths(key, attempt.job_key, run_id, number)
        paths = self._layout.log_paths(key, attempt.job_key, run_id, number, "separate")
        return [path for path in paths if path is not None]


def _remove_files(paths: Iterable[str]) -> None:
    """What cannot be removed stays."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)
