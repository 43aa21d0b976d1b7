"""What many ask for at a time is made once for all of them."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class _Making(Generic[T]):
    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.made: list[T] = []
        """Empty: nothing has come of it."""


class Shared(Generic[T]):
    """Who asks gets what was begun after he had asked, so it is never older than his question."""

    def __init__(self) -> None:
        self._present: dict[Hashable, _Making[T]] = {}
        self._next: dict[Hashable, _Making[T]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """What `make` makes of that key. Raises what it raises."""
        while (making := self._next.get(key)) is not None:
            await making.ended.wait()
            if making.made:
                return making.made[0]
            # Whoever was to make it has failed, or has gone: everybody finds out for himself.
        making = self._next[key] = _Making()
        try:
            while (present := self._present.get(key)) is not None:
                await present.ended.wait()
            self._present[key] = making
            del self._next[key]
            made = await make()
            making.made.append(made)
            return made
        finally:
            for place in (self._next, self._present):
                if place.get(key) is making:
                    del place[key]
            making.ended.set()
