"""When a job that has added others ends: what its workflow is without those that it has not added
again.

Only the spec can say that (`torcd.spec.adding`), and it takes a while: it is worked out before the
end is decided, so that the one and the other are one decision and one transaction. Meanwhile nobody
else edits the workflow, and what may be removed is held, so that it does not begin.
"""

from collections.abc import Callable
from functools import partial

import anyio
import msgspec
from anyio import to_thread

from torcd import errors, spec
from torcd.accounts import Account, Accounts
from torcd.controller.loop import Loop
from torcd.controller.parsing import given_values
from torcd.controller.presence import absent_files
from torcd.controller.unfolding import unfolded_values
from torcd.model import (
    Addition,
    DataKey,
    FileKey,
    FileState,
    KeptSpec,
    Workflow,
    spec_change,
)
from torcd.scheduler.events import AttemptExited, EditRequested
from torcd.scheduler.job_states import Active
from torcd.scheduler.nodes import JobNode
from torcd.spec import adding
from torcd.value import Value


class _Left(msgspec.Struct, frozen=True):
    workflow: Workflow
    additions: list[Addition]
    values: dict[DataKey, Value]
    files: dict[FileKey, FileState | None]


class Withdrawer:
    """Adds to the news that an adder has exited what is to be removed if it has ended well."""

    def __init__(
        self,
        loop: Loop,
        accounts: Accounts,
        submitting: anyio.Lock,
        told: Callable[[AttemptExited], None],
    ) -> None:
        self._loop = loop
        self._accounts = accounts
        self._submitting = submitting
        self._told = told
        self._waiting: list[AttemptExited] = []
        self._arrived = anyio.Event()

    def take(self, event: AttemptExited, job: JobNode | None) -> None:
        """`job`: whose attempt it is; None: it is no active one."""
        added = () if job is None or event.return_code != 0 else job.added
        if not added or not any(one.is_earlier for one in added):
            self._told(event)
            return
        self._waiting.append(event)
        self._arrived.set()

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            waiting, self._waiting = self._waiting, []
            for event in waiting:
                async with self._submitting:
                    await self._loop.settled()
                    withdrawal = await self._withdrawal(event)
                    self._told(msgspec.structs.replace(event, withdrawal=withdrawal))
                    await self._loop.settled()

    async def _withdrawal(self, event: AttemptExited) -> EditRequested | None:
        found = self._loop.scheduler.active_attempt(event.attempt_key)
        if found is None or found[1].has_script_to_run:
            return None
        node, job = found
        kept = await self._loop.store.spec(node.key)
        if kept is None:
            return None
        try:
            unfolded = await unfolded_values(self._loop.store, node)
        except errors.LostValue:
            return None  # what would be left cannot be worked out: so all of it is
        user = self._accounts.acts_as(node.workflow.owner)
        running = frozenset(one.job.name for one in job.added if isinstance(one.state, Active))
        left = await to_thread.run_sync(
            partial(
                _left,
                spec.Known(workflow=node.workflow, next_key=self._loop.scheduler.next_key),
                kept,
                job,
                running,
                self._loop.settings.max_value_bytes,
                user,
                unfolded,
            )
        )
        if left is None:
            return None
        return EditRequested(
            workflow_key=node.key,
            workflow=left.workflow,
            values_before=await self._loop.store.given_values(node.key),
            values=left.values,
            files=left.files,
            at=self._loop.now(),
            spec=spec_change(kept, None, left.additions),
            attempt_key=event.attempt_key,
        )


def _left(
    known: spec.Known,
    kept: KeptSpec,
    adder: JobNode,
    running: frozenset[str],
    max_value_bytes: int,
    user: Account | None,
    unfolded: dict[str, Value],
) -> _Left | None:
    """Blocks. None: nothing is removed."""
    left = adding.without_earlier(
        spec.decode(kept.text),
        kept.additions,
        adder.job.key,
        (adder.run_id, adder.attempt_id),
        kept=running,
        directory=known.workflow.directory,
        known=known,
        values=unfolded,
    )
    if left is None:
        return None
    workflow = left.expanded.workflow
    values = given_values(workflow, max_value_bytes)
    return _Left(workflow, left.additions, values, absent_files(workflow, user))
