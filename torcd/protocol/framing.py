"""Messages on a stream: each is one JSON object, ended by a NUL byte (Varlink).

JSON text cannot contain a NUL byte, so cutting at NUL never cuts a message in two.
"""

from torcd.errors import InvalidMessage
from torcd.value import MAX_VALUE_BYTES

MAX_ENVELOPE_BYTES = 64 * 1024
"""What a message may be larger than the largest value: method, name, token, and some air."""

MAX_MESSAGE_BYTES = MAX_VALUE_BYTES + MAX_ENVELOPE_BYTES


class Splitter:
    """Cuts a stream into messages and holds at most one unfinished message.

    The unfinished message is searched for its end only once, however many pieces it comes in.
    """

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        self._partial = bytearray()

    @property
    def is_mid_message(self) -> bool:
        return bool(self._partial)

    @property
    def unfinished_bytes(self) -> int:
        """What is held of a message that is not whole."""
        return len(self._partial)

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The messages that `data` completes, without their NUL.

        Raises InvalidMessage when the unfinished one is too large; the stream is then useless.
        """
        pieces = bytes(data).split(b"\0")
        tail = pieces.pop()
        if pieces:
            if self._partial:
                self._partial += pieces[0]
                pieces[0] = bytes(self._partial)
                self._partial = bytearray()
            if max(map(len, pieces)) > self._max_message_bytes:
                raise self._too_large()
        if tail:
            self._partial += tail
            if len(self._partial) > self._max_message_bytes:
                raise self._too_large()
        return pieces

    def _too_large(self) -> InvalidMessage:
        self._partial = bytearray()
        return InvalidMessage(
            f"a message is larger than {self._max_message_bytes} bytes",
            limit_bytes=self._max_message_bytes,
        )
