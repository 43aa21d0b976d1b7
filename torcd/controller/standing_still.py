"""While nothing can be written down, all stands still, and goes on by itself.

Memory and disk never disagree. When there is no room for a commit, what was decided and not written
is forgotten, and the scheduler starts over from the disk, as it does after a start. Then all stands
still (`torcd.scheduler.standstill`): whoever wants to change something is refused, whoever looks is
answered, jobs run on, and as soon as there is room it goes on. Only what stops jobs is decided and
done meanwhile, in room that the store keeps for that (`torcd.store.reserve`).
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

import anyio
import anyio.lowlevel

from torcd import disk, errors
from torcd.controller.batch import Batch, Request
from torcd.controller.room import Lookout
from torcd.controller.rounds import Rounds
from torcd.controller.settings import Settings
from torcd.controller.timer import Timer
from torcd.feed import Feed
from torcd.scheduler import Scheduler
from torcd.scheduler import commands as c
from torcd.scheduler import events as e
from torcd.scheduler.standstill import URGENT, End, Standstill
from torcd.store import Store
from torcd.store.rows import Counters


class StandingStill(Rounds):
    """The part of the loop that is about standing still and going on."""

    _timer: Timer

    def __init__(
        self, settings: Settings, scheduler: Scheduler, store: Store, feed: Feed, log: Any
    ) -> None:
        super().__init__(settings, scheduler, store, feed, log)
        self._inbox: deque[e.Event | Request] = deque()
        self._is_busy = False
        """Something has been decided, or will be, and is not on disk."""
        self.is_open = False
        """Things are decided. Not before what is unfinished has been loaded, nor while there is no
        room: decided then, reports would be about attempts nobody knows; they would be
        acknowledged, and forgotten by the executor, before they are on disk, and what had run
        would run again."""
        self._standstill = Standstill()
        self._unwritable: str | None = None
        """What could not be written for want of room, while that is why everything stands still."""
        self._goes_on = anyio.Event()
        self._lookout: Lookout | None = None
        """For room, while there is none."""
        self._urgent: list[e.Event | Request] = []
        """What came in meanwhile and need not wait for it."""
        self._called = anyio.Event()
        """There is something urgent."""
        self._limits_wait = False
        """There was no room for a runtime limit either."""

    def put(self, item: e.Event | Request) -> None:
        """Have it decided."""
        raise NotImplementedError

    def _tell(self, event: End) -> None:
        """The same of what the executor tells of an end."""
        raise NotImplementedError

    # How it is

    @property
    def shortage(self) -> errors.NoSpace | None:
        """Why everything stands still, if it does."""
        path = self._unwritable
        return None if path is None else disk.no_space(path, "the database")

    async def moving(self) -> None:
        """Return when there is room, at once if there is."""
        if self._unwritable is not None:
            await self._goes_on.wait()

    # Still

    async def _committed(self, batch: Batch, *, is_urgent: bool = False) -> bool:
        """False: there was no room, and nothing of the batch has ever been."""
        try:
            await self._commit(batch, is_urgent=is_urgent)
        except errors.NoSpace as error:
            await self._stand_still(error, batch)
            return False
        return True

    async def _stand_still(self, shortage: errors.NoSpace, undone: Batch) -> None:
        """Forget what was decided and not written, and answer from what is on disk."""
        if self._unwritable is None:
            self._goes_on = anyio.Event()
            self._log.error("no room: standing still", problem=str(shortage))
        counters = await self.store.counters_now()
        loaded = await self._shelf.read_all()
        # From here on nothing waits: who looks sees it before or after.
        self._standstill.remember(self.scheduler, undone.records)
        self._start_over(counters, is_draining=True)
        for event in self._what_is_known(loaded):
            self._only_wake(self.scheduler.handle(event))
        self._shelf.unborn.clear()
        self._unwritable = str(shortage.facts["path"])
        if self._lookout is None:
            self._lookout = Lookout(self.settings.state_dir)
        self.feed.touch()
        self._stand_by([*undone.over, *undone.requests])

    def _stand_by(self, items: Iterable[e.Event | Request] = ()) -> None:
        """From now on nothing is decided; nor are these, and what has come in meanwhile."""
        self.is_open = self._is_busy = False
        waiting, self._inbox = self._inbox, deque()
        for item in (*items, *waiting):
            self._note(item)

    def _note(self, item: e.Event | Request) -> None:
        """Something comes in while everything stands still."""
        event = item.event if isinstance(item, Request) else item
        may_wait = self._limits_wait and isinstance(event, e.TimePassed)
        if isinstance(event, URGENT) and self._lookout is not None and not may_wait:
            self._urgent.append(item)
            self._called.set()
            return
        if not isinstance(item, Request):
            self._only_wake(self._standstill.note(self.scheduler, item))
            return
        match item.event:
            case None:
                pass  # there is nothing to wait for
            case e.WorkflowLoaded():
                self.scheduler.handle(item.event)
            case e.DrainRequested():
                self._is_draining = True
            case _:
                item.error = self.shortage
        item.tell(item)

    def _only_wake(self, commands: Iterable[c.Command]) -> None:
        """All else that was decided is for nobody."""
        for command in commands:
            if isinstance(command, c.WakeAt):
                self._timer.set(command.at)

    # On

    async def _go_on_when_there_is_room(self, lookout: Lookout) -> None:
        """Or do what is urgent, if that is first."""
        if await lookout.room(self._called):
            await self._go_on()
        else:
            await self._do_what_is_urgent()

    async def _take_up(self, *, is_draining: bool) -> Batch:
        """All that is unfinished, as it is on disk and as the executor has it."""
        counters = await self.store.counters_now()
        loaded = await self._shelf.read_all()
        batch = Batch()
        self._start_over(counters, is_draining=is_draining)
        for event in self._what_is_known(loaded):
            batch.add(self.scheduler.handle(event))
        self.is_open = self._is_busy = True
        return batch

    async def _go_on(self) -> None:
        """Take up all that is unfinished: the one path after a start and after a standstill."""
        batch = await self._take_up(is_draining=self._is_draining)
        was_full = self._unwritable is not None
        # After a shortage also with nothing to write: only a commit shows that it is over.
        is_due = batch.is_to_be_written or was_full
        if is_due and not await self._committed(batch):
            return
        self._unwritable = self._lookout = None
        self._limits_wait = False
        self._goes_on.set()
        if was_full:
            self._log.info("there is room again: going on")
            self.feed.touch()
        self._carry_out(batch)
        for item in self._take_urgent():
            self.put(item)
        for end in self._standstill.end():
            self._tell(end)

    async def _do_what_is_urgent(self) -> None:
        """Have jobs stopped, in the room that is kept for that, and stand still again."""
        batch = await self._take_up(is_draining=True)
        urgent = self._take_urgent()
        # Limits by themselves: a large workflow that is canceled may not have room enough.
        limits = [item for item in urgent if not isinstance(item, Request)]
        requests = [item for item in urgent if isinstance(item, Request)]
        if limits and requests:
            self._urgent += requests
            self._called.set()
        for item in limits or requests:
            batch.add(self._decide(batch, item))
        if batch.is_to_be_written:
            refused, batch.requests = batch.requests, []
            if not await self._committed(batch, is_urgent=True):
                self._limits_wait |= bool(limits)
                for request in refused:
                    request.error = self.shortage
                    request.tell(request)
                return
            batch.requests = refused
        self._carry_out(batch)
        self._stand_by()
        for request in batch.requests:
            request.tell(request)
        # They look at memory now, before more of what is urgent is decided.
        await anyio.lowlevel.checkpoint()

    def _take_urgent(self) -> list[e.Event | Request]:
        urgent, self._urgent = self._urgent, []
        self._called = anyio.Event()
        return urgent

    def _start_over(self, counters: Counters, *, is_draining: bool) -> None:
        self.scheduler.start_over(
            next_key=counters.next_key,
            next_attempt_key=counters.next_attempt_key,
            next_happening=counters.next_happening,
            is_draining=is_draining,
        )

    def _what_is_known(self, loaded: list[e.WorkflowLoaded]) -> list[e.Event]:
        return [*loaded, *self._standstill.starts, e.LoadingEnded(self.now())]
