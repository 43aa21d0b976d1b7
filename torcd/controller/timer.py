"""One timer, which is armed only while somebody waits for a moment to pass."""

import math
import time
from collections.abc import Callable

import anyio

from torcd.model import Timestamp


class Timer:
    def __init__(self, passed: Callable[[Timestamp], None]) -> None:
        """`passed` is told a time that is not before the one that was waited for."""
        self._passed = passed
        self._at: Timestamp | None = None
        self._changed = anyio.Event()

    def set(self, at: Timestamp | None) -> None:
        """In place of what it was set to. None: wait for nothing."""
        self._at = at
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed = anyio.Event()
            at = self._at
            seconds = math.inf if at is None else (at - _now()) / 1_000_000
            with anyio.move_on_after(seconds):
                await self._changed.wait()
                continue
            assert at is not None
            self._at = None
            # The clock may have been put back meanwhile; the time has passed all the same.
            self._passed(max(at, _now()))


def _now() -> Timestamp:
    return Timestamp(time.time_ns() // 1000)
