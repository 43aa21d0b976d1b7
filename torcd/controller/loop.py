"""The loop: decide, commit, act, announce, always in this order.

Everything that can change anything comes in through one inbox: requests of clients, reports of
the executor, files that appear. The loop takes what has gathered, lets the scheduler decide it
piece by piece, commits all of it in one transaction, then acts on it, tells it, and only then
answers those who asked. While a commit is under way the inbox fills: the busier it gets, the more
share one commit. A Store of who is alone does not wake the loop: it is decided, committed and
answered where it comes in.

When there is no room for a commit all stands still (`torcd.controller.standing_still`). A commit
that fails for another reason ends the daemon; the next one starts from the disk. Readers look at
the scheduler's memory after `settled`, which waits for what has been decided to be on disk, so
nobody is told what a power cut could take back.
"""

import time
from collections.abc import Callable, Hashable
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from torcd import errors
from torcd.controller.batch import Batch, Request
from torcd.controller.harvest import Harvester
from torcd.controller.settings import Settings
from torcd.controller.standing_still import StandingStill
from torcd.feed import Feed
from torcd.scheduler import Scheduler
from torcd.scheduler import commands as c
from torcd.scheduler import events as e
from torcd.scheduler.standstill import End
from torcd.store import Store

MAX_BATCH = 2_000
"""Events decided before a commit: bounds how long a request waits behind others' work."""

GATHER_SHARE = 0.25
"""Of the time of a commit: so long to wait for others to share the next. Who asks again at once
does so within a fraction of it, and waiting in vain makes things slower by no more than this."""


class Loop(StandingStill):
    """What decides, commits, acts and announces. Whoever makes it gives it the parts that it acts
    with, before it is run; they need its `put`."""

    _harvester: Harvester

    def __init__(
        self, settings: Settings, scheduler: Scheduler, store: Store, feed: Feed, log: Any
    ) -> None:
        super().__init__(settings, scheduler, store, feed, log)
        self._wake = anyio.Event()
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

    async def _loop(self, *, task_status: TaskStatus[None]) -> None:
        await self._go_on()
        task_status.started()
        while True:
            if self._lookout is not None:
                await self._go_on_when_there_is_room(self._lookout)
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
        batch, self._begun = self._begun or self._next_batch(), None
        if batch.is_to_be_written:
            begin = time.monotonic()
            if not await self._committed(batch):
                return
            self._commit_seconds = time.monotonic() - begin
        asked, is_awaited = 0, False
        for request in batch.requests:
            asked += request.event is not None
            is_awaited |= request.asker is None
        if asked or not batch.requests:
            self._answered = asked
        self._finish(batch)
        self._lone_asker = batch.requests[0].asker if len(batch.requests) == 1 else None
        if is_awaited:
            # They look at memory now, before anything is decided that is not on disk.
            await anyio.lowlevel.checkpoint()

    def _one_at_once(self, request: Request, event: e.StoreRequested) -> bool:
        """A Store of who is alone, decided, committed and answered without the loop. False: it has
        to go on with it, or with what has come in meanwhile."""
        try:
            try:
                commands = request.commands = self.scheduler.handle(event)
            except errors.UserError as error:
                request.error = error
                request.tell(request)
                return not self._inbox
            if self._keep_value(commands):
                request.tell(request)
                return not self._inbox
            batch = self._begun = Batch()
            batch.requests.append(request)
            batch.add(commands)
            if not self._commit_at_once(batch):
                return False
            self._begun = None
            self._finish(batch)
        except errors.NoSpace:
            return False  # nothing was done: the loop hears the same, and can stand still
        except BaseException as problem:  # noqa: BLE001 - it is not the asker's, so it ends the loop
            self._problem = problem
            return False
        return not self._inbox

    def _next_batch(self) -> Batch:
        """What has come in, decided; not more than others may wait for."""
        batch = Batch()
        decided: list[c.Command] = []
        for _ in range(min(len(self._inbox), MAX_BATCH)):
            decided += self._decide(batch, self._inbox.popleft())
        batch.add(decided)
        return batch

    # In

    async def request(
        self, event: e.Event, *, refused: Callable[[], None] = lambda: None
    ) -> list[c.Command]:
        """Have an event decided; returns what was decided when it is on disk.

        Raises the UserError with which the scheduler refused it, and NoSpace. `refused` is called
        then, also when the caller is not there any more.
        """
        request = await self._asked(event, refused)
        if request.error is not None:
            raise request.error
        return request.commands

    async def _asked(
        self, event: e.Event | None, refused: Callable[[], None] = lambda: None
    ) -> Request:
        done = anyio.Event()

        def tell(request: Request) -> None:
            if request.error is not None:
                refused()
            done.set()

        request = Request(event, tell)
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

    def put(self, item: e.Event | Request) -> None:
        """Have it decided: with the next batch, or here, if it is a Store of who is alone."""
        if not self.is_open:
            self._note(item)
            return
        if self._is_busy:
            self._inbox.append(item)
            gathers = self._gathers
            if gathers and (len(self._inbox) >= gathers or not isinstance(item, Request)):
                self._wake.set()
            return
        self._is_busy = True
        # With others there would be a commit for each, in place of one for all.
        if (
            isinstance(item, Request)
            and item.asker is not None
            and item.asker == self._lone_asker
            and isinstance(item.event, e.StoreRequested)
        ):
            if self._one_at_once(item, item.event):
                self._is_busy = False
                return
        else:
            self._inbox.append(item)
        self._wake.set()

    def _tell(self, event: End) -> None:
        if type(event) is e.AttemptExited and self.is_open:
            self._harvester.take(event)
        else:
            self.put(event)
