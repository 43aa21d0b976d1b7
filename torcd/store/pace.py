"""Whether who commits may wait for the disk itself, in place of a thread.

A trip to the thread and back wakes two threads, which takes longer than a quick disk takes to sync
some pages. But whoever waits itself keeps everybody waiting, so a slow disk must be left to the
thread. How slow it is, nobody knows before a commit is over; one of them is slow now and then on
every disk. So after a slow one the thread does it for as long that this cannot have made up more
than a small share of the time.
"""

QUICK_SECONDS = 0.002
"""A commit of a few rows on a solid-state disk takes less; that of a turning one never does. As
long as this others wait for each other anyway: the loop decides some forty events in it."""

REST_FACTOR = 20
"""Slow commits keep everybody waiting for a twentieth of the time at most."""


class Pace:
    """Of the commits that were made in place. Times are seconds of a clock that goes on."""

    def __init__(self) -> None:
        self._rests_until = 0.0

    def is_quick(self, now: float) -> bool:
        return now >= self._rests_until

    def took(self, begin: float, end: float) -> None:
        """One was made in place."""
        if end - begin > QUICK_SECONDS:
            self._rests_until = end + REST_FACTOR * (end - begin)
