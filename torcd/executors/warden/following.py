"""Attempts that come after another one: how long they wait for it, and whether they may start."""

import os
import time

from torcd.executors.warden import ledger
from torcd.executors.warden.ledger import Attempt

PATIENCE_SECONDS = 1.0
"""How long an order waits for the attempt that it comes after. Then that is no short one, and what
is given back can be changed and disabled, like all that has not been chosen."""


class Following:
    def __init__(self, known: dict[int, Attempt]) -> None:
        """`known`: all attempts, by key."""
        self._known = known
        self.patience: dict[int, float] = {}
        """By key of those that others come after: how long these wait, in monotonic seconds. In
        that order."""

    def begin(self, leader: Attempt, attempt: Attempt) -> None:
        """It waits for that one to end."""
        leader.followers = [*leader.followers, attempt]
        self.patience.setdefault(leader.key, time.monotonic() + PATIENCE_SECONDS)

    def leave(self, attempt: Attempt) -> None:
        """It comes after nobody any more, and nobody waits for it; its key may be ordered again."""
        self.patience.pop(attempt.key, None)
        order = attempt.order
        if order is None or order.after is None:
            return
        leader = self._known.get(order.after)
        if leader is not None:
            leader.followers = [each for each in leader.followers if each is not attempt]
            if not leader.followers:
                self.patience.pop(leader.key, None)

    def over(self, leader: Attempt) -> None:
        self.patience.pop(leader.key, None)

    def given_up(self) -> list[int]:
        """The keys of those that have waited for long."""
        keys: list[int] = []
        while self.patience:
            leader, until = next(iter(self.patience.items()))
            if until > time.monotonic():
                break
            del self.patience[leader]
            keys += [follower.key for follower in self._known[leader].followers]
        return keys


def may_follow(leader: Attempt, attempt: Attempt) -> bool:
    """The leader is over. Whether it ended as well as the order of what comes after it asks."""
    order = attempt.order
    assert order is not None
    return (
        ledger.ended_well(leader.final)
        and not leader.stopped
        and not os.access(order.unless_exists, os.F_OK, follow_symlinks=False)
    )
