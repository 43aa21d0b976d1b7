"""Whose turn it is: the lanes, and which of them may have a place for the next."""

import time

from torcd.executors.warden.ledger import Attempt, Lane

HELD_SECONDS = 1.0
"""How long until another try when a user has no room for a process, or for a log. Nobody tells when
there is."""


class Lanes:
    def __init__(self) -> None:
        self._all: dict[int, Lane] = {}
        self.free: dict[int, Lane] = {}
        """Those that may have a place for the next, by key."""
        self._held: dict[int, float] = {}
        """Those whose user had no room; until when, in monotonic seconds."""

    def lane(self, key: int) -> Lane:
        lane = self._all.get(key)
        if lane is None:
            lane = self._all[key] = Lane(key)
        return lane

    def put(self, attempt: Attempt) -> None:
        """It waits for its turn."""
        lane = attempt.lane
        assert lane is not None
        # While it waited for another, its lane may have been empty, and is another now.
        now = attempt.lane = self.free[lane.key] = self._all.setdefault(lane.key, lane)
        now.queue.append(attempt)

    def look_at(self, lane: Lane) -> None:
        """It may have a place for the next, or be empty."""
        if self._all.get(lane.key) is lane:  # see `put`
            self.free[lane.key] = lane

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
