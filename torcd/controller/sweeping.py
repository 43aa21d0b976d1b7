"""What is left of deleted workflows goes, and workflows that were over for long are deleted.

A workflow that is deleted is gone for everybody as soon as that is on disk. Its logs and its rows
are removed afterwards, logs first: they take most of the room, and once the last row is gone nobody
would know of them any more. Whatever interrupts this, the next start goes on with it.
"""

import math
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio import to_thread

from torcd import errors
from torcd.controller.layout import Layout
from torcd.controller.room import room
from torcd.model import Timestamp, WorkflowKey
from torcd.store import Store

MICROSECONDS_IN_A_DAY = 86_400 * 1_000_000


class Sweeper:
    def __init__(
        self,
        store: Store,
        layout: Layout,
        delete: Callable[[WorkflowKey], Awaitable[object]],
        log: Any,
        *,
        retention_days: float,
    ) -> None:
        """`delete` has a workflow that is over deleted; `retention_days` 0: keep all of them."""
        self._store = store
        self._layout = layout
        self._delete = delete
        self._log = log
        self._woken = anyio.Event()
        self.set_retention(retention_days)

    def set_retention(self, days: float) -> None:
        """From now on."""
        self._retention = int(days * MICROSECONDS_IN_A_DAY)
        self._woken.set()

    def workflow_deleted(self) -> None:
        self._woken.set()

    def workflow_ended(self) -> None:
        if self._retention:
            self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken = anyio.Event()
            try:
                for key in await self._store.deleted():
                    await self._remove(key)
                seconds = await self._expire()
            except errors.NoSpace:
                # To remove something has to be written down, too.
                await room(self._layout.state_dir)
                continue
            with anyio.move_on_after(seconds):
                await self._woken.wait()

    async def _remove(self, key: WorkflowKey) -> None:
        await to_thread.run_sync(_remove_directory, self._layout.log_dir(key))
        while not await self._store.sweep(key):
            pass
        self._log.info("workflow_removed", workflow=str(key))

    async def _expire(self) -> float:
        """Delete what has been over for long enough; the seconds until there is more."""
        if not self._retention:
            return math.inf
        for key in await self._store.ended_before(Timestamp(_now() - self._retention)):
            self._log.info("workflow_expired", workflow=str(key))
            try:
                await self._delete(key)
            except errors.NoSpace:
                raise
            except errors.UserError:  # somebody was faster
                continue
        first = await self._store.first_end()
        if first is None:
            return math.inf
        return max(0.0, (first + self._retention - _now()) / 1_000_000 + 0.001)


def _remove_directory(path: str) -> None:
    """What cannot be removed stays: a directory that is not ours, for one."""
    try:
        shutil.rmtree(path, ignore_errors=True)
    except RecursionError:  # before Python 3.13: more directories in one another than it can follow
        subprocess.run(
            ["rm", "-rf", "--", path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


def _now() -> int:
    return time.time_ns() // 1000
