"""One blocking connection: whole messages out and in."""

import os
import socket
import time
from typing import TYPE_CHECKING

from torcd.client.conversation import FIRST_BUFFER_BYTES, MAX_ANSWER_BYTES
from torcd.errors import InvalidMessage

if TYPE_CHECKING:
    from mmap import mmap


LARGE_BYTES = 1 << 20
"""An answer that is so large is left where it came in."""


class Connection:
    """Raises OSError when the connection fails or ends, and TimeoutError (which is one) when
    `deadline`, a time of `time.monotonic`, has come. Useless after either."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._buffer: bytearray | mmap = bytearray(FIRST_BUFFER_BYTES)
        self._begin = 0
        self._end = 0
        self.pid = os.getpid()
        """After a fork both processes would read each other's answers."""

    def close(self) -> None:
        self._socket.close()

    def __del__(self) -> None:
        # A script that ends, or forgets its client, did nothing that deserves a ResourceWarning.
        self._socket.close()

    def send(self, message: bytes, deadline: float | None = None) -> None:
        self._set_timeout(deadline)
        self._socket.sendall(message)

    def receive(self, deadline: float | None = None) -> bytes | memoryview:
        """The next message, without its NUL."""
        searched = self._begin
        while True:
            at = self._buffer.find(b"\0", searched, self._end)
            if at >= 0:
                message = memoryview(self._buffer)[self._begin : at]
                if at - self._begin >= LARGE_BYTES:
                    self._leave(at + 1)
                    return message
                self._begin = at + 1
                return bytes(message)
            searched = self._end
            searched -= self._make_room()
            self._set_timeout(deadline)
            with memoryview(self._buffer) as view:
                count = self._socket.recv_into(view[self._end :])
            if count == 0:
                raise ConnectionResetError("the other side closed the connection")
            self._end += count

    def _leave(self, rest: int) -> None:
        """A large message keeps the memory in which it came; what is after it gets other."""
        after = bytes(memoryview(self._buffer)[rest : self._end])
        self._buffer = bytearray(max(FIRST_BUFFER_BYTES, len(after)))
        self._buffer[: len(after)] = after
        self._begin, self._end = 0, len(after)

    def _make_room(self) -> int:
        """Sees that there is space after what is unread; returns by how much that moved."""
        moved = self._begin
        unread = self._end - self._begin
        if unread == 0:
            if len(self._buffer) > FIRST_BUFFER_BYTES:
                self._buffer = bytearray(FIRST_BUFFER_BYTES)
        elif self._end < len(self._buffer):
            return 0
        elif unread > MAX_ANSWER_BYTES:
            raise InvalidMessage(f"the daemon's answer is larger than {MAX_ANSWER_BYTES} bytes")
        else:
            fresh = bytearray(2 * unread) if unread < LARGE_BYTES else _block(8 * unread)
            fresh[:unread] = memoryview(self._buffer)[self._begin :]
            self._buffer = fresh
        self._begin, self._end = 0, unread
        return moved

    def _set_timeout(self, deadline: float | None) -> None:
        left = _left(deadline)
        if left is not None or self._socket.gettimeout() is not None:
            self._socket.settimeout(left)


def _block(size_bytes: int) -> "mmap":
    # Most scripts have no large value: what they do not need is not imported.
    from torcd.block import block

    return block(size_bytes)


def connect(path: str, deadline: float | None = None) -> Connection:
    """Raises OSError."""
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        unix.settimeout(_left(deadline))
        unix.connect(path)
    except BaseException:
        unix.close()
        raise
    return Connection(unix)


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
