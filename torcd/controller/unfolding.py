"""Makes jobs for the elements of values, when the scheduler asks for it: the workflow is expanded
again from its spec, off the loop, with the values that its jobs say `for_each` of.

The answer is for the workflow and the value as they were when it was begun; the scheduler takes it
or asks again. What is lost here, because the daemon ends or there is no room, is asked for again
after the next start.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import msgspec
from anyio import to_thread

from torcd import errors, spec
from torcd.accounts import Account, Accounts
from torcd.controller.parsing import given_values
from torcd.controller.presence import absent_files
from torcd.model import (
    DataKey,
    FileKey,
    FileState,
    KeptSpec,
    SpecChange,
    Timestamp,
    Workflow,
    WorkflowKey,
    spec_change,
)
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.commands import MakeElements
from torcd.scheduler.state import WorkflowNode
from torcd.store import Store
from torcd.value import Value

MAX_NAMED = 3
"""Problems in the message of a job that fails because of them."""


class Unfolder:
    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        accounts: Accounts,
        submitting: anyio.Lock,
        request: Callable[[e.Event], Awaitable[object]],
        settled: Callable[[], Awaitable[None]],
        now: Callable[[], Timestamp],
        log: Any,
        *,
        max_value_bytes: int,
    ) -> None:
        """`submitting` is held from reading the next key until all that is new has one."""
        self._scheduler = scheduler
        self._store = store
        self._accounts = accounts
        self._submitting = submitting
        self._request = request
        self._settled = settled
        self._now = now
        self._log = log
        self._max_value_bytes = max_value_bytes
        self._wanted: dict[tuple[WorkflowKey, DataKey], None] = {}
        self._arrived = anyio.Event()

    def take(self, order: MakeElements) -> None:
        self._wanted[order.workflow_key, order.data_key] = None
        self._arrived.set()

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            while self._wanted:
                key, data_key = next(iter(self._wanted))
                del self._wanted[key, data_key]
                try:
                    await self._unfold(key, data_key)
                except errors.NoSpace as error:
                    # All that is unfinished is taken up again when there is room.
                    self._log.info("no room: jobs for elements wait", problem=str(error))

    async def _unfold(self, key: WorkflowKey, data_key: DataKey) -> None:
        async with self._submitting:
            await self._settled()
            node = self._scheduler.workflows.get(key)
            if node is None or data_key not in node.data:
                return
            # From here on the node may become another one; the answer is about this workflow.
            base, sha256 = node.workflow, node.data[data_key].sha256
            name = node.data[data_key].data.name

            def refusal(message: str, sha256: str | None) -> e.ElementsRefused:
                return e.ElementsRefused(
                    workflow_key=key,
                    data_key=data_key,
                    sha256=sha256,
                    base=base,
                    message=message,
                    at=self._now(),
                )

            try:
                values = await unfolded_values(self._store, node)
                row = await self._store.value(data_key)
            except errors.LostValue as error:
                await self._request(refusal(str(error), sha256))
                return
            if sha256 is None or row is None or row.sha256 != sha256:
                # It was stored again, or cleared, meanwhile.
                await self._request(refusal(f'user_data "{name}" has no value', None))
                return
            values[name] = Value(row.value, row.sha256)
            kept = await self._store.spec(key)
            assert kept is not None
            known = spec.Known(workflow=base, next_key=self._scheduler.next_key)
            user = self._accounts.acts_as(base.owner)
            event: e.Event
            try:
                made = await to_thread.run_sync(
                    partial(_expanded, known, kept, values, user, self._max_value_bytes)
                )
            except errors.UserError as error:
                event = refusal(_in_short(error, name), sha256)
            else:
                edit = e.EditRequested(
                    workflow_key=key,
                    workflow=made.workflow,
                    values_before=await self._store.given_values(key),
                    values=made.values,
                    files=made.files,
                    at=self._now(),
                    spec=made.spec,
                )
                event = e.ElementsMade(data_key=data_key, sha256=sha256, base=base, edit=edit)
            await self._request(event)


class _Made(msgspec.Struct, frozen=True):
    workflow: Workflow
    values: dict[DataKey, Value]
    files: dict[FileKey, FileState | None]
    spec: SpecChange


async def unfolded_values(store: Store, node: WorkflowNode) -> dict[str, Value]:
    """By name: the values of whose elements there are jobs, as they were then."""
    found: dict[str, Value] = {}
    wanted = {
        job.job.for_each.data: job.job.for_each.sha256
        for job in node.folds
        if job.job.for_each is not None and job.job.for_each.sha256 is not None
    }
    for key, sha256 in wanted.items():
        rows = [row for row in await store.revisions(key, max_bytes=0) if row.sha256 == sha256]
        row = await store.value(key, rows[-1].revision) if rows else None
        if row is not None:
            found[node.data[key].data.name] = Value(row.value, row.sha256)
    return found


def _expanded(
    known: spec.Known,
    kept: KeptSpec,
    values: dict[str, Value],
    user: Account | None,
    max_value_bytes: int,
) -> _Made:
    """Blocks."""
    written, additions = spec.decode(kept.text), kept.additions
    while True:
        workflow = spec.expand_with(
            written, additions, directory=known.workflow.directory, known=known, values=values
        )
        there = {job.key for job in workflow.jobs}
        left = tuple(one for one in additions if one.adder in there)
        if len(left) == len(additions):
            break
        additions = left  # who has added the others was made for an element that is gone
    given = given_values(workflow, max_value_bytes)
    change = spec_change(kept, None, additions)
    return _Made(workflow, given, absent_files(workflow, user), change)


def _in_short(error: errors.UserError, name: str) -> str:
    lines = error.message.splitlines()
    more = f"; and {len(lines) - MAX_NAMED} more" if len(lines) > MAX_NAMED else ""
    return f'no jobs can be made for the elements of "{name}": {"; ".join(lines[:MAX_NAMED])}{more}'
