"""Async calls: a request, and the reply to it, from a daemon that may restart meanwhile."""

import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import anyio

from torcd import errors
from torcd.client import conversation
from torcd.client.async_connection import AsyncConnection, connect
from torcd.client.conversation import ConnectionBroken, NotThere, Patience
from torcd.protocol import envelope
from torcd.protocol.request import Reply, Request


class AsyncCalls:
    """Tasks may share it; calls at the same time use connections of their own."""

    def __init__(self, socket: str, restart_timeout_seconds: float) -> None:
        self._socket = socket
        self._restart_timeout = restart_timeout_seconds
        self._idle: deque[AsyncConnection] = deque()

    async def aclose(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            await self._idle.pop().aclose()

    async def call(self, parameters: Request[Reply]) -> Reply:
        connection, reply, _ = await self._start(parameters)
        self._idle.append(connection)
        return reply

    async def stream(self, parameters: Request[Reply]) -> AsyncGenerator[Reply, None]:
        """The replies as they come, over a connection of its own."""
        connection, reply, continues = await self._start(parameters, more=True)
        async with aclosing(connection):
            yield reply
            while continues:
                message = await self._receive(connection, parameters)
                reply, continues = conversation.decode(message, parameters)
                yield reply

    async def _start(
        self, parameters: Request[Reply], *, more: bool = False
    ) -> tuple[AsyncConnection, Reply, bool]:
        """Send a request until there is a first reply, and return that, whether more will come,
        and the connection."""
        began = tried_at = time.monotonic()
        patience = Patience(self._restart_timeout)
        repeatable = conversation.is_safe_to_repeat(parameters)
        while True:
            # Whether a daemon still is at the end of an idle connection is seen only by using it.
            idle = self._idle.pop() if repeatable and self._idle else None
            try:
                connection = idle or await self._connect()
                reply, continues = await self._exchange(connection, parameters, more)
            except (NotThere, ConnectionBroken, errors.ShuttingDown) as e:
                if isinstance(e, ConnectionBroken) and not repeatable:
                    raise
                if idle is None:
                    await pause(patience, tried_at, e)
            else:
                return connection, reply, continues
            tried_at = time.monotonic()
            parameters = conversation.with_time_left(parameters, tried_at - began)

    async def _connect(self) -> AsyncConnection:
        try:
            return await connect(self._socket)
        except OSError as e:
            raise conversation.nobody_answers(self._socket, e) from None

    async def _exchange(
        self, connection: AsyncConnection, parameters: Request[Reply], more: bool
    ) -> tuple[Reply, bool]:
        """The first answer. The connection is closed unless it may be used again."""
        refused: errors.TorcError | None = None
        call = conversation.encode(parameters, more=more)
        try:
            await connection.send(call)
        except anyio.BrokenResourceError:
            # It may have said why before it closed.
            refused = conversation.too_large(parameters, len(call))
        except BaseException:
            await connection.aclose()
            raise
        try:
            message = await self._receive(connection, parameters)
        except ConnectionBroken:
            if refused is not None:
                raise refused from None
            raise
        try:
            return conversation.decode(message, parameters)
        except (errors.InvalidMessage, errors.ShuttingDown):
            await connection.aclose()
            raise
        except errors.TorcError:
            self._idle.append(connection)
            raise

    async def _receive(
        self, connection: AsyncConnection, parameters: Request[Any]
    ) -> envelope.Message:
        try:
            return await connection.receive()
        except BaseException as e:
            # Also when cancelled: the answer is still to come, and the next request would take it
            # for its own.
            await connection.aclose()
            if isinstance(e, anyio.EndOfStream | anyio.BrokenResourceError | OSError):
                raise conversation.broken(self._socket, parameters) from None
            raise


async def pause(patience: Patience, tried_at: float, problem: errors.TorcError) -> None:
    """Sleep before the next try, or raise the problem when that was the last."""
    seconds = patience.after_failure(tried_at, time.monotonic())
    if seconds is None:
        raise problem
    await anyio.sleep(seconds)
