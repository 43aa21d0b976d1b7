"""The log into systemd's journal, with priorities and fields, by its native protocol
(https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).

Each fact of a line is a field in capitals, so `journalctl WORKFLOW=7 JOB=fit` finds what was said
about that job, and `-p warning` what matters. A datagram is one line.
"""

import os
import re
import socket
import struct
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

SOCKET = "/run/systemd/journal/socket"

SEND_SECONDS = 0.1
"""As long the daemon waits for a journal that does not read; then that line is lost."""

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Those of syslog(3)."""

_OWN = frozenset({"event", "level", "timestamp", "exception"})
"""They are in MESSAGE and PRIORITY; the journal has a time of its own."""

_NO_NAME = re.compile(r"[^A-Z0-9_]")


def is_stream(descriptor: int, variable: str) -> bool:
    """Whether what is written to the descriptor is read by the journal, by the JOURNAL_STREAM that
    systemd has set: it may have been inherited by somebody who writes elsewhere."""
    try:
        facts = os.fstat(descriptor)
    except OSError:
        return False
    return variable == f"{facts.st_dev}:{facts.st_ino}"


def fields(event: Mapping[str, Any]) -> dict[str, str]:
    """A line of the log as the journal's fields."""
    facts = {name: str(value) for name, value in event.items() if name not in _OWN}
    words = [str(event["event"]), *(f"{name}={value}" for name, value in facts.items())]
    message = " ".join(words)
    if "exception" in event:
        message += f"\n{event['exception']}"
    found = {_NO_NAME.sub("_", name.upper()).lstrip("_"): text for name, text in facts.items()}
    return found | {
        "MESSAGE": message,
        "PRIORITY": str(PRIORITIES[event["level"]]),
        "SYSLOG_IDENTIFIER": "torcd",
    }


def encode(named: Mapping[str, str]) -> bytes:
    """A datagram. A value with line breaks is preceded by its length."""
    parts = []
    for name, text in named.items():
        value = text.encode("utf-8", "backslashreplace")
        if b"\n" in value:
            parts.append(b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(value)), value))
        else:
            parts.append(b"%s=%s\n" % (name.encode(), value))
    return b"".join(parts)


class Journal:
    """What structlog writes to. `otherwise` takes a line that the journal does not, as text."""

    def __init__(self, otherwise: Callable[[str], object], address: str = SOCKET) -> None:
        self._otherwise = otherwise
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(SEND_SECONDS)

    def close(self) -> None:
        self._socket.close()

    def send(self, named: Mapping[str, str]) -> None:
        try:
            self._socket.sendto(encode(named), self._address)
        except TimeoutError:
            pass
        except OSError:  # it is being restarted, or the line is larger than a datagram may be
            self._otherwise(f"<{named['PRIORITY']}>{named['MESSAGE']}\n")

    debug = info = warning = error = critical = send


def render(_: object, __: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], Any]:
    """The last of structlog's processors."""
    return (fields(event),), {}
