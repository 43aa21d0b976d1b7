"""One client's connection.

This is the one module that uses asyncio's protocols directly, for their speed. Bytes arrive in a
buffer that all sessions share (nothing else runs between the kernel filling it and us emptying
it), are cut into messages, and wait in a short queue; when that is full, by their number or by
their bytes, the socket is no longer read, so a client that sends faster than it is served waits in
its own kernel buffer. One task for each session takes the messages in order and answers them in
order. It writes one answer at a time and waits until the client has read enough of it, so a client
that never reads costs one answer's memory.

A client has `MESSAGE_DEADLINE_SECONDS` for its first message, and for the rest of one it has
begun, not counting the time in which it is not read. One that breaks the framing is cut off: after
garbage nothing on that stream can be trusted.

What was asked is done, also when the peer closes its side early (`printf … | nc -U`) or is gone at
once (who calls oneway may be). But nothing waits and nothing streams for a peer who is gone.
"""

import asyncio
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
from torcd.server.calls import Call, Dispatcher, not_understood
from torcd.server.complaints import Complaints
from torcd.server.hangups import Hangups
from torcd.server.memory import LITTLE_BYTES, Memory, Share

MESSAGE_DEADLINE_SECONDS = 10.0

MAX_WAITING_MESSAGES = 16
"""Calls a client may send ahead of the answers."""

MAX_WAITING_BYTES = 256 * 1024
"""The same in bytes; one message of any allowed size may wait all the same."""

RECEIVE_BUFFER_BYTES = 256 * 1024
"""One for all sessions: a large value takes few turns of the loop."""

_TOO_MUCH = "all sessions together hold too much"

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
        hangups: Hangups,
        memory: Memory,
        complaints: Complaints,
        log: Any,
    ) -> None:
        self._dispatcher = dispatcher
        self._tasks = tasks
        self._splitter = Splitter(max_message_bytes)
        self._admit = admit
        self._gone = gone
        self._hangups = hangups
        self._share = Share(memory)
        self._complaints = complaints
        self._log = log
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._current_bytes = 0
        """Of the message that is answered now."""
        self._answer_bytes = 0
        """Of the answer that the client has not read yet."""
        self._arrived = anyio.Event()
        self._writable = anyio.Event()
        self._writable.set()
        self._is_reading = True
        self._has_ended = False
        """The peer sends no more."""
        self._is_gone = False
        """The peer neither sends nor reads any more."""
        self._scope = anyio.CancelScope()
        self._waiting_call: anyio.CancelScope | None = None
        """Of the call that is being answered, if it may take as long as it likes."""
        self._deadline: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._descriptor = -1
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
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._hangups.watch(self._descriptor, self._hung_up)
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
            self._waiting_bytes += sum(map(len, messages))
            self._arrived.set()
            if self._is_reading and self._is_full(MAX_WAITING_MESSAGES, MAX_WAITING_BYTES):
                self._is_reading = False
                assert self._transport is not None
                self._transport.pause_reading()
        if not self._has_room():
            self._cut_off(_TOO_MUCH)
            return
        if not self._splitter.is_mid_message or not self._is_reading:
            self._clear_deadline()
        elif messages or self._deadline is None:
            self._set_deadline()

    def eof_received(self) -> bool:
        self._has_ended = True
        self._arrived.set()
        return True

    def pause_writing(self) -> None:
        self._writable = anyio.Event()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._hangups.forget(self._descriptor)
        self._share.give_back()
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
                    self._current_bytes = 0
                    if len(message) > LITTLE_BYTES:
                        self._has_room()
        finally:
            self._transport.close()

    async def _next_message(self) -> bytes | None:
        while not self._waiting:
            if self._has_ended:
                return None
            self._arrived = anyio.Event()
            await self._arrived.wait()
        message = self._waiting.popleft()
        self._waiting_bytes -= len(message)
        self._current_bytes = len(message)
        if not self._is_reading and not self._is_full(
            MAX_WAITING_MESSAGES // 2, MAX_WAITING_BYTES // 2
        ):
            self._is_reading = True
            assert self._transport is not None
            self._transport.resume_reading()
            if self._splitter.is_mid_message:
                self._set_deadline()
        return message

    def _is_full(self, messages: int, size_bytes: int) -> bool:
        return len(self._waiting) > messages or self._waiting_bytes > size_bytes

    def _hung_up(self) -> None:
        self._is_gone = True
        if self._waiting_call is not None:
            self._waiting_call.cancel()

    async def _answer(self, message: bytes) -> bool:
        """False when the connection is of no more use."""
        try:
            raw = envelope.decode_call(message)
        except errors.InvalidMessage as error:
            # It may be a value that is no JSON: say so, before nothing more is taken from them.
            await self._write(envelope.encode_error(not_understood(message, error)))
            return False
        call = Call(raw.method, raw.parameters, bool(raw.more), self.peer_uid, self._send_part)
        try:
            if self._dispatcher.may_wait(call):
                if self._is_gone:
                    return True
                with anyio.CancelScope() as self._waiting_call:
                    reply = envelope.encode_reply(await self._dispatcher.answer(call))
                if self._waiting_call.cancelled_caught:
                    return True
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
        if self._transport.is_closing():
            return
        is_large = len(message) > LITTLE_BYTES
        if is_large:
            self._answer_bytes = len(message)
            if not self._has_room():
                self._cut_off(_TOO_MUCH)
                return
        self._transport.write(message)
        if not self._writable.is_set():
            await self._writable.wait()
        if is_large:
            self._answer_bytes = 0
            self._has_room()

    def _has_room(self) -> bool:
        """For what it holds now."""
        return self._share.hold(
            self._splitter.unfinished_bytes
            + self._waiting_bytes
            + self._current_bytes
            + self._answer_bytes
        )

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
        self._complaints.warn("connection closed", problem=problem[:200], uid=self.peer_uid)
        assert self._transport is not None
        self._transport.abort()


def _peer_uid(sock: Any) -> int:
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)
