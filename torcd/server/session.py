"""One client's connection.

What a client sends is read and cut into messages by a `Reader`. Those that are not answered where
they come in wait in a short queue; when that is full, by their number or by their bytes, the socket
is no longer read, so a client that sends faster than it is served waits in its own kernel buffer.
One task for each session takes the messages in order and answers them in order. It has a `Writer`
write one answer at a time and waits until the client has read it, so a client that never reads
costs one answer's memory.

What a session holds beyond a little comes out of a budget of all (`torcd.server.memory`), asked for
before more is read. An answer for which there is no room is let go, and made again when there is.

What was asked is done, also when the peer closes its side early (`printf … | nc -U`) or is gone at
once (who calls oneway may be). But nothing waits and nothing streams for a peer who is gone, and
once an answer cannot be written, the calls behind it are dropped.
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
from torcd.accounts import Accounts, Peer
from torcd.protocol import envelope
from torcd.protocol.framing import MAX_ENVELOPE_BYTES
from torcd.server.answers import Pieces, pieces_of, size_of
from torcd.server.calls import Call, Dispatcher, decode, not_understood
from torcd.server.complaints import Complaints
from torcd.server.memory import LITTLE_BYTES, Memory, Share
from torcd.server.readiness import Readiness
from torcd.server.reading import Reader
from torcd.server.writing import Writer

MAX_WAITING_MESSAGES = 16
"""Calls a client may send ahead of the answers."""

MAX_WAITING_BYTES = 256 * 1024
"""The same in bytes; one message of any allowed size may wait all the same."""


class Session(asyncio.Protocol):
    _transport: asyncio.Transport
    _writer: Writer
    """Both from `connection_made` on; nothing else is called before."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        tasks: TaskGroup,
        max_message_bytes: int,
        admit: Callable[["Session", int], str | None],
        accounts: Accounts,
        gone: Callable[["Session"], None],
        readiness: Readiness,
        memory: Memory,
        complaints: Complaints,
        log: Any,
    ) -> None:
        self._dispatcher = dispatcher
        self._tasks = tasks
        self._reader = Reader(self, readiness, max_message_bytes)
        self._splitter = self._reader.splitter
        self._admit = admit
        self._accounts = accounts
        self._gone = gone
        self._share = Share(memory, self)
        self._complaints = complaints
        self._log = log
        self._waiting: deque[envelope.Message] = deque()
        self._waiting_bytes = 0
        self._is_answering = False
        """A message has been taken and not been answered yet."""
        self._current_bytes = 0
        """Of that message, if the task has it."""
        self._answer_bytes = 0
        """Of a large answer that the client has not read yet, or for which there is no room yet."""
        self._arrived = anyio.Event()
        self._room = anyio.Event()
        """There is room for the answer."""
        self._has_ended = False
        """The peer sends no more."""
        self._is_gone = False
        """The peer neither sends nor reads any more."""
        self._scope = anyio.CancelScope()
        self._waiting_call: anyio.CancelScope | None = None
        """Of the call that is being answered, if it may take as long as it likes."""
        self.peer_uid = -1
        self.peer_pid = -1
        self._peer: Peer | None = None
        """None: has yet to be looked up, which is before the first message is answered."""

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        self._writer = Writer(self._transport, sock.fileno())
        self.peer_pid, self.peer_uid = _peer(sock)
        self._peer = self._accounts.peer_at_once(self.peer_uid)
        refusal = self._admit(self, self.peer_uid)
        if refusal is not None:
            self._transport.write(envelope.encode_error(errors.Denied(refusal)))
            self._transport.close()
            return
        self._tasks.start_soon(self._serve, sock.fileno())

    def pause_writing(self) -> None:
        self._writer.pause()

    def resume_writing(self) -> None:
        self._writer.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.end()
        self._waiting.clear()
        self._share.give_back()
        self._writer.resume()
        self._scope.cancel()
        self._gone(self)

    # What the budget calls

    def room_given(self) -> None:
        if self._answer_bytes:
            self._room.set()
        else:
            self._reader.resume()

    def moved_bytes(self) -> int | None:
        is_at_work = self._current_bytes and not self._answer_bytes and not self._waiting_call
        return None if is_at_work else self._reader.moved_bytes + self._writer.moved_bytes

    def cut_off(self, problem: str) -> None:
        if not self._transport.is_closing():
            self._complaints.warn("connection closed", problem=problem[:200], uid=self.peer_uid)
            self.give_up()

    # What the reader calls

    def received(self, messages: list[envelope.Message]) -> None:
        if self._peer is not None:
            self._answer_at_once(messages, self._peer)
        if messages:
            self._waiting.extend(messages)
            self._waiting_bytes += sum(map(len, messages))
            self._arrived.set()
        elif not (self._waiting or self._share.held_bytes or self._splitter.unfinished_bytes):
            return
        self._read_or_not(MAX_WAITING_MESSAGES, MAX_WAITING_BYTES)

    def ended(self) -> None:
        self._has_ended = True
        self._arrived.set()

    def hung_up(self) -> None:
        self._is_gone = True
        if self._waiting_call is not None:
            self._waiting_call.cancel()

    def give_up(self) -> None:
        self._reader.end()
        self._transport.abort()

    # What need not wait

    def _answer_at_once(self, messages: list[envelope.Message], peer: Peer) -> None:
        """Leaves those for the task, which is not woken for the others."""
        while messages and not (self._waiting or self._is_answering or self._writer.is_paused):
            self._is_answering = True
            answer = self._dispatcher.at_once(messages[0], peer, self._answered)
            if answer == "later":
                # It may have been committed in place, for which all have waited: the task has the
                # others, so that who sends many ahead does that once in a turn.
                del messages[0]
                return
            self._is_answering = False
            if answer is None:
                return
            del messages[0]
            self._writer.write_now(answer)

    def _answered(self, answer: bytes) -> None:
        """To the call that was taken."""
        self._is_answering = False
        if not self._transport.is_closing():
            self._writer.write_now(answer)
        if self._waiting or self._has_ended:
            self._arrived.set()

    # Reading

    def _read_or_not(self, messages: int, size_bytes: int) -> None:
        """Read on if no more than so much is waiting, and there is room for it."""
        may_read = (
            not self._answer_bytes
            and len(self._waiting) <= messages
            and self._waiting_bytes <= size_bytes
            and self._has_room_to_read()
        )
        if may_read and not self._reader.is_reading:
            self._reader.resume()
        elif self._reader.is_reading and not may_read:
            self._reader.pause()

    def _has_room_to_read(self) -> bool:
        coming = self._splitter.unfinished_bytes + self._reader.next_bytes
        return self._share.hold(self._waiting_bytes + self._current_bytes + coming)

    # The task

    async def _serve(self, descriptor: int) -> None:
        # Neither of them before: the transport of Python 3.11.2 (Debian 12) begins to read after
        # `connection_made`, whatever that has said; and of two connections that come at a time the
        # later one would be served first, whose task starts when that of the other is woken.
        self._transport.pause_reading()  # it only writes
        self._reader.begin(descriptor)
        try:
            with self._scope:
                if self._peer is None:
                    try:
                        self._peer = await self._accounts.peer(self.peer_uid)
                    except errors.Denied as error:
                        uid = self.peer_uid
                        self._complaints.warn("connection refused", uid=uid, problem=str(error))
                        await self._write([envelope.encode_error(error)])
                        return
                while await self._message_arrived():
                    self._is_answering = True
                    if not await self._answer(self._next_message()):
                        break
                    self._is_answering = False
                    self._current_bytes = self._answer_bytes = 0
                    if not self._reader.is_reading or self._share.held_bytes:
                        self._read_or_not(MAX_WAITING_MESSAGES // 2, MAX_WAITING_BYTES // 2)
        finally:
            self._reader.end()
            self._transport.close()

    async def _message_arrived(self) -> bool:
        while self._is_answering or not self._waiting:
            if self._has_ended and not self._is_answering:
                return False
            self._arrived = anyio.Event()
            await self._arrived.wait()
        await self._writer.until_writable()  # what was answered at once may not be read yet
        return True

    def _next_message(self) -> envelope.Message:
        message = self._waiting.popleft()
        self._waiting_bytes -= len(message)
        self._current_bytes = len(message)
        return message

    async def _answer(self, message: envelope.Message) -> bool:
        """False when the connection is of no more use."""
        try:
            method, raw = decode(message)
        except errors.InvalidMessage as error:
            # It may be a value that is no JSON: say so, before nothing more is taken from them.
            await self._write([envelope.encode_error(not_understood(message, error))])
            return False
        assert self._peer is not None
        call = Call(method, raw.parameters, bool(raw.more), self._peer, self._send_part, self._take)
        is_oneway = bool(raw.oneway)
        del message, raw  # so that call alone holds it
        while True:
            reply = await self._reply(call, method)
            if reply is None or is_oneway:
                return True
            if self._take_now(size_of(reply)):
                break
            if not self._dispatcher.is_safe_to_repeat(method):
                await self._room.wait()
                break
            del reply
            await self._room.wait()
        del call
        await self._write(reply)
        return True

    async def _reply(self, call: Call, method: str) -> Pieces | None:
        """None: nobody is there any more."""
        try:
            if self._dispatcher.may_wait(call):
                if self._is_gone:
                    return None
                with anyio.CancelScope() as self._waiting_call:
                    reply = await pieces_of(await self._dispatcher.answer(call))
                is_over, self._waiting_call = self._waiting_call.cancelled_caught, None
                return None if is_over else reply
            return await pieces_of(await self._dispatcher.answer(call))
        except errors.TorcError as error:
            # Its frames have the call, and futures and requests that refer to the error again: a
            # circle that would keep a large value until Python looks for such.
            error.__traceback__ = None
            return [envelope.encode_error(error)]
        except Exception:  # noqa: BLE001 - the border: a bug here must not end others' sessions
            self._log.exception("a request failed", method=method[:200])
            problem = errors.TorcError("an error inside torcd; its log has the details")
            return [envelope.encode_error(problem)]
        finally:
            self._waiting_call = None

    async def _take(self, size_bytes: int) -> None:
        """Wait until there is room for an answer, or a part of one, in which so much is a value."""
        if not self._take_now(size_bytes + MAX_ENVELOPE_BYTES):
            await self._room.wait()

    def _take_now(self, size_bytes: int) -> bool:
        if size_bytes <= LITTLE_BYTES:
            return True
        self._answer_bytes = size_bytes
        self._room = anyio.Event()
        return self._share.hold(
            self._splitter.unfinished_bytes
            + self._waiting_bytes
            # What was asked is not needed any more when all of the answer is there.
            + max(self._current_bytes, size_bytes)
        )

    async def _send_part(self, reply: msgspec.Struct) -> None:
        part = await pieces_of(reply, continues=True)
        if not self._take_now(size_of(part)):
            await self._room.wait()
        del reply
        await self._write(part)
        if self._answer_bytes:
            self._answer_bytes = 0
            self._read_or_not(MAX_WAITING_MESSAGES, MAX_WAITING_BYTES)

    async def _write(self, message: Pieces) -> None:
        """Returns when the client has read it, but for what the kernel keeps."""
        try:
            await self._writer.write(message)
        except errors.TorcError as error:
            self.cut_off(f"half of an answer was written: {error}")


def _peer(sock: Any) -> tuple[int, int]:
    """Process and user at the other end when it connected."""
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid), int(uid)
