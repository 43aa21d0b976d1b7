"""Messages on a stream: each is one JSON object, ended by a NUL byte (Varlink).

JSON text cannot contain a NUL byte, so cutting at NUL never cuts a message in two.
"""

import mmap
from collections.abc import Callable

from torcd.block import block, cut
from torcd.errors import InvalidMessage
from torcd.protocol.envelope import Message
from torcd.value import MAX_VALUE_BYTES

MAX_ENVELOPE_BYTES = 64 * 1024
"""What a message may be larger than the largest value: method, name, token, and some air."""

MAX_MESSAGE_BYTES = MAX_VALUE_BYTES + MAX_ENVELOPE_BYTES


PIECE_BYTES = 64 * 1024
"""An unfinished message is kept in pieces of about this size: a buffer that grows as a whole would
leave holes in the memory behind, and many small ones cost more than what is in them."""

LARGE_BYTES = 1024 * 1024
"""From here on it is kept as a whole. A block of this size is by itself, so it leaves no hole, and
the kernel makes it larger in its place; memory that is touched for the first time costs more than
what is then done with it."""


class Splitter:
    """Cuts a stream into messages and holds at most one unfinished message.

    The unfinished message is searched for its end only once, however many pieces it comes in.
    """

    def __init__(
        self,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        new_block: Callable[[int], mmap.mmap] = block,
    ) -> None:
        """`new_block`: of at least so many bytes, with anything in it."""
        self._max_message_bytes = max_message_bytes
        self._new_block = new_block
        self._pieces: list[bytearray] = []
        self._block: mmap.mmap | None = None
        """What is held in place of the pieces, once there was `room`."""
        self.unfinished_bytes = 0
        """What is held of a message that is not whole."""

    @property
    def is_mid_message(self) -> bool:
        return self.unfinished_bytes > 0

    def room(self, size_bytes: int) -> memoryview | None:
        """Where to put what comes next, at most so much, if the unfinished message is large: then
        it needs no copy. To be followed by `received` only."""
        if self.unfinished_bytes <= LARGE_BYTES:
            return None
        if self._block is None:
            # What is not touched of it costs nothing.
            self._block = self._new_block(self._max_message_bytes + PIECE_BYTES)
            self._block.write(b"".join(self._pieces))
            self._pieces = []
        end = min(self.unfinished_bytes + size_bytes, len(self._block))
        return memoryview(self._block)[self.unfinished_bytes : end]

    def received(self, size_bytes: int) -> list[Message]:
        """As `feed`, of so much that was put where there was room."""
        assert self._block is not None
        held, end = self._block, self.unfinished_bytes + size_bytes
        at = held.find(b"\0", self.unfinished_bytes, end)
        if (end if at < 0 else at) > self._max_message_bytes:
            raise self._too_large()
        if at < 0:
            self.unfinished_bytes = end
            return []
        self.forget()
        cut(held, end)  # it may have been used before
        view = memoryview(held)
        return [view[:at], *self.feed(view[at + 1 : end])]

    def feed(self, data: bytes | memoryview) -> list[Message]:
        """The messages that `data` completes.

        Raises InvalidMessage when the unfinished one is too large; the stream is then useless.
        """
        messages: list[Message] = bytes(data).split(b"\0")  # type: ignore[assignment]
        tail = messages.pop()
        if messages:
            if self._pieces:
                self._keep(messages[0])
                messages[0] = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self.forget()
            limit = self._max_message_bytes
            # None is longer than the first and `data` together: mostly they need not be measured.
            if len(messages[0]) + len(data) > limit and max(map(len, messages)) > limit:
                raise self._too_large()
        if tail:
            self._keep(tail)
            if self.unfinished_bytes > self._max_message_bytes:
                raise self._too_large()
        return messages

    def _keep(self, tail: Message) -> None:
        self.unfinished_bytes += len(tail)
        if self.unfinished_bytes > LARGE_BYTES and self._pieces:
            if len(self._pieces) > 1:
                self._pieces = [bytearray().join(self._pieces)]
            self._pieces[0] += tail
        elif self._pieces and len(self._pieces[-1]) < PIECE_BYTES:
            self._pieces[-1] += tail
        else:
            self._pieces.append(bytearray(tail))

    def forget(self) -> None:
        """What is held of a message that is not whole."""
        self._pieces = []
        self._block = None
        self.unfinished_bytes = 0

    def _too_large(self) -> InvalidMessage:
        self.forget()
        return InvalidMessage(
            f"a message is larger than {self._max_message_bytes} bytes",
            limit_bytes=self._max_message_bytes,
        )
