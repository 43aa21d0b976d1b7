"""Waiting for room on a disk."""

import anyio
from anyio import to_thread

from torcd import disk

PROBE_SECONDS = 1.0
"""How often to look. The kernel tells nobody that a disk has room again, so this is asked again and
again, as long as there is none."""

PROBE_BYTES = 4 << 20
"""So much must be free to go on: with less it would be held up again after a moment."""


async def room(directory: str) -> None:
    """Return when there is some; not at once, for what was refused may have been larger."""
    await Lookout(directory).room(anyio.Event())


class Lookout:
    """Looks for room again and again, for somebody who may be called away meanwhile."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._at = anyio.current_time() + PROBE_SECONDS

    async def room(self, called: anyio.Event) -> bool:
        """Return True when there is some, False when `called` is set before. Being called away
        does not put off the next look."""
        while True:
            with anyio.CancelScope(deadline=self._at):
                await called.wait()
                return False
            if await to_thread.run_sync(disk.has_room, self._directory, PROBE_BYTES):
                return True
            self._at = anyio.current_time() + PROBE_SECONDS
