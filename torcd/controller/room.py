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
    while True:
        await anyio.sleep(PROBE_SECONDS)
        if await to_thread.run_sync(disk.has_room, directory, PROBE_BYTES):
            return
