"""What a small value costs, counted in calls of Python's functions: no clock is needed for it."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
from anyio.abc import TaskGroup

from tests.unit.server.test_quick import ROOT, world
from torcd.server.memory import Memory
from torcd.server.session import Session, _buffer


def calls(act: Callable[[], Any]) -> Counter[str]:
    """Which functions are called, those that are written in C too."""
    called: Counter[str] = Counter()

    def note(frame: FrameType, kind: str, argument: Any) -> None:
        if kind == "call":
            called[frame.f_code.co_qualname] += 1
        elif kind == "c_call":
            called[argument.__qualname__] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
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
        assert asked.total() <= 22, asked
        taken = calls(lambda: here.quick.answer(store, ROOT, answers.append))
        assert taken.total() <= 40, taken
        for found in (asked, taken):
            # The text of the call is looked at once; that of the value once more.
            assert found["Decoder.decode"] == (1 if found is asked else 2)
            assert not [name for name in found if "blake2" in name], "a token that was known"
        while not answers:
            await anyio.lowlevel.checkpoint()


class Silent:
    """What a session sees of a connection, and who answers it, without a kernel."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False

    def at_once(self, message: bytes, peer: object, answered: object) -> bytes:
        return message


def in_silence(silent: Silent, tasks: TaskGroup) -> Session:
    nothing: Any = None
    session = Session(
        silent,  # type: ignore[arg-type]
        tasks,
        1 << 20,
        nothing,
        nothing,
        nothing,
        nothing,
        Memory(),
        nothing,
        nothing,
    )
    session._transport = silent  # type: ignore[assignment]
    session._peer = ROOT
    return session


async def test_a_session_does_little_for_a_message() -> None:
    silent = Silent()
    message = b"{%s}" % (b"x" * 180)
    async with anyio.create_task_group() as tasks:
        session = in_silence(silent, tasks)
        _buffer[: len(message) + 1] = message + b"\0"
        called = calls(lambda: session.buffer_updated(len(message) + 1))
    assert silent.written == [message]
    assert called.total() <= 14, called


class Prompt(Silent):
    """Answers within the call, though it says that the answer comes later."""

    def at_once(self, message: bytes, peer: object, answered: Any) -> Any:
        answered(message)
        return "later"


async def test_an_answer_may_come_before_it_was_said_that_it_comes_later() -> None:
    prompt = Prompt()
    async with anyio.create_task_group() as tasks:
        session = in_silence(prompt, tasks)
        for message in (b"1", b"2"):
            _buffer[:2] = message + b"\0"
            session.buffer_updated(2)
    assert prompt.written == [b"1", b"2"]
    assert not session._waiting


async def test_what_is_sent_ahead_is_not_stored_in_the_same_turn() -> None:
    """Each may wait for the disk in place, and everybody else meanwhile."""
    prompt = Prompt()
    async with anyio.create_task_group() as tasks:
        session = in_silence(prompt, tasks)
        _buffer[:6] = b"1\0002\0003\0"
        session.buffer_updated(6)
    assert prompt.written == [b"1"]
    assert list(session._waiting) == [b"2", b"3"]
