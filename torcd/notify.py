"""Telling whoever started us how we are (the protocol of sd_notify(3))."""

import os
import socket


def notify(*assignments: str) -> None:
    """Send assignments (such as READY=1) to NOTIFY_SOCKET, if there is one, in one message. Never
    fails: whoever does not listen does not want to know."""
    address = _address()
    if address is None:
        return
    # A line is an assignment; a path in one may have line breaks of its own.
    message = "\n".join(one.replace("\n", " ") for one in assignments)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        # Who listens and does not read must not hold us up.
        sock.setblocking(False)
        try:
            sock.sendto(message.encode("utf-8", "backslashreplace"), address)
        except OSError:
            return


def is_heard() -> bool:
    """Whether there is anybody to tell."""
    return _address() is not None


def _address() -> str | None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "/@":
        return None
    return address.replace("@", "\0", 1) if address[0] == "@" else address


def watchdog_seconds() -> float | None:
    """Within which time WATCHDOG=1 is to be told, again and again; None: nobody waits for it."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return None
    if not microseconds.isascii() or not microseconds.isdecimal() or not int(microseconds):
        return None
    return int(microseconds) / 1_000_000
