"""The loop: decide, commit, act, announce, always in this order.

Everything that can change anything comes in through one inbox: requests of clients, reports of
the executor, files that appear. The loop takes what has gathered, lets the scheduler decide it
piece by piece, commits all of it in one transaction, then acts on it, tells it, and only then
answers those who asked. While a commit is under way the inbox fills: the busier it gets, the more
share one commit. Who is alone with what he asks need not wake the loop for it: it is decided and
committed where it comes in.

Memory and disk never disagree. When there is no room for a commit, what was decided and not written
is forgotten, and the scheduler starts over from the disk, as it does after a start. Then all stands
still (`torcd.scheduler.standstill`): whoever wants to change something is refused, whoever looks is
answered, jobs run on, and as soon as there is room it goes on. Only what stops jobs is decided and
done meanwhile, in room that the store keeps for that (`torcd.store.reserve`). A commit that fails
for another reason ends the daemon; the next one starts from the disk. Readers look at the
scheduler's memory after `settled`, which waits for what has been decided to be on disk, so nobody
is told what a power cut could take back.
"""

import time
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from torcd import disk, errors
from torcd.controller import chronicle
from torcd.controller.acting import Actor
from torcd.controller.batch import Batch, Request
from torcd.controller.harvest import Harvester
from torcd.controller.room import Lookout
from torcd.controller.settings import Settings
from torcd.controller.shelf import Shelf
from torcd.controller.timer import Timer
from torcd.feed import Feed
from torcd.model import (
    Timestamp,
)
from torcd.scheduler import Scheduler
from torcd.scheduler import commands as c
from torcd.scheduler import events as e
from torcd.scheduler.standstill import URGENT, End, Standstill
from torcd.store import Store
from torcd.store.rows import Counters

MAX_BATCH = 2_000
"""Events decided before a commit: bounds how long a request waits behind others' work."""

GATHER_SHARE = 0.25
"""Of the time of a commit: so long to wait for others to share the next. Who asks again at once
does so within a fraction of it, and waiting in vain makes things slower by no more than this."""


