"""The warden's end of the line to the daemon: JSON lines over a Unix socket.

One daemon at a time: a new connection replaces the one before, whose unread orders are dropped
(the next daemon repeats them). Sending never blocks and never waits: what a daemon does not read
is kept for it, up to OUTPUT_LIMIT; then it is cut off, and told everything again when it returns.
"""

import os
import select
import socket
import struct

PROTOCOL = 1
RECEIVE_BYTES = 256 * 1024
INPUT_LIMIT = 64 << 20
"""The longest line from a daemon; it sends its orders in lines far shorter."""
OUTPUT_LIMIT = 64 << 20
"""What is kept for a daemon that does not read: reports of some hundred thousand attempts."""


class Channel:
    def __init__(self, poller: select.epoll, directory: str) -> None:
        self._poller = poller
        self._path = f"{directory}/warden.sock"
        self._directory_fd = os.open(directory, os.O_DIRECTORY | os.O_CLOEXEC)
        # The way round: a socket's path has at most 108 bytes, the directory's may have more.
        short = f"/proc/self/fd/{self._directory_fd}/warden.sock"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.setblocking(False)
        try:
            os.unlink(short)
        except FileNotFoundError:
            pass
        umask = os.umask(0o177)
        self.listener.bind(short)
        os.umask(umask)
        self.listener.listen(8)
        poller.register(self.listener.fileno(), select.EPOLLIN)
        self.connection: socket.socket | None = None
        self.daemon_pid = 0
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        """One for all that comes: a new one each time would be new memory of the system's."""
        self._input = bytearray()
        self._output = bytearray()
        self._writable = True

    def accept(self) -> bool:
        """Take the next daemon. False: none there, or not one of this user."""
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return False
        return self.take(connection)

    def take(self, connection: socket.socket) -> bool:
        pid, uid, _ = struct.unpack(
            "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
        if uid not in (os.geteuid(), 0):
            connection.close()
            return False
        self.disconnect()
        connection.setblocking(False)
        self._poller.register(connection.fileno(), select.EPOLLIN)
        self.connection = connection
        self.daemon_pid = pid
        return True

    def disconnect(self) -> None:
        if self.connection is not None:
            self._poller.unregister(self.connection.fileno())
            self.connection.close()
        self.connection = None
        self.daemon_pid = 0
        self._input.clear()
        self._output.clear()
        self._writable = True

    def receive(self) -> list[bytes] | None:
        """The lines that have come; None: the daemon is gone."""
        if self.connection is None:
            return None
        try:
            size = self.connection.recv_into(self._buffer)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not size or len(self._input) > INPUT_LIMIT:
            return None
        begin = len(self._input)
        self._input += self._buffer[:size]
        if self._input.find(b"\n", begin) < 0:
            return []
        *lines, rest = self._input.split(b"\n")
        self._input = rest
        return [bytes(line) for line in lines]

    def send(self, line: str) -> None:
        if self.connection is not None:
            self._output += line.encode()
            self._output += b"\n"

    def flush(self) -> None:
        """Hand over what the socket takes, and have epoll tell when it takes more."""
        if self.connection is None or not self._output:
            return
        try:
            del self._output[: self.connection.send(self._output)]
        except BlockingIOError:
            pass
        except OSError:
            self.disconnect()
            return
        if len(self._output) > OUTPUT_LIMIT:
            self.disconnect()
        elif self._writable != (not self._output):
            self._writable = not self._output
            wanted = select.EPOLLIN if self._writable else select.EPOLLIN | select.EPOLLOUT
            self._poller.modify(self.connection.fileno(), wanted)

    def close(self) -> None:
        self.disconnect()
        self.listener.close()
        os.unlink(f"/proc/self/fd/{self._directory_fd}/warden.sock")
