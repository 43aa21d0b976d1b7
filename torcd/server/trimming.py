"""When memory that was free is given back to the system: after a crowd, and after large messages.

It takes the daemon some milliseconds, and what is given back has to be asked for again: so it waits
until those who leave have left, and is not done for a few.
"""

import asyncio

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
        kept_block.let_go()
        heap.trim()
