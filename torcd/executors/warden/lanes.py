"""Whose turn it is: the lanes, and which of them may have a place for the next.

Where several wardens share a lane, each has a *share* of its limit: so many may run here, whatever
orders say. A lane is forgotten when it is empty; its share is not.
"""

import time

from torcd.executors.warden.ledger import Attempt, Lane

TYPE_CHECKING = False  # as in typing, whose import would cost the warden memory
if TYPE_CHECKING:
    from collections.abc import Iterable

HELD_SECONDS = 1.0
"""How long until another try when a user has no room for a process, or for a log. Nobody tells when
there is."""


ENDS_FOR_EACH_THAT_WAITS = 3
"""Fewer ends in a report make a decision and a commit of their own dearer than the wait; more of
them leave no one waiting before others are there, where jobs need what others make."""


def outnumber(ends: int, waiting: int) -> bool:
    """Whether so many jobs have ended, and so few wait for a place, that it is time to tell."""
    return ends > ENDS_FOR_EACH_THAT_WAITS * waiting


class Lanes:
    def __init__(self) -> None:
        self._all: dict[int, Lane] = {}
        self._shares: dict[int, int] = {}
        """Of lanes, be they empty; by key."""
        self.free: dict[int, Lane] = {}
        """Those that may have a place for the next, by key."""
        self._held: dict[int, float] = {}
        """Those whose user had no room; until when, in monotonic seconds."""

    def lane(self, key: int) -> Lane:
        lane = self._all.get(key)
        if lane is None:
            lane = self._all[key] = Lane(key)
        return lane

    def bound(self, lane: Lane, limit: int) -> None:
        """It has this limit from now on."""
        lane.limit = limit
        lane.places = self._places(lane)

    def share(self, key: int, share: int | None) -> None:
        """It has this share from now on, or none."""
        if share is None:
            self._shares.pop(key, None)
        else:
            self._shares[key] = share
        lane = self._all.get(key)
        if lane is not None:
            self.bound(lane, lane.limit)
            self.look_at(lane)

    def forget_shares_but(self, kept: set[int]) -> None:
        for key in self._shares.keys() - kept:
            del self._shares[key]

    def put(self, attempt: Attempt) -> None:
        """It waits for its turn."""
        lane = attempt.lane
        assert lane is not None
        self.free[lane.key] = lane
        lane.queue.append(attempt)

    def put_follower(self, attempt: Attempt) -> None:
        """It has waited for another, and waits for its turn now."""
        lane = attempt.lane
        assert lane is not None
        # Its lane may have been empty meanwhile, and so forgotten, and be another now.
        now = self._all.get(lane.key)
        if now is None:
            now = self._all[lane.key] = lane
            lane.places = self._places(lane)
        attempt.lane = self.free[lane.key] = now
        now.queue.append(attempt)

    def withdraw(self, attempts: list[Attempt]) -> None:
        """They were forgotten, and wait no more."""
        for lane in {attempt.lane for attempt in attempts if attempt.lane is not None}:
            lane.sweep()
            self.look_at(lane)

    def look_at(self, lane: Lane) -> None:
        """It may have a place for the next, or be empty."""
        if self._all.get(lane.key) is lane:  # see `put_follower`
            self.free[lane.key] = lane

    def figures(self, lanes: "Iterable[Lane]") -> list[tuple[int, int, int]]:
        """Of each, once: its key, how many may run here, and how many do."""
        found = {lane.key: self._all.get(lane.key, lane) for lane in lanes}
        return [(key, self._places(lane), lane.running) for key, lane in found.items()]

    def _places(self, lane: Lane) -> int:
        # Where there is a share, the daemon sees to the limit; what orders say may be of before.
        return self._shares.get(lane.key, lane.limit)

    def hold(self, attempts: list[Attempt]) -> None:
        """Their users have no room for them: they and what is behind them wait a while, and nobody
        else."""
        self.give_back(attempts)
        for attempt in attempts:
            if attempt.lane is not None:
                self._held[attempt.lane.key] = time.monotonic() + HELD_SECONDS

    @property
    def due(self) -> float | None:
        """When there is something to take though nothing has happened; monotonic seconds."""
        return min(self._held.values()) if self._held else None

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        number = 0
        for lane in self._all.values():  # asked in each turn: a generator costs as much again
            number += len(lane.queue)
        return number

    def take(self, most: int) -> list[Attempt]:
        """Those whose turn it is; they have a place."""
        if self._held:
            self._let_go()
        batch: list[Attempt] = []
        for key, lane in list(self.free.items()):
            if key not in self._held:
                lane.take(batch, most)
                if len(batch) == most:
                    break
            del self.free[key]
            if lane.empty:
                del self._all[key]
        return batch

    def give_back(self, attempts: list[Attempt]) -> None:
        """They could not be started yet, and are the next again."""
        for attempt in reversed(attempts):
            if attempt.lane is not None:
                attempt.lane.give_back(attempt)
                self.free[attempt.lane.key] = attempt.lane

    def _let_go(self) -> None:
        now = time.monotonic()
        for key, until in list(self._held.items()):
            if until <= now:
                del self._held[key]
                if key in self._all:
                    self.free[key] = self._all[key]
