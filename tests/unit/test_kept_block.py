"""A block is used again when nobody refers to it, and not before."""

import mmap
import sys
import threading
from collections.abc import Iterator

import anyio
import anyio.to_thread
import msgspec
import pytest

from torcd import kept_block
from torcd.block import LARGE_PAGE_BYTES
from torcd.kept_block import used_block
from torcd.server import trimming

SIZE_BYTES = 1 << 20


@pytest.fixture
def told() -> Iterator[list[str]]:
    """One is kept; whenever there is one, this is longer."""
    times: list[str] = []
    kept_block.keep(lambda: times.append("there is one"))
    yield times
    kept_block.keep_none()


@pytest.fixture
def keeping(told: list[str]) -> None:
    """One is kept."""


@pytest.mark.usefixtures("keeping")
def test_a_block_that_is_free_is_used_again_from_its_beginning() -> None:
    first = used_block(SIZE_BYTES)
    first.write(b"1")
    number = id(first)
    del first
    again = used_block(SIZE_BYTES // 2)
    assert id(again) == number
    assert again.tell() == 0


@pytest.mark.usefixtures("keeping")
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


@pytest.mark.usefixtures("keeping")
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


@pytest.mark.usefixtures("keeping")
def test_the_largest_is_kept() -> None:
    small = id(used_block(SIZE_BYTES))
    large = used_block(2 * SIZE_BYTES)
    number = id(large)
    assert number != small
    del large
    assert id(used_block(SIZE_BYTES)) == number


@pytest.mark.usefixtures("keeping")
def test_who_needs_little_of_it_holds_little() -> None:
    whole = used_block(3 * LARGE_PAGE_BYTES)
    whole.write(b"x" * len(whole))
    number = id(whole)
    del whole
    part = used_block(SIZE_BYTES)
    assert id(part) == number
    assert part[LARGE_PAGE_BYTES - 1] == ord("x")
    assert part.find(b"x", LARGE_PAGE_BYTES) < 0, "there is memory beyond what was asked for"


def test_it_is_kept_as_long_as_it_is_used(told: list[str]) -> None:
    used_block(SIZE_BYTES)
    used_block(SIZE_BYTES)
    assert told == ["there is one"]
    assert not kept_block.rest()
    used_block(SIZE_BYTES)
    assert not kept_block.rest()
    assert kept_block._kept is not None
    assert kept_block.rest()
    assert kept_block._kept is None
    used_block(SIZE_BYTES)
    assert told == ["there is one"] * 2


def test_where_nobody_lets_go_of_it_none_is_kept() -> None:
    used_block(SIZE_BYTES)
    assert kept_block._kept is None


def test_threads_may_use_it_while_it_is_let_go(told: list[str]) -> None:
    problems: list[Exception] = []
    before = sys.getswitchinterval()

    def use() -> None:
        try:
            for _ in range(3_000):
                used_block(mmap.PAGESIZE).write(b"x")
        except Exception as problem:  # noqa: BLE001 - whatever it is
            problems.append(problem)

    sys.setswitchinterval(1e-6)
    try:
        users = [threading.Thread(target=use) for _ in range(2)]
        for user in users:
            user.start()
        while any(user.is_alive() for user in users):
            kept_block.rest()
        for user in users:
            user.join()
    finally:
        sys.setswitchinterval(before)
    assert problems == []


async def test_none_is_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "TRIM_SECONDS", 0.0)
    gone = anyio.Event()
    rest = kept_block.rest

    def look() -> bool:
        is_gone = rest()
        if is_gone:
            gone.set()
        return is_gone

    monkeypatch.setattr(kept_block, "rest", look)
    with trimming.block_kept():
        for _ in range(2):
            await anyio.to_thread.run_sync(used_block, SIZE_BYTES)
            with anyio.fail_after(60):
                await gone.wait()
            assert kept_block._kept is None
            gone = anyio.Event()
    used_block(SIZE_BYTES)
    assert kept_block._kept is None
