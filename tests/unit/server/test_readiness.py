"""Who is told what of connections, with real sockets, and turns of the loop that the test makes."""

import os
import select
import socket
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from torcd.server import readiness
from torcd.server.readiness import Readiness


class Told:
    """Reads a byte whenever it is told to."""

    def __init__(self, watcher: Readiness) -> None:
        self.own, self.peer = socket.socketpair()
        self.is_reading = True
        self.told: list[str] = []
        self.fails = False
        watcher.watch(self.own.fileno(), self)

    def readable(self) -> None:
        if self.fails:
            raise ZeroDivisionError
        self.told.append("read" if self.own.recv(1) else "end")

    def hung_up(self) -> None:
        self.told.append("gone")

    def give_up(self) -> None:
        self.told.append("failed")


@pytest.fixture
async def watcher() -> AsyncIterator[Readiness]:
    with Readiness.open() as opened:
        yield opened


@pytest.fixture
def those(watcher: Readiness) -> Iterator[list[Told]]:
    made = [Told(watcher) for _ in range(5)]
    yield made
    for each in made:
        each.own.close()
        each.peer.close()


def wants_attention(watcher: Readiness) -> bool:
    return bool(select.select([watcher._epoll], [], [], 0)[0])


async def test_more_than_one_turn_takes_are_all_served_in_the_next_ones(
    watcher: Readiness, those: list[Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "MAX_AT_A_TIME", 2)
    for each in those:
        each.peer.send(b"12345")  # they stay readable, and must not be served again first
    for served in (2, 4, 5):
        watcher._look()
        assert sum(bool(each.told) for each in those) == served
    assert max(len(each.told) for each in those) == 2


async def test_who_does_not_read_is_told_the_end_once_and_does_not_keep_the_loop_awake(
    watcher: Readiness, those: list[Told]
) -> None:
    paused = those[0]
    paused.is_reading = False
    watcher.changed(paused.own.fileno())
    paused.peer.send(b"1")
    assert not wants_attention(watcher), "it does not read"
    paused.peer.close()
    watcher._look()
    assert paused.told == ["gone"]
    assert not wants_attention(watcher), "it has been told"
    paused.is_reading = True
    watcher.changed(paused.own.fileno())
    watcher._look()
    watcher._look()
    assert [told for told in paused.told if told != "gone"] == ["read", "end"]


async def test_a_side_that_is_closed_is_an_end_but_nobody_is_gone(
    watcher: Readiness, those: list[Told]
) -> None:
    half = those[0]
    half.peer.shutdown(socket.SHUT_WR)
    watcher._look()
    assert half.told == ["end"]
    half.is_reading = False
    watcher.changed(half.own.fileno())
    assert not wants_attention(watcher), "the end has been read"
    half.peer.close()
    watcher._look()
    assert half.told == ["end", "gone"]


async def test_a_connection_with_the_number_of_one_that_was_closed_is_another(
    watcher: Readiness, those: list[Told]
) -> None:
    first, second = those[0], those[1]
    first.peer.send(b"1")
    number = first.own.fileno()
    still_open = first.own.dup()  # as for a large answer: the kernel would go on to tell of it
    watcher.forget(number)
    watcher.forget(number)  # may be told twice
    os.dup2(second.own.fileno(), number)  # closes it, and is another at once
    watcher.forget(second.own.fileno())
    watcher.watch(number, second)
    second.peer.send(b"1")
    watcher._look()
    assert (first.told, second.told) == ([], ["read"])
    assert not wants_attention(watcher)
    still_open.close()


async def test_who_is_forgotten_by_one_before_him_is_not_told(
    watcher: Readiness, those: list[Told]
) -> None:
    first, second = those[0], those[1]
    first.hung_up = lambda: watcher.forget(second.own.fileno())  # type: ignore[method-assign]
    first.peer.close()
    second.peer.send(b"1")
    watcher._look()
    assert second.told == []


async def test_one_that_fails_is_given_up_and_the_others_are_served(
    watcher: Readiness, those: list[Told]
) -> None:
    for each in those:
        each.peer.send(b"1")
    those[0].fails = True
    with pytest.raises(ZeroDivisionError):
        watcher._look()
    assert those[0].told == ["failed"]
    watcher.forget(those[0].own.fileno())  # as who is given up does
    watcher._look()
    assert [each.told for each in those[1:]] == [["read"]] * 4


async def test_the_loop_looks_when_there_is_something(
    watcher: Readiness, those: list[Told]
) -> None:
    those[3].peer.send(b"1")
    with anyio.fail_after(5):
        while not those[3].told:
            await anyio.lowlevel.checkpoint()
    assert [each.told for each in those if each.told] == [["read"]]
