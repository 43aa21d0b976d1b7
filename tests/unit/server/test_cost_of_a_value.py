"""What a small value costs, counted in calls of Python's functions: no clock is needed for it."""

import gc
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import anyio

from tests.unit.server.one_session import connected
from tests.unit.server.test_quick import ROOT, world


def calls(act: Callable[[], Any]) -> Counter[str]:
    """Which functions are called, those that are written in C too."""
    called: Counter[str] = Counter()

    def note(frame: FrameType, kind: str, argument: Any) -> None:
        if kind == "call":
            called[frame.f_code.co_qualname] += 1
        elif kind == "c_call":
            called[argument.__qualname__] += 1

    before = sys.getprofile()
    gc.disable()  # what it finalizes is not of this
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
        gc.enable()
    del called["setprofile"]
    return called


async def test_a_fetch_is_a_few_looks_and_a_store_not_much_more(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        fetch = here.call("Fetch", name="out")
        store = here.call("Store", name="out", data="x" * 62)
        await here.handled(store)
        await here.handled(fetch)
        await here.at_rest()
        await here.answered(store)  # what its answers have in common is made with the first
        await here.at_rest()
        answers: list[bytes] = []
        asked = calls(lambda: here.quick.answer(fetch, ROOT, answers.append))
        assert asked.total() <= 21, asked
        again = calls(lambda: here.quick.answer(fetch, ROOT, answers.append))
        assert again.total() <= 11, again
        assert not again["Decoder.decode"], "the same words"
        taken = calls(lambda: here.quick.answer(store, ROOT, answers.append))
        assert taken.total() <= 34, taken
        for found in (asked, taken):
            # The text of the call is looked at once; that of the value once more.
            assert found["Decoder.decode"] == (1 if found is asked else 2)
            assert not [name for name in found if "blake2" in name], "a token that was known"
        while not answers:
            await anyio.lowlevel.checkpoint()


class Echo:
    """Answers each message with itself."""

    def at_once(self, message: bytes, peer: object, answered: object) -> bytes:
        return message


async def test_a_session_does_little_for_a_message() -> None:
    """From what the loop calls when something can be read until the answer is written."""
    message = b"{%s}" % (b"x" * 180)
    async with connected(Echo()) as connection:
        connection.client.send(b"the first one, which is waited for\0")
        connection.look()
        connection.client.recv(1000)
        connection.client.send(message + b"\0")
        called = calls(connection.look)
        assert connection.client.recv(1000) == message
    assert called.total() <= 18, called
    for once in ("epoll.poll", "read", "write"):
        assert called[once] == 1, called


class Prompt:
    """Answers within the call, though it says that the answer comes later."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def at_once(self, message: bytes, peer: object, answered: Any) -> Any:
        self.asked.append(message)
        answered(message)
        return "later"


async def test_an_answer_may_come_before_it_was_said_that_it_comes_later() -> None:
    async with connected(Prompt()) as connection:
        for message in (b"1", b"2"):
            connection.client.send(message + b"\0")
            connection.look()
            assert connection.client.recv(10) == message
        assert not connection.session._waiting


async def test_what_is_sent_ahead_is_not_stored_in_the_same_turn() -> None:
    """Each may wait for the disk in place, and everybody else meanwhile."""
    prompt = Prompt()
    async with connected(prompt) as connection:
        connection.client.send(b"1\0002\0003\0")
        connection.look()
        assert connection.client.recv(10) == b"1"
        assert prompt.asked == [b"1"]
        assert list(connection.session._waiting) == [b"2", b"3"]
        connection.session._waiting.clear()
