"""A block is used again when nobody refers to it, and not before."""

from collections.abc import Iterator

import anyio
import msgspec
import pytest

from torcd import heap, kept_block
from torcd.kept_block import used_block
from torcd.server import trimming

SIZE_BYTES = 1 << 20


@pytest.fixture(autouse=True)
def none_is_kept() -> Iterator[None]:
    kept_block.let_go()
    yield
    kept_block.let_go()


def test_a_block_that_is_free_is_used_again_from_its_beginning() -> None:
    first = used_block(SIZE_BYTES)
    first.write(b"1")
    number = id(first)
    del first
    again = used_block(SIZE_BYTES // 2)
    assert id(again) == number
    assert again.tell() == 0


def test_one_that_is_in_use_is_not() -> None:
    held = used_block(SIZE_BYTES)
    assert used_block(SIZE_BYTES) is not held
    view = memoryview(held)[5:9]
    number = id(held)
    del held
    assert id(used_block(SIZE_BYTES)) != number
    part = view[1:]
    del view
    assert id(used_block(SIZE_BYTES)) != number
    del part
    assert id(used_block(SIZE_BYTES)) == number


def test_what_was_decoded_in_place_is_a_use() -> None:
    held = used_block(SIZE_BYTES)
    held.write(b'{"a":"text"}')
    number = id(held)
    raw = msgspec.json.decode(memoryview(held)[:12], type=dict[str, msgspec.Raw])["a"]
    del held
    used_block(SIZE_BYTES).write(b"x" * 12)
    assert bytes(raw) == b'"text"'
    del raw
    assert id(used_block(SIZE_BYTES)) == number


def test_the_largest_is_kept() -> None:
    small = id(used_block(SIZE_BYTES))
    large = used_block(2 * SIZE_BYTES)
    number = id(large)
    assert number != small
    del large
    assert id(used_block(SIZE_BYTES)) == number


def test_what_is_let_go_is_not_used_again() -> None:
    kept = memoryview(used_block(SIZE_BYTES))
    kept_block.let_go()
    whole = kept.obj
    del kept
    assert used_block(SIZE_BYTES) is not whole


async def test_none_is_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "TRIM_SECONDS", 0.0)
    trimmed = anyio.Event()
    monkeypatch.setattr(heap, "trim", trimmed.set)
    kept = used_block(SIZE_BYTES)
    trimming.Trimmer().soon()
    with anyio.fail_after(60):
        await trimmed.wait()
    held = memoryview(kept)  # so that no other one is where it was
    del kept
    assert used_block(SIZE_BYTES) is not held.obj
    assert kept_block._kept is not held.obj
