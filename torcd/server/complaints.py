"""What is logged about clients that misbehave: enough to see it, and no more, for a client that
connects without end must not fill the disk with our lines about it."""

import time
from collections.abc import Callable
from typing import Any

MAX_LINES = 20
"""In a minute."""

_MINUTE = 60.0


class Complaints:
    def __init__(self, log: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._since = clock()
        self._lines = 0
        self._left_out = 0

    def warn(self, event: str, **facts: object) -> None:
        """Log it, if there is room for it; the first line of the next minute tells how many were
        left out."""
        now = self._clock()
        if now - self._since >= _MINUTE:
            self._since = now
            self._lines = 0
            if self._left_out:
                self._log.warning("warnings about clients left out", count=self._left_out)
                self._left_out = 0
        if self._lines >= MAX_LINES:
            self._left_out += 1
            return
        self._lines += 1
        self._log.warning(event, **facts)
