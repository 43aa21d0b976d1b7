"""The listening socket that whoever started us had already (sd_listen_fds(3)).

It is not ours: it outlives us, so clients that come while no daemon runs wait in its queue for the
next one. We never take its name away.
"""

import os
import socket

from torcd import errors

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START."""


def passed_socket() -> socket.socket | None:
    """None when there is none for us. Raises ConfigError for one that is of no use.

    Ask once: the variables are gone afterwards, so that nobody whom we start takes them for theirs.
    """
    pid = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or count in ("", "0"):
        return None
    if count != "1":
        raise errors.ConfigError(
            f"{count} sockets were passed to torcd, which listens on one; give torcd.socket "
            "one ListenStream= only",
            key="ListenStream",
        )
    os.set_inheritable(FIRST_DESCRIPTOR, False)
    try:
        listener = socket.socket(fileno=FIRST_DESCRIPTOR)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise errors.ConfigError(
            f"what was passed to torcd is no socket: {error.strerror}", key="ListenStream"
        ) from None
    name = listener.getsockname()
    is_path = listener.family == socket.AF_UNIX and isinstance(name, str) and name.startswith("/")
    if not listens or listener.type != socket.SOCK_STREAM or not is_path:
        listener.close()
        raise errors.ConfigError(
            "the socket that was passed to torcd is no listening Unix stream socket with a path; "
            "give torcd.socket a ListenStream= that is one",
            key="ListenStream",
        )
    listener.setblocking(False)
    return listener
