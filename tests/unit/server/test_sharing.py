"""Work that many want done at a time."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from torcd.server.sharing import Shared


class Maker:
    """Makes numbers, one when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = anyio.Event()

    async def make(self) -> int:
        self.begun += 1
        number = self.begun
        may_end, self.may_end = self.may_end, anyio.Event()
        await may_end.wait()
        return number


async def settle_down() -> None:
    for _ in range(5):
        await checkpoint()


async def test_who_asks_while_it_is_made_gets_what_is_begun_after_that() -> None:
    shared: Shared[int] = Shared()
    maker = Maker()
    got: list[int] = []

    async def ask() -> None:
        got.append(await shared.get("key", maker.make))

    async with anyio.create_task_group() as tasks:
        first_may_end = maker.may_end
        tasks.start_soon(ask)
        await settle_down()
        for _ in range(10):
            tasks.start_soon(ask)
        await settle_down()
        assert maker.begun == 1
        second_may_end = maker.may_end
        first_may_end.set()
        await settle_down()
        assert (got, maker.begun) == ([1], 2)
        second_may_end.set()
    assert got == [1] + [2] * 10


async def test_others_do_not_wait_for_what_is_made_for_another_key() -> None:
    shared: Shared[int] = Shared()
    maker = Maker()

    async def at_once() -> int:
        return 7

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shared.get, "one", maker.make)
        await settle_down()
        assert await shared.get("other", at_once) == 7
        tasks.cancel_scope.cancel()


async def test_when_who_makes_it_goes_the_others_make_it_themselves() -> None:
    shared: Shared[int] = Shared()
    maker = Maker()
    got: list[int] = []

    async def ask() -> None:
        got.append(await shared.get("key", maker.make))

    async with anyio.create_task_group() as tasks:
        present_may_end = maker.may_end
        tasks.start_soon(ask)
        await settle_down()
        async with anyio.create_task_group() as impatient:
            impatient.start_soon(ask)  # he would make the next
            await settle_down()
            tasks.start_soon(ask)
            await settle_down()
            impatient.cancel_scope.cancel()
        next_may_end = maker.may_end
        present_may_end.set()
        await settle_down()
        next_may_end.set()
    assert got == [1, 2]


async def test_a_failure_is_everybody_s_own() -> None:
    shared: Shared[int] = Shared()
    calls = 0

    async def fail() -> int:
        nonlocal calls
        calls += 1
        await checkpoint()
        raise ValueError(calls)

    async def ask() -> None:
        with pytest.raises(ValueError, match=r"[0-9]"):
            await shared.get("key", fail)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    assert calls == 3
