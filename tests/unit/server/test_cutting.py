"""A stream is cut into messages however it comes."""

import pytest

from torcd.block import LARGE_PAGE_BYTES, block
from torcd.errors import InvalidMessage
from torcd.protocol.framing import LARGE_BYTES, PIECE_BYTES, Splitter

LARGE = bytes(range(1, 256)) * (3 * LARGE_BYTES // 255)


@pytest.mark.parametrize("step", [999, PIECE_BYTES - 1, PIECE_BYTES, 256 << 10, 2 * LARGE_BYTES])
def test_messages_of_all_sizes_come_out_as_they_went_in(step: int) -> None:
    expected = [b"a", LARGE, b"", LARGE[:-7], b"b", LARGE[: PIECE_BYTES + 1], LARGE[:LARGE_BYTES]]
    stream = b"\0".join([*expected, b"rest"])
    splitter = Splitter()
    found = []
    for start in range(0, len(stream), step):
        found += splitter.feed(memoryview(stream)[start : start + step])
    assert found == expected
    assert splitter.unfinished_bytes == len(b"rest")


def test_a_large_message_is_no_copy_of_what_it_was_gathered_in() -> None:
    splitter = Splitter()
    splitter.feed(LARGE[: LARGE_BYTES - 1])
    splitter.feed(b"xx")
    (gathered,) = splitter._pieces
    splitter.feed(LARGE)
    (message,) = splitter.feed(b"\0")
    assert message is gathered
    assert splitter._pieces == []


def _received(splitter: Splitter, stream: bytes, step: int) -> list[bytes]:
    """As a session does: into the message's own place, if there is one."""
    found: list[bytes] = []
    rest = memoryview(stream)
    while rest:
        room = splitter.room(step)
        count = min(step if room is None else len(room), len(rest))
        if room is None:
            messages = splitter.feed(rest[:count])
        else:
            room[:count] = rest[:count]
            messages = splitter.received(count)
        found += map(bytes, messages)
        rest = rest[count:]
    return found


@pytest.mark.parametrize("step", [999, PIECE_BYTES, 256 << 10, 2 * LARGE_BYTES])
def test_so_they_do_where_large_ones_are_received_in_their_place(step: int) -> None:
    expected = [b"a", LARGE, b"", LARGE[:-7], b"b", LARGE[:LARGE_BYTES], LARGE[: LARGE_BYTES + 2]]
    splitter = Splitter(len(LARGE))
    assert _received(splitter, b"\0".join([*expected, b"rest"]), step) == expected
    assert splitter.unfinished_bytes == len(b"rest")


def test_what_is_received_in_place_is_no_copy_and_not_written_to_again() -> None:
    splitter = Splitter(len(LARGE))
    splitter.feed(LARGE[: LARGE_BYTES + 1])
    room = splitter.room(10)
    assert room is not None
    assert len(room) == 10
    room[:3] = b"xy\0"
    (message,) = splitter.received(3)
    assert isinstance(message, memoryview)
    assert message.obj is room.obj
    assert bytes(message) == LARGE[: LARGE_BYTES + 1] + b"xy"
    assert splitter.room(10) is None
    assert not splitter.is_mid_message


@pytest.mark.parametrize("beyond", [b"x", b"x\0", b"x\0x\0"])
def test_one_that_grows_too_large_in_its_place_is_refused(beyond: bytes) -> None:
    limit = 2 * LARGE_BYTES
    splitter = Splitter(limit)
    assert _received(splitter, b"x" * limit, 256 << 10) == []
    with pytest.raises(InvalidMessage):
        _received(splitter, beyond, 256 << 10)
    splitter = Splitter(limit)
    assert _received(splitter, b"x" * limit + b"\0", 256 << 10) == [b"x" * limit]


@pytest.mark.parametrize("step", [100, 1 << 20])
@pytest.mark.parametrize("ahead", [b"", b"x\0", b"x" * 1000 + b"\0"])
def test_one_that_is_too_large_is_refused_whatever_is_before_it(step: int, ahead: bytes) -> None:
    for end in (b"", b"\0", b"\0x\0"):
        stream = ahead + b"x" * 1001 + end
        splitter = Splitter(1000)
        with pytest.raises(InvalidMessage):
            _feed(splitter, stream, step)


def _feed(splitter: Splitter, stream: bytes, step: int) -> None:
    for start in range(0, len(stream), step):
        splitter.feed(stream[start : start + step])


def test_a_message_in_a_block_that_was_used_before_holds_no_more_than_it_needs() -> None:
    used = block(4 * LARGE_PAGE_BYTES)
    used.write(b"x" * len(used))
    used.seek(0)
    splitter = Splitter(len(used) - PIECE_BYTES, lambda size_bytes: used)
    (message,) = _received(splitter, LARGE + b"\0", 256 << 10)
    assert message == LARGE
    assert used.find(b"x", len(LARGE) + LARGE_PAGE_BYTES) < 0