class Loop:
    """What decides, commits, acts and announces. Whoever makes it gives it the parts that it acts
    with, before it is run; they need its `put`."""

    _shelf: Shelf
    _harvester: Harvester
    _timer: Timer
    _actor: Actor

    def __init__(
        self, settings: Settings, scheduler: Scheduler, store: Store, feed: Feed, log: Any
    ) -> None:
        self.settings = settings
        self.scheduler = scheduler
        self.store = store
        self.feed = feed
        self._log = log
        self._inbox: deque[e.Event | Request] = deque()
        self._wake = anyio.Event()
        self._is_busy = False
        self._answered = 0
        """How many asked for something in the last batch; not counted are those who only looked."""
        self._gathers = 0
        """For how many the next one waits; 0: for none."""
        self._commit_seconds = 0.0
        """How long the last commit took."""
        self._lone_asker: Hashable | None = None
        """Who was answered last, if nobody else was."""
        self._begun: Batch | None = None
        """Decided where it came in, and yet to be committed."""
        self._problem: BaseException | None = None
        """Of what was done where it came in: the daemon's end."""
        self._stands_still = True
        """Nothing is decided: before what is unfinished has been loaded, and while there is no
        room. Decided then, reports would be about attempts nobody knows: they would be
        acknowledged, and forgotten by the executor, before they are on disk, and what had run
        would run again."""
        self._standstill = Standstill()
        self._is_draining = False
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

    @staticmethod
    def now() -> Timestamp:
        return Timestamp(time.time_ns() // 1000)

    async def _loop(self, *, task_status: TaskStatus[None]) -> None:
        await self._go_on()
        task_status.started()
        while True:
            if self._lookout is not None:
                if await self._lookout.room(self._called):
                    await self._go_on()
                else:
                    await self._do_what_is_urgent()
                continue
            if not self._inbox:
                self._is_busy = False
                self._wake = anyio.Event()
                await self._wake.wait()
            if 1 < self._answered > len(self._inbox):
                await self._gather()
            await self._one_batch()

    async def _gather(self) -> None:
        """Those who have just been answered ask again, most likely: wait for them a little, so that
        they share the next commit, in place of one that some share and one for the others. What is
        reported of jobs does not wait."""
        if all(isinstance(item, Request) for item in self._inbox):
            self._wake = anyio.Event()
            self._gathers = self._answered
            with anyio.move_on_after(self._commit_seconds * GATHER_SHARE):
                await self._wake.wait()
            self._gathers = 0

    async def _one_batch(self) -> None:
        if self._problem is not None:
            raise self._problem
        batch, self._begun = self._begun or self._decide(), None
        if (batch.records or batch.happenings) and not await self._commit(batch):
            return
        self._carry_out(batch)
        asked = sum(request.event is not None for request in batch.requests)
        if asked or not batch.requests:
            self._answered = asked
        is_awaited = False
        for request in batch.requests:
            request.tell(request)
            is_awaited |= request.asker is None
        self._lone_asker = batch.requests[0].asker if len(batch.requests) == 1 else None
        if is_awaited:
            # They look at memory now, before anything is decided that is not on disk.
            await anyio.lowlevel.checkpoint()

    def _one_at_once(self) -> bool:
        """The same without the loop. False: it has to go on with it."""
        try:
            batch = self._begun = self._decide()
            if (batch.records or batch.happenings) and not self.store.commit_at_once(
                batch.records,
                batch.happenings,
                environments=self._shelf.environments,
                boot_id=self.settings.boot_id,
            ):
                return False
            self._begun = None
            self._carry_out(batch)
            for request in batch.requests:
                request.tell(request)
        except errors.NoSpace:
            return False  # nothing was done: the loop hears the same, and can stand still
        except BaseException as problem:  # noqa: BLE001 - it is not the asker's, so it ends the loop
            self._problem = problem
            return False
        return not self._inbox

    def _carry_out(self, batch: Batch) -> None:
        """Act and announce."""
        self._shelf.unborn.clear()
        over = [end.attempt_key for end in batch.over]
        self._actor.act(batch.records, batch.actions, over)
        self.feed.publish(batch.happenings)
        chronicle.write(self._log, batch.happenings, self.scheduler)

    async def _commit(self, batch: Batch, *, is_urgent: bool = False) -> bool:
        """False: there was no room, and nothing of the batch has ever been."""
        begin = time.monotonic()
        try:
            await self.store.commit(
                batch.records,
                batch.happenings,
                environments=self._shelf.environments,
                boot_id=self.settings.boot_id,
                is_urgent=is_urgent,
            )
        except errors.NoSpace as error:
            await self._stand_still(error, batch)
            return False
        self._commit_seconds = time.monotonic() - begin
        return True

    def _decide(self) -> Batch:
        batch = Batch()
        for _ in range(min(len(self._inbox), MAX_BATCH)):
            self._decide_one(batch, self._inbox.popleft())
        return batch

    def _decide_one(self, batch: Batch, item: e.Event | Request) -> None:
        if not isinstance(item, Request):
            batch.add(self.scheduler.handle(item))
            if isinstance(item, End):
                batch.over.append(item)
            return
        batch.requests.append(item)
        if item.event is None:
            return
        try:
            item.commands = self.scheduler.handle(item.event)
        except errors.UserError as error:
            item.error = error
        batch.add(item.commands)
        if isinstance(item.event, e.SubmitRequested):
            self._shelf.unborn.add(item.event.workflow.key)
        elif isinstance(item.event, e.DrainRequested):
            self._is_draining = True

    # Without room

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
        self._stands_still, self._is_busy = True, False
        waiting, self._inbox = self._inbox, deque()
        for item in (*items, *waiting):
            self._note(item)

    async def _take_up(self, *, is_draining: bool) -> Batch:
        """All that is unfinished, as it is on disk and as the executor has it."""
        counters = await self.store.counters_now()
        loaded = await self._shelf.read_all()
        batch = Batch()
        self._start_over(counters, is_draining=is_draining)
        for event in self._what_is_known(loaded):
            batch.add(self.scheduler.handle(event))
        self._stands_still, self._is_busy = False, True
        return batch

    async def _go_on(self) -> None:
        """Take up all that is unfinished: the one path after a start and after a standstill."""
        batch = await self._take_up(is_draining=self._is_draining)
        was_full = self._unwritable is not None
        # After a shortage also with nothing to write: only a commit shows that it is over.
        is_due = batch.records or batch.happenings or was_full
        if is_due and not await self._commit(batch):
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
            self._decide_one(batch, item)
        if batch.records or batch.happenings:
            refused, batch.requests = batch.requests, []
            if not await self._commit(batch, is_urgent=True):
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

    # In

    async def request(self, event: e.Event) -> list[c.Command]:
        """Have an event decided; returns what was decided when it is on disk.

        Raises the UserError with which the scheduler refused it, and NoSpace.
        """
        request = await self._asked(event)
        if request.error is not None:
            raise request.error
        return request.commands

    async def _asked(self, event: e.Event | None) -> Request:
        done = anyio.Event()
        request = Request(event, lambda _: done.set())
        self.put(request)
        await done.wait()
        return request

    async def settled(self) -> None:
        """Return when everything that came in so far is decided and on disk.

        What comes in later is not waited for: there may be no end to it. Until the caller waits
        for something else, memory is not ahead of the disk.
        """
        if self._is_busy:
            await self._asked(None)

    @property
    def is_ahead_of_disk(self) -> bool:
        """Something has been decided, or will be, and is not on disk: see `settled`."""
        return self._is_busy

    @property
    def is_open(self) -> bool:
        """Requests are decided: there is room."""
        return not self._stands_still

    def put(self, item: e.Event | Request) -> None:
        """Have it decided with the next batch."""
        if self._stands_still:
            self._note(item)
            return
        self._inbox.append(item)
        if not self._is_busy:
            self._is_busy = True
            if isinstance(item, Request) and item.asker is not None:
                # With others there would be a commit for each, in place of one for all.
                is_alone = item.asker == self._lone_asker
                if is_alone and self._one_at_once():
                    self._is_busy = False
                    return
            self._wake.set()
        elif self._gathers and (len(self._inbox) >= self._gathers or not isinstance(item, Request)):
            self._wake.set()

    def _tell(self, event: e.AttemptStarted | End) -> None:
        if isinstance(event, e.AttemptExited) and not self._stands_still:
            self._harvester.take(event)
        else:
            self.put(event)

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
