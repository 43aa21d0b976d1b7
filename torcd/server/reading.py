"""What a client sends: read, and cut into messages.

Small messages, most by far, are cut out of what the kernel gave. What is longer than one look goes
through a buffer that all sessions share (nothing else runs between the kernel filling it and us
emptying it), and what is large is read into its place.

A client has `MESSAGE_DEADLINE_SECONDS` for its first message, and for the rest of one it has
begun, not counting the time in which it is not read. One that breaks the framing is cut off: after
garbage nothing on that stream can be trusted.
"""

import asyncio
import os
from typing import Protocol

from torcd import errors
from torcd.kept_block import used_block
from torcd.protocol.envelope import Message
from torcd.protocol.framing import Splitter
from torcd.server.memory import LITTLE_BYTES
from torcd.server.readiness import Readiness

MESSAGE_DEADLINE_SECONDS = 10.0

FIRST_BYTES = LITTLE_BYTES // 2
"""Read at a time as long as a client sends nothing large: needs no room."""

RECEIVE_BUFFER_BYTES = 256 * 1024
"""One for all sessions, and the most that is read at a time: a large value takes few turns of the
loop."""

_buffer_view = memoryview(bytearray(RECEIVE_BUFFER_BYTES))


class Receiver(Protocol):
    """A session, as its reader sees it."""

    def received(self, messages: list[Message]) -> None:
        """Something has come, and these are whole. The list is the receiver's."""

    def ended(self) -> None:
        """The peer sends no more."""

    def hung_up(self) -> None:
        """Nor does it read any more. May be told again."""

    def cut_off(self, problem: str) -> None: ...

    def give_up(self) -> None:
        """The connection is of no more use."""


class Reader:
    __slots__ = (
        "_deadline",
        "_descriptor",
        "_has_ended",
        "_readiness",
        "_receiver",
        "is_reading",
        "moved_bytes",
        "splitter",
    )

    def __init__(self, receiver: Receiver, readiness: Readiness, max_message_bytes: int) -> None:
        self._receiver: Receiver | None = receiver
        """None: the connection is over. They refer to each other, and the garbage collector runs
        seldom."""
        self._readiness = readiness
        self.splitter = Splitter(max_message_bytes, used_block)
        """Has what there is of a message that is not whole."""
        self._descriptor = -1
        self._deadline: asyncio.TimerHandle | None = None
        self.is_reading = False
        self._has_ended = False
        self.moved_bytes = 0
        """Read so far."""

    @property
    def next_bytes(self) -> int:
        """What is read next, at most: as much again as there is."""
        return min(max(FIRST_BYTES, self.splitter.unfinished_bytes), RECEIVE_BUFFER_BYTES)

    # Its life

    def begin(self, descriptor: int) -> None:
        if self._has_ended:
            return
        self._descriptor = descriptor
        self.is_reading = True
        self._readiness.watch(descriptor, self)
        self._set_deadline()

    def pause(self) -> None:
        self.is_reading = False
        self._readiness.changed(self._descriptor)
        self._clear_deadline()

    def resume(self) -> None:
        if self._has_ended:
            return
        self.is_reading = True
        self._readiness.changed(self._descriptor)
        if self.splitter.unfinished_bytes:
            self._set_deadline()

    def end(self) -> None:
        """Before the descriptor is closed."""
        self.is_reading = False
        self._has_ended = True
        self._readiness.forget(self._descriptor)
        self.splitter.forget()
        self._clear_deadline()
        self._receiver = None

    # What readiness tells

    def readable(self) -> None:
        splitter, receiver = self.splitter, self._receiver
        assert receiver is not None
        try:
            if splitter.unfinished_bytes:
                size, messages = self._read_on()
            else:
                data = os.read(self._descriptor, FIRST_BYTES)
                size, messages = len(data), splitter.feed(data)
        except BlockingIOError:
            return
        except ConnectionResetError:
            # It left an answer unread. What it asked is done all the same.
            size, messages = 0, []
        except OSError:
            receiver.give_up()
            return
        except errors.InvalidMessage as error:
            receiver.cut_off(str(error))
            return
        if not size:
            self.is_reading = False
            self._has_ended = True
            self._readiness.changed(self._descriptor)
            receiver.ended()
            return
        self.moved_bytes += size
        has_whole = bool(messages)  # the list is the receiver's
        receiver.received(messages)
        if not splitter.unfinished_bytes:
            if self._deadline is not None:
                self._clear_deadline()
        elif self.is_reading and (has_whole or self._deadline is None):
            self._set_deadline()

    def hung_up(self) -> None:
        if self._receiver is not None:
            self._receiver.hung_up()

    def give_up(self) -> None:
        if self._receiver is not None:
            self._receiver.give_up()

    def _read_on(self) -> tuple[int, list[Message]]:
        room = self.splitter.room(self.next_bytes)
        if room is not None:
            size = os.readv(self._descriptor, [room])
            return size, self.splitter.received(size)
        room = _buffer_view[: self.next_bytes]
        size = os.readv(self._descriptor, [room])
        return size, self.splitter.feed(room[:size])

    # Deadlines

    def _set_deadline(self) -> None:
        self._clear_deadline()
        assert self._receiver is not None
        self._deadline = asyncio.get_running_loop().call_later(
            MESSAGE_DEADLINE_SECONDS, self._receiver.cut_off, "no whole message in time"
        )

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
