"""Files are looked at: most are as they are known, small ones are read at once, large ones later,
in a few threads of their own, so that nobody waits for them but who has to."""

from collections.abc import Iterable

import anyio
import msgspec
from anyio import to_thread

from torcd.controller.contents import Glance
from torcd.controller.sightings import ToSee
from torcd.model import FileKey, FileState

SMALL_BYTES = 256 << 10
"""Read in less time than it takes to give it to another thread and to be told."""

AT_ONCE_BYTES = 8 << 20
"""Of small files one after the other: some 10 ms."""

MAX_READERS = 2
"""Large files at a time: a disk gives no more to many, and the jobs want to read, too."""

States = dict[FileKey, FileState | None]


class Looked(msgspec.Struct, frozen=True):
    """What was seen of some files."""

    states: States
    """Of those that are not as they were known."""
    to_read: tuple[tuple[ToSee, Glance], ...]
    """Of these it is not known yet."""
    missing: tuple[FileKey, ...]
    """Those that are not there."""
    changes: tuple[int, ...]
    """When those that have changed since the run began did, in microseconds."""


class Look:
    """One round through files of several attempts, in a worker thread."""

    def __init__(self) -> None:
        self._read = 0
        self._found: dict[FileKey, FileState] = {}

    def at(self, files: Iterable[ToSee]) -> Looked:
        states: States = {}
        to_read, missing, changes = [], [], []
        for file in files:
            seen = file.glance()
            if seen is None:
                missing.append(file.key)
                if file.known is not None:
                    states[file.key] = None
                continue
            if file.was_changed(seen):
                changes.append(seen.ctime_ns // 1000)
            found = self._found.get(file.key)
            if seen.fits(found):
                states[file.key] = found
            elif seen.fits(file.known):
                continue
            elif seen.is_directory or seen.size > SMALL_BYTES or self._read > AT_ONCE_BYTES:
                to_read.append((file, seen))
            else:
                self._read += seen.size
                states[file.key] = self._found[file.key] = file.state(seen)
        return Looked(states, tuple(to_read), tuple(missing), tuple(changes))


class Reader:
    """Reads large files, each once for all who want to know at the same time."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(MAX_READERS)
        self._under_way: dict[tuple[FileKey, Glance], _Reading] = {}

    async def states(self, to_read: Iterable[tuple[ToSee, Glance]]) -> States:
        return {file.key: await self._state(file, seen) for file, seen in to_read}

    async def _state(self, file: ToSee, seen: Glance) -> FileState:
        reading = self._under_way.get((file.key, seen))
        if reading is None:
            reading = self._under_way[file.key, seen] = _Reading()
            try:
                reading.state = await to_thread.run_sync(file.state, seen, limiter=self._limiter)
            finally:
                del self._under_way[file.key, seen]
                reading.done.set()
            return reading.state
        await reading.done.wait()
        assert reading.state is not None
        return reading.state


class _Reading:
    def __init__(self) -> None:
        self.done = anyio.Event()
        self.state: FileState | None = None
