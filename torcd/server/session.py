"""One client's connection.

This is the one module that uses asyncio's protocols directly, for their speed. Bytes arrive in a
buffer that all sessions share (nothing else runs between the kernel filling it and us emptying
it), are cut into messages, and wait in a short queue; when that is full the socket is no longer
read, so a client that sends faster than it is served waits in its own kernel buffer. One task for
each session takes the messages in order and answers them in order. It writes one answer at a time
and waits until the client has read enough of it, so a client that never reads costs one answer's
memory.

A client has `MESSAGE_DEADLINE_SECONDS` for its first message, and for the rest of one it has
begun. One that breaks the framing is cut off: after garbage nothing on that stream can be trusted.
"""

import asyncio
import select
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import anyio
import msgspec
from anyio.abc import TaskGroup

from torcd import errors
from torcd.protocol import envelope
from torcd.protocol.framing import Splitter
from torcd.server.calls import Call, Dispatcher

MESSAGE_DEADLINE_SECONDS = 10.0

MAX_WAITING_MESSAGES = 16
"""Calls a client may send ahead of the answers."""

RECEIVE_BUFFER_BYTES = 256 * 1024
"""One for all sessions: a large value takes few turns of the loop."""

_buffer = bytearray(RECEIVE_BUFFER_BYTES)
_buffer_view = memoryview(_buffer)


class Session(asyncio.BufferedProtocol):
    def __init__(
        self,
        dispatcher: Dispatcher,
        tasks: TaskGroup,
        max_message_bytes: int,
        admit: Callable[["Session", int], str | None],
        gone: Callable[["Session"], None],
        log: Any,
    ) -> None:
        self._dispatcher = dispatcher
        self._tasks = tasks
        self._splitter = Splitter(max_message_bytes)
        self._admit = admit
        self._gone = gone
        self._log = log
        self._waiting: deque[bytes] = deque()
        self._arrived = anyio.Event()
        self._writable = anyio.Event()
        self._writable.set()
        self._is_reading = True
        self._has_ended = False
        self._scope = anyio.CancelScope()
        self._waiting_call: anyio.CancelScope | None = None
        """Of the call that is being answered, if it may take as long as it likes."""
        self._deadline: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.peer_uid = -1

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer_uid = _peer_uid(transport.get_extra_info("socket"))
        refusal = self._admit(self, self.peer_uid)
        if refusal is not None:
            self._transport.write(envelope.encode_error(errors.Denied(refusal)))
            self._transport.close()
            return
        self._set_deadline()
        self._tasks.start_soon(self._serve)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer_view

    def buffer_updated(self, nbytes: int) -> None:
        try:
            messages = self._splitter.feed(_buffer_view[:nbytes])
        except errors.InvalidMessage as error:
            self._cut_off(str(error))
            return
        if messages:
            self._waiting.extend(messages)
            self._arrived.set()
            if len(self._waiting) > MAX_WAITING_MESSAGES and self._is_reading:
                self._is_reading = False
                assert self._transport is not None
                self._transport.pause_reading()
        if not self._splitter.is_mid_message:
            self._clear_deadline()
        elif messages or self._deadline is None:
            self._set_deadline()

    def eof_received(self) -> bool:
        """What was asked is still done: `printf … | nc -U` closes its side early, and who calls
        oneway may be gone at once. But nobody waits or streams for a peer who is gone."""
        self._has_ended = True
        self._arrived.set()
        assert self._transport is not None
        if self._waiting_call is not None and _is_gone(self._transport):
            self._waiting_call.cancel()
        return True

    def pause_writing(self) -> None:
        self._writable = anyio.Event()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        self._writable.set()
        self._scope.cancel()
        self._gone(self)

    # The task

    async def _serve(self) -> None:
        assert self._transport is not None
        try:
            with self._scope:
                while (message := await self._next_message()) is not None:
                    if not await self._answer(message):
                        break
        finally:
            self._transport.close()

    async def _next_message(self) -> bytes | None:
        while not self._waiting:
            if self._has_ended:
                return None
            self._arrived = anyio.Event()
            await self._arrived.wait()
        message = self._waiting.popleft()
        if not self._is_reading and len(self._waiting) <= MAX_WAITING_MESSAGES // 2:
            self._is_reading = True
            assert self._transport is not None
            self._transport.resume_reading()
        return message

    async def _answer(self, message: bytes) -> bool:
        """False when the connection is of no more use."""
        try:
            raw = envelope.decode_call(message)
        except errors.InvalidMessage as error:
            self._cut_off(str(error))
            return False
        call = Call(raw.method, raw.parameters, bool(raw.more), self.peer_uid, self._send_part)
        try:
            if self._dispatcher.may_wait(call):
                with anyio.CancelScope() as self._waiting_call:
                    reply = envelope.encode_reply(await self._dispatcher.answer(call))
                if self._waiting_call.cancelled_caught:
                    return False
                self._waiting_call = None
            else:
                reply = envelope.encode_reply(await self._dispatcher.answer(call))
        except errors.TorcError as error:
            reply = envelope.encode_error(error)
        except Exception:  # noqa: BLE001 - the border: a bug here must not end others' sessions
            self._log.exception("a request failed", method=raw.method[:200])
            reply = envelope.encode_error(
                errors.TorcError("an error inside torcd; its log has the details")
            )
        if not raw.oneway:
            await self._write(reply)
        return True

    async def _send_part(self, reply: msgspec.Struct) -> None:
        await self._write(envelope.encode_reply(reply, continues=True))

    async def _write(self, message: bytes) -> None:
        assert self._transport is not None
        self._transport.write(message)
        if not self._writable.is_set():
            await self._writable.wait()

    # Deadlines and ends

    def _set_deadline(self) -> None:
        self._clear_deadline()
        self._deadline = asyncio.get_running_loop().call_later(
            MESSAGE_DEADLINE_SECONDS, self._cut_off, "no whole message in time"
        )

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut_off(self, problem: str) -> None:
        self._log.warning("connection closed", problem=problem[:200], uid=self.peer_uid)
        assert self._transport is not None
        self._transport.abort()


def _is_gone(transport: asyncio.Transport) -> bool:
    """Whether the peer has closed both directions, not only its own."""
    poller = select.poll()
    poller.register(transport.get_extra_info("socket").fileno(), 0)
    return any(events & select.POLLHUP for _, events in poller.poll(0))


def _peer_uid(sock: Any) -> int:
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)
