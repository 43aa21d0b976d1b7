"""What a client is answered: written, and waited for until it has been read.

asyncio's transport does what takes more than one attempt. A small answer goes past it as long as it
has nothing left to write, for it would do no more with that; a large one as `torcd.server.sending`
says.
"""

import asyncio
import os

import anyio

from torcd.server import sending
from torcd.server.answers import Later, Pieces


class Writer:
    def __init__(self, transport: asyncio.Transport, descriptor: int) -> None:
        self._transport = transport
        self._descriptor = descriptor
        transport.set_write_buffer_limits(high=0)
        self.is_paused = False
        """The transport has something left to write."""
        self._writable = anyio.Event()
        self._writable.set()
        """The same the other way round."""
        self.moved_bytes = 0
        """Of answers that were waited for."""

    def pause(self) -> None:
        self.is_paused = True
        self._writable = anyio.Event()

    def resume(self) -> None:
        """Also when nobody reads any more."""
        self.is_paused = False
        self._writable.set()

    async def until_writable(self) -> None:
        """Returns when the client has read all, but for what the kernel keeps."""
        if self.is_paused:
            await self._writable.wait()

    def write_now(self, answer: bytes) -> None:
        """A small one, while nothing else is left to write. Does not wait until it is read."""
        assert not self.is_paused
        try:
            sent = os.write(self._descriptor, answer)
        except OSError:
            sent = 0  # the transport meets the same, and knows what to do
        # Once is enough: it would log each answer more to one who is gone.
        if sent < len(answer) and not self._transport.is_closing():
            self._transport.write(answer[sent:])

    async def write(self, message: Pieces) -> None:
        """Returns when the client has read it, but for what the kernel keeps. Raises TorcError if a
        piece could not be read: then half of it was written."""
        for piece in message:
            if isinstance(piece, Later):
                piece = await piece.read()
            if self._transport.is_closing():
                return
            await self._write_piece(piece)

    async def _write_piece(self, piece: bytes | memoryview) -> None:
        is_large = len(piece) >= sending.LARGE_BYTES
        if not is_large:
            self._transport.write(piece)
            self.moved_bytes += len(piece)
        await self.until_writable()
        if not is_large or self._transport.is_closing():
            return
        try:
            await sending.send(self._descriptor, memoryview(piece), self._moved)
        except OSError:
            self._transport.abort()

    def _moved(self, size_bytes: int) -> None:
        self.moved_bytes += size_bytes
