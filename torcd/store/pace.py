"""Whether who commits may wait for the disk itself, in place of a thread.

A trip to the thread and back wakes two threads, which takes longer than a quick disk takes to sync
some pages. But whoever waits itself keeps everybody waiting, so a slow disk must be left to the
thread. How slow it is, nobody knows before a commit is over. One that is slow alone says nothing:
every disk has such, and so has a thread that has to wait for a CPU. After some of them in a row, or
one for which all have waited long, the thread does it, for so long that they have not made up more
than a small share of the time; then it is tried again.
"""

QUICK_SECONDS = 0.005
"""A commit of a few rows on a solid-state disk takes less, mostly far less; that of a turning one
takes longer. As long as this a thread may keep the interpreter from others anyway
(`sys.getswitchinterval`)."""

SLOW_IN_A_ROW = 3

LONG_SECONDS = 0.1
"""People notice. A disk that hangs is not given another two tries; and if it was the machine that
was busy, the thread costs little against this."""

REST_FACTOR = 30
"""Of the last one's time. So a disk that is always slow keeps everybody waiting for a tenth of the
time at most."""


class Pace:
    """Of the commits that were made in place. Times are seconds of a clock that goes on."""

    def __init__(self) -> None:
        self._slow = 0
        self._rests_until = 0.0

    def is_quick(self, now: float) -> bool:
        return now >= self._rests_until

    def took(self, begin: float, end: float) -> None:
        """One was made in place."""
        if end - begin <= QUICK_SECONDS:
            self._slow = 0
            return
        self._slow += 1
        if self._slow >= SLOW_IN_A_ROW or end - begin > LONG_SECONDS:
            self._slow = 0
            self._rests_until = end + REST_FACTOR * (end - begin)
