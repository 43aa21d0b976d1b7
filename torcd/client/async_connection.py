"""One connection of the async client: whole messages out and in."""

from collections import deque

import anyio
from anyio.abc import SocketStream

from torcd.client.conversation import MAX_ANSWER_BYTES
from torcd.protocol import envelope
from torcd.protocol.framing import Splitter

_RECEIVE_BYTES = 1024 * 1024


class AsyncConnection:
    """Raises anyio.EndOfStream or anyio.BrokenResourceError when the connection ends or fails.
    Useless after that, and after a `receive` that was cancelled."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._splitter = Splitter(MAX_ANSWER_BYTES)
        self._messages: deque[envelope.Message] = deque()

    async def aclose(self) -> None:
        # anyio closes a socket at once, and then waits for a turn of the loop, which a task that
        # is being cancelled does not get.
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()

    async def send(self, message: bytes) -> None:
        await self._stream.send(message)

    async def receive(self) -> envelope.Message:
        """The next message."""
        while not self._messages:
            self._messages.extend(self._splitter.feed(await self._stream.receive(_RECEIVE_BYTES)))
        return self._messages.popleft()


async def connect(path: str) -> AsyncConnection:
    """Raises OSError."""
    return AsyncConnection(await anyio.connect_unix(path))
