"""What happened, to everyone who listens.

A subscriber has a buffer of its own with an end. One that reads too slowly is cut off and told
with which number to go on: the happenings before it are in the store. Publishing never waits.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING

import anyio

from torcd import errors
from torcd.model import WORKFLOW_OVER, Happening, WorkflowKey

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BACKLOG = 20_000
"""Happenings one subscriber may be behind: some seconds of a busy daemon, some MiB at most, since
all subscribers share the happenings themselves. One that is not behind gets all that is published
at once, be it more: the end of a large workflow is no fault of its readers."""


_OVER = frozenset(status.value for status in WORKFLOW_OVER)
_workflow_of = attrgetter("workflow_key")
_kind_of = attrgetter("kind")


class Subscription:
    """What one subscriber has not read yet, oldest first."""

    def __init__(self, workflow_key: WorkflowKey | None) -> None:
        self._workflow_key = workflow_key
        self._backlog: list[Happening] = []
        self._arrived = anyio.Event()
        self._lagged_at: int | None = None

    async def next_batch(self) -> list[Happening]:
        """All there is, as soon as there is something. Raises Lagged."""
        while not self._backlog:
            if self._lagged_at is not None:
                raise errors.Lagged(
                    f"too slow: the events from number {self._lagged_at} on were dropped; "
                    "ask again from there",
                    next=self._lagged_at,
                )
            self._arrived = anyio.Event()
            await self._arrived.wait()
        batch, self._backlog = self._backlog, []
        return batch

    def _offer(self, happenings: Sequence[Happening]) -> None:
        if self._lagged_at is not None:
            return
        key = self._workflow_key
        wanted = [h for h in happenings if key is None or h.workflow_key == key]
        if not wanted:
            return
        if self._backlog and len(self._backlog) + len(wanted) > MAX_BACKLOG:
            self._lagged_at = wanted[0].number
        else:
            self._backlog.extend(wanted)
        self._arrived.set()


class Changes:
    """That something changed, but not what: however often, it is one change."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._is_over = anyio.Event()

    async def pause(self, seconds: float) -> None:
        """Return after so long, or as soon as the workflow is over: there is nothing to wait for
        then."""
        with anyio.move_on_after(seconds):
            await self._is_over.wait()
            self._is_over = anyio.Event()

    async def wait(self) -> None:
        """Return when something has changed since the last time."""
        await self._event.wait()
        self._event = anyio.Event()

    def _set(self) -> None:
        self._event.set()


class Feed:
    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._of_all: set[Changes] = set()
        self._of_workflow: dict[WorkflowKey, set[Changes]] = {}

    def publish(self, happenings: Sequence[Happening]) -> None:
        """Tell what is on disk now, in the order of the numbers."""
        for subscription in self._subscriptions:
            subscription._offer(happenings)
        if not happenings:
            return
        for changes in self._of_all:
            changes._set()
        if self._of_workflow:
            self._tell_followers(happenings)

    def _tell_followers(self, happenings: Sequence[Happening]) -> None:
        for key in set(map(_workflow_of, happenings)):
            for changes in self._of_workflow.get(key, ()):
                changes._set()
        if "workflow_changed" not in map(_kind_of, happenings):
            return
        for happening in happenings:
            if happening.kind == "workflow_changed" and happening.status in _OVER:
                for changes in self._of_workflow.get(happening.workflow_key, ()):
                    changes._is_over.set()

    def followers(self, workflow_key: WorkflowKey) -> int:
        """How many listen for changes of a workflow."""
        return len(self._of_workflow.get(workflow_key, ()))

    def touch(self) -> None:
        """Tell those who listen for changes of all workflows that how things are has changed,
        though nothing happened in any."""
        for changes in self._of_all:
            changes._set()

    @contextmanager
    def subscribe(self, workflow_key: WorkflowKey | None = None) -> "Iterator[Subscription]":
        """Everything published from now on, of one workflow or of all."""
        subscription = Subscription(workflow_key)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    @contextmanager
    def changes(self, workflow_key: WorkflowKey | None = None) -> "Iterator[Changes]":
        """Whether anything has been published about a workflow, or about any."""
        changes = Changes()
        followers = self._of_all
        if workflow_key is not None:
            followers = self._of_workflow.setdefault(workflow_key, set())
        followers.add(changes)
        try:
            yield changes
        finally:
            followers.discard(changes)
            if workflow_key is not None and not followers:
                del self._of_workflow[workflow_key]
