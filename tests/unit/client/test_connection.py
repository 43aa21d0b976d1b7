"""Whole messages out of a stream, large ones where they came in."""

import os
import socket
import threading

import pytest

from torcd.client.connection import LARGE_BYTES, Connection

LARGE = os.urandom(4 * LARGE_BYTES).replace(b"\0", b"x")


@pytest.mark.parametrize("size", [LARGE_BYTES - 1, LARGE_BYTES, len(LARGE)])
def test_messages_come_out_as_they_went_in_and_stay_so(size: int) -> None:
    expected = [b"a", LARGE[:size], b"", LARGE[-size:], b"b" * 100, LARGE]
    ours, theirs = socket.socketpair()
    with theirs:
        connection = Connection(ours)
        sending = threading.Thread(target=theirs.sendall, args=(b"\0".join(expected) + b"\0",))
        sending.start()
        # They are compared when all have come: none may be written over.
        found = [connection.receive() for _ in expected]
        sending.join()
        assert found == expected
        connection.close()


def test_a_large_message_is_no_copy_and_is_gone_with_whoever_has_it() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        connection = Connection(ours)
        sending = threading.Thread(target=theirs.sendall, args=(LARGE + b"\0",))
        sending.start()
        message = connection.receive()
        sending.join()
        assert isinstance(message, memoryview)
        assert message == LARGE
        assert len(connection._buffer) < LARGE_BYTES
        connection.close()
