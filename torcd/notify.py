"""Telling whoever started us how we are (the protocol of sd_notify(3))."""

import os
import socket


def notify(state: str) -> None:
    """Send `state` (such as READY=1) to NOTIFY_SOCKET, if there is one. Never fails: whoever
    does not listen does not want to know."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "/@":
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return
