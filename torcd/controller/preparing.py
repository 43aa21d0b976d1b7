"""Writes TORC_INPUTS for the jobs that declare inputs, before their orders are given.

Between the decision to start an attempt and its order there is a moment in which it can be
stopped and the executor has not heard of it yet: `forget` is for that. Where there is no room for
the file, that moment lasts until there is.
"""

from collections.abc import Callable
from typing import Any

import anyio
from anyio import to_thread

from torcd import disk, errors
from torcd.accounts import Account
from torcd.controller.harvest import remove
from torcd.controller.launching import INPUTS, write_inputs
from torcd.controller.layout import Layout
from torcd.controller.room import PROBE_BYTES, room
from torcd.executors.base import AttemptOrder
from torcd.impersonation import as_user
from torcd.model import AttemptKey
from torcd.scheduler import Scheduler
from torcd.scheduler.commands import StartAttempt
from torcd.store import Store


class Preparer:
    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        layout: Layout,
        prepared: Callable[[list[AttemptOrder]], None],
        failed: Callable[[AttemptKey, str], None],
        shortage_changed: Callable[[], None],
        log: Any,
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._layout = layout
        self._prepared = prepared
        self._failed = failed
        self._shortage_changed = shortage_changed
        self._log = log
        self._unwritable: str | None = None
        """A file for which there is no room."""
        self._waiting: dict[AttemptKey, tuple[StartAttempt, AttemptOrder]] = {}
        self._arrived = anyio.Event()

    def take(self, start: StartAttempt, order: AttemptOrder) -> None:
        self._waiting[start.attempt_key] = start, order
        self._arrived.set()

    def forget(self, attempt_key: AttemptKey) -> bool:
        """Whether it was here; its order will not be given now."""
        return self._waiting.pop(attempt_key, None) is not None

    @property
    def shortage(self) -> errors.NoSpace | None:
        """Why those that are here have to wait, if there is no room."""
        path = self._unwritable
        return None if path is None else disk.no_space(path, INPUTS)

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            while not await self._prepare():
                await room(self._layout.attempts)

    async def _prepare(self) -> bool:
        """Of all that are here; False: there was no room for some, and they have to wait."""
        written = []
        unwritable = None
        for start, order in list(self._waiting.values()):
            if start.attempt_key not in self._waiting:
                continue  # its workflow may be gone by now
            try:
                written.append((order, await self._write(start, order.user)))
            except errors.NoSpace as error:
                unwritable = self._layout.inputs(start.attempt_key, order.user)
                if self._unwritable is None:
                    self._log.error("no room: jobs with inputs wait", problem=str(error))
                break
        if self._unwritable is not None and unwritable is None:
            self._log.info("there is room again: jobs with inputs start")
        was, self._unwritable = self._unwritable, unwritable
        if (was is None) != (unwritable is None):
            self._shortage_changed()
        orders = []
        for order, problem in written:
            # One that was forgotten meanwhile is not ordered; from here on nothing waits, so
            # there is no moment in which it is neither here nor with the executor.
            if not self.forget(order.attempt_key):
                remove([self._layout.inputs(order.attempt_key, order.user)])
            elif problem is None:
                orders.append(order)
            else:
                self._failed(order.attempt_key, problem)
        if orders:
            self._prepared(orders)
        return unwritable is None

    async def _write(self, start: StartAttempt, user: Account | None) -> str | None:
        """None, or why it cannot be done. Raises NoSpace."""
        node = self._scheduler.workflows[start.workflow_key]
        values = {}
        for key in node.workflow.input_user_data(start.job):
            data = node.data[key]
            try:
                row = await self._store.value(key) if data.sha256 is not None else None
            except errors.LostValue as error:
                return f'user_data "{data.data.name}": {error}'
            if row is not None:
                values[data.data.name] = row.value
        path = self._layout.inputs(start.attempt_key, user)
        try:
            await to_thread.run_sync(as_user, user, write_inputs, path, values)
        except OSError as error:
            # A quota of another user's is for that user to see to: others do not wait for it.
            is_shared = user is None or not disk.has_room(self._layout.attempts, PROBE_BYTES)
            if disk.is_no_room(error) and is_shared:
                raise disk.no_space(path, INPUTS) from error
            return f"TORC_INPUTS cannot be written: {error}"
        return None
