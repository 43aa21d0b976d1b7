"""One message to the daemon, and one back."""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_STREAM, socket

_RECEIVE_BYTES = 256 * 1024


class HungUp(Exception):
    """The daemon was there, and went away before it answered."""

    def __init__(self, *, may_be_done: bool) -> None:
        super().__init__()
        self.may_be_done = may_be_done
        """The message had reached it whole."""


def message(method: str, parameters: str) -> bytes:
    """A call, its NUL included, of the parameters' JSON text."""
    return f'{{"method":"io.torcd.{method}","parameters":{parameters}}}'.encode() + b"\0"


def exchange(path: str, message: bytes) -> bytes | None:
    """Send a message and return the first one that comes back; None: nobody is there. Raises
    HungUp."""
    connection = socket(AF_UNIX, SOCK_STREAM)
    is_there = is_sent = False
    try:
        connection.connect(path)
        is_there = True
        try:
            connection.sendall(message)
            is_sent = True
        except OSError:
            # A daemon that refuses a message while it is being sent says why before it hangs up.
            pass
        pieces: list[bytes] = []
        while piece := connection.recv(_RECEIVE_BYTES):
            pieces.append(piece)
            if b"\0" in piece:
                return b"".join(pieces).partition(b"\0")[0]
    except OSError:
        pass
    finally:
        connection.close()
    if is_there:
        raise HungUp(may_be_done=is_sent)
    return None
