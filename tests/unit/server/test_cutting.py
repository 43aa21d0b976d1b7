"""A stream is cut into messages however it comes."""

import pytest

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
