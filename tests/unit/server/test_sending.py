"""Large answers, written past the transport."""

import asyncio
import contextlib
import gc
import os
import socket
import weakref
from collections.abc import Iterator

import anyio
import pytest

from torcd.block import block
from torcd.server import sending

LARGE = os.urandom(3 << 20)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


async def test_all_of_it_arrives_and_is_counted(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    gone: list[int] = []
    loop = asyncio.get_running_loop()
    found = bytearray()
    before = len(os.listdir("/proc/self/fd"))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sending.send, ours.fileno(), memoryview(LARGE), gone.append)
            while len(found) < len(LARGE):
                found += await loop.sock_recv(theirs, 100_000)
    assert found == LARGE
    assert sum(gone) == len(LARGE)
    assert len(os.listdir("/proc/self/fd")) == before
    await loop.sock_sendall(ours, b"and on")
    assert await loop.sock_recv(theirs, 100) == b"and on"


async def test_who_leaves_ends_it(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:

            async def leave() -> None:
                await anyio.wait_all_tasks_blocked()
                theirs.close()

            tasks.start_soon(leave)
            with pytest.raises(OSError, match=r"Broken pipe|reset"):
                await sending.send(ours.fileno(), memoryview(LARGE), lambda _: None)


async def test_what_was_sent_is_let_go_at_once_when_it_has_failed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Python looks for circles seldom, and what is in this one is large."""
    ours, theirs = pair
    theirs.close()
    large = block(len(LARGE))
    held = weakref.ref(large)
    gc.disable()
    try:
        with contextlib.suppress(BrokenPipeError):
            await sending.send(ours.fileno(), memoryview(large), lambda _: None)
        del large
        assert held() is None
    finally:
        gc.enable()


async def test_it_can_be_given_up(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    before = len(os.listdir("/proc/self/fd"))
    with anyio.move_on_after(0) as scope:
        await sending.send(ours.fileno(), memoryview(LARGE), lambda _: None)
    assert scope.cancelled_caught
    assert len(os.listdir("/proc/self/fd")) == before
