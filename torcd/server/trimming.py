"""When memory that is free is given back to the system: after a crowd, and after large messages.

It takes the daemon some milliseconds, and what is given back has to be asked for again: so it waits
until those who leave have left, and is not done for a few. The block that is kept for large
messages and answers goes when none has come for as long.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from torcd import heap, kept_block

TRIM_SECONDS = 0.5
"""After which who leaves has left, and what belonged to it is free."""


class Trimmer:
    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """Something worth giving back is free, or will be at once."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TRIM_SECONDS, self._trim)

    def _trim(self) -> None:
        self._timer = None
        heap.trim()


@contextmanager
def block_kept() -> Iterator[None]:
    """Keep one, as long as it is used, while this lasts."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def look_later() -> None:
        nonlocal timer
        timer = loop.call_later(TRIM_SECONDS, look)

    def look() -> None:
        if not kept_block.rest():
            look_later()

    kept_block.keep(lambda: loop.call_soon_threadsafe(look_later))
    try:
        yield
    finally:
        kept_block.keep_none()
        if timer is not None:
            timer.cancel()
