"""Writes TORC_INPUTS for the jobs that declare inputs, before their orders are given.

Between the decision to start an attempt and its order there is a moment in which it can be
stopped and the executor has not heard of it yet: `forget` is for that.
"""

from collections.abc import Callable

import anyio
from anyio import to_thread

from torcd.controller.harvest import remove
from torcd.controller.launching import write_inputs
from torcd.controller.layout import Layout
from torcd.executors.base import AttemptOrder
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
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._layout = layout
        self._prepared = prepared
        self._failed = failed
        self._waiting: dict[AttemptKey, tuple[StartAttempt, AttemptOrder]] = {}
        self._arrived = anyio.Event()

    def take(self, start: StartAttempt, order: AttemptOrder) -> None:
        self._waiting[start.attempt_key] = start, order
        self._arrived.set()

    def forget(self, attempt_key: AttemptKey) -> bool:
        """Whether it was here; its order will not be given now."""
        return self._waiting.pop(attempt_key, None) is not None

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            written = [
                (order, await self._write(start))
                for start, order in list(self._waiting.values())
                if start.attempt_key in self._waiting  # else its workflow may be gone by now
            ]
            orders = []
            for order, problem in written:
                # One that was forgotten meanwhile is not ordered; from here on nothing waits, so
                # there is no moment in which it is neither here nor with the executor.
                if not self.forget(order.attempt_key):
                    remove([self._layout.inputs(order.attempt_key)])
                    continue
                if problem is None:
                    orders.append(order)
                else:
                    self._failed(order.attempt_key, problem)
            if orders:
                self._prepared(orders)

    async def _write(self, start: StartAttempt) -> str | None:
        """None, or why it cannot be done."""
        node = self._scheduler.workflows[start.workflow_key]
        data = node.data
        values = {}
        for key in node.workflow.input_user_data(start.job):
            row = await self._store.value(key) if data[key].revision else None
            if row is not None:
                values[data[key].data.name] = row.value
        path = self._layout.inputs(start.attempt_key)
        try:
            await to_thread.run_sync(write_inputs, path, values)
        except OSError as error:
            return f"TORC_INPUTS cannot be written: {error}"
        return None
