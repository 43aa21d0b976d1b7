"""One round: decide, commit, act, announce, answer, always in this order."""

import time
from typing import Any

from torcd import errors
from torcd.controller import chronicle
from torcd.controller.acting import Actor
from torcd.controller.batch import Batch, Request
from torcd.controller.settings import Settings
from torcd.controller.shelf import Shelf
from torcd.feed import Feed
from torcd.model import Happening, Timestamp
from torcd.scheduler import Scheduler
from torcd.scheduler import commands as c
from torcd.scheduler import events as e
from torcd.scheduler.standstill import End
from torcd.store import Store


class Rounds:
    """The steps. When they are taken says `torcd.controller.loop`; whoever makes that gives it the
    parts that it acts with, before it is run."""

    _shelf: Shelf
    _actor: Actor

    def __init__(
        self, settings: Settings, scheduler: Scheduler, store: Store, feed: Feed, log: Any
    ) -> None:
        self.settings = settings
        self.scheduler = scheduler
        self.store = store
        self.feed = feed
        self._log = log
        self._is_draining = False

    @staticmethod
    def now() -> Timestamp:
        return Timestamp(time.time_ns() // 1000)

    def _decide(self, batch: Batch, item: e.Event | Request) -> list[c.Command]:
        """What is to be added to the batch, which knows what has ended and who asks."""
        if not isinstance(item, Request):
            if isinstance(item, End):
                batch.over.append(item)
            return self.scheduler.handle(item)
        batch.requests.append(item)
        event = item.event
        if event is None:
            return []
        try:
            item.commands = self.scheduler.handle(event)
        except errors.UserError as error:
            item.error = error
        if type(event) is e.StoreRequested:  # most of them
            return item.commands
        if isinstance(event, e.SubmitRequested):
            self._shelf.unborn.add(event.workflow.key)
        elif isinstance(event, e.DrainRequested):
            self._is_draining = True
        return item.commands

    async def _commit(self, batch: Batch, *, is_urgent: bool = False) -> None:
        """Raises NoSpace: then nothing of the batch has ever been."""
        await self.store.commit(
            batch.records,
            batch.happenings,
            environments=self._shelf.environments,
            boot_id=self.settings.boot_id,
            is_urgent=is_urgent,
        )

    def _commit_at_once(self, batch: Batch) -> bool:
        """The same without waiting. False: it has to be waited for, and nothing was done."""
        return self.store.commit_at_once(
            batch.records,
            batch.happenings,
            environments=self._shelf.environments,
            boot_id=self.settings.boot_id,
        )

    def _keep_value(self, commands: list[c.Command]) -> bool:
        """Commit and announce a value of which nothing comes, without waiting. False: it is not
        that, or has to be waited for, and nothing was done."""
        match commands:
            case [c.SaveValue() as saved, Happening() as told]:
                if self.store.commit_value_at_once(saved, told):
                    self.feed.publish((told,))
                    return True
            case _:
                pass
        return False

    def _carry_out(self, batch: Batch) -> None:
        """Act and announce."""
        self._shelf.unborn.clear()
        if batch.starts or batch.over or batch.actions or batch.of_workflows:
            self._actor.act(batch)
        self.feed.publish(batch.happenings)
        chronicle.write(self._log, batch.happenings, self.scheduler)

    def _finish(self, batch: Batch) -> None:
        """Of what is on disk: carry it out, and answer who asked."""
        self._carry_out(batch)
        for request in batch.requests:
            request.tell(request)
