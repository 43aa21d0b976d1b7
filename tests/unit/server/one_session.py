"""A session of a real connection, without a door."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import structlog

from torcd.accounts import Accounts
from torcd.server.complaints import Complaints
from torcd.server.memory import Memory
from torcd.server.readiness import Readiness
from torcd.server.session import Session

MAX_MESSAGE_BYTES = 4 << 20


class Connection(msgspec.Struct, frozen=True):
    session: Session
    readiness: Readiness
    client: socket.socket
    gone: asyncio.Event
    """The session has let go of the connection."""

    def look(self) -> None:
        """What the loop calls when there is something to read."""
        self.readiness._look()

    async def has_gone(self) -> None:
        await self.gone.wait()


@asynccontextmanager
async def connected(dispatcher: Any, sent: bytes = b"") -> AsyncIterator[Connection]:
    """Its client is in this process, and does not block. `sent`: before we know of it."""
    log = structlog.get_logger()
    gone = asyncio.Event()
    ours, client = socket.socketpair()
    ours.setblocking(False)
    client.setblocking(False)
    client.send(sent)
    with anyio.fail_after(20), client, Readiness.open() as readiness:
        async with anyio.create_task_group() as tasks:
            _, session = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Session(
                    dispatcher,
                    tasks,
                    MAX_MESSAGE_BYTES,
                    lambda session, uid: None,
                    Accounts(),
                    lambda session: gone.set(),
                    readiness,
                    Memory(),
                    Complaints(log),
                    log,
                ),
                ours,
            )
            await anyio.wait_all_tasks_blocked()
            yield Connection(session, readiness, client, gone)
            tasks.cancel_scope.cancel()
        await gone.wait()
