"""How far it is with the files that have to be read, for who waits for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import msgspec

from torcd.controller.gathering import Progress, Tell
from torcd.protocol import manager as m
from torcd.server.calls import Call


@asynccontextmanager
async def telling(call: Call, made: Callable[[Progress], msgspec.Struct]) -> AsyncIterator[Tell]:
    """Sends what is made of it, the newest whenever the client has taken the last."""
    newest: list[Progress] = []
    changed = anyio.Event()

    def tell(progress: Progress) -> None:
        newest[:] = [progress]
        changed.set()

    async def send() -> None:
        nonlocal changed
        while True:
            await changed.wait()
            changed = anyio.Event()
            await call.send(made(newest[0]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        yield tell
        tasks.cancel_scope.cancel()


def progress_of(progress: Progress) -> m.ReadingFiles:
    return m.ReadingFiles(
        files=progress.files,
        files_read=progress.read_files,
        bytes=progress.size_bytes,
        bytes_read=progress.read_bytes,
    )
