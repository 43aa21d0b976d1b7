"""The daemon's end of the line to a warden."""

import asyncio
import socket
from collections.abc import Callable

import anyio
import msgspec

from torcd.executors.local import messages
from torcd.executors.local.messages import FromWarden


class Link(asyncio.Protocol):
    """Calls `receive` with each message; `closed` is set when there will be no more.

    What is sent goes out once per turn of the event loop, in one write. Nothing bounds it but what
    the daemon orders: the warden always reads.
    """

    def __init__(self, receive: Callable[["Link", FromWarden], None]) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._output: list[bytes] = []
        self._input = bytearray()
        self.closed = anyio.Event()
        self.synced = anyio.Event()
        """Set by the receiver; also when the link has closed instead."""
        self.hello: messages.Hello | None = None
        self.problem: Exception | None = None

    @classmethod
    async def over(
        cls, connection: socket.socket, receive: Callable[["Link", FromWarden], None]
    ) -> "Link":
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: cls(receive), sock=connection)
        return link

    def send(self, line: bytes) -> None:
        if not self._output:
            self._loop.call_soon(self._flush)
        self._output.append(line)

    def _flush(self) -> None:
        data = b"".join(self._output)
        self._output.clear()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        if self._transport is not None:
            self._transport.close()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._input += data
        if b"\n" not in data:
            return
        *lines, self._input = self._input.split(b"\n")
        for line in lines:
            try:
                message = messages.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                self.problem = error
                self.close()
                return
            self._receive(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.synced.set()
