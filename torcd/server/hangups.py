"""Who is gone for good.

A stream that a peer has closed is readable, and reading tells the end of it. But sessions do not
always read: not when the end of the other direction has been read already (`nc -N` closes its own
early), and not while too much is waiting. A call that may take for ever would then be kept for a
peer who is long gone. The kernel tells that a peer has closed both directions without anybody
reading; asyncio does not pass it on, so this asks for it.
"""

import asyncio
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MAX_AT_A_TIME = 256
"""Peers told of in one turn of the loop; the rest in the next."""


class Hangups:
    """Tells once, for each descriptor that is watched, when its peer is gone."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._told: dict[int, Callable[[], None]] = {}

    @classmethod
    @contextmanager
    def open(cls) -> "Iterator[Hangups]":
        loop = asyncio.get_running_loop()
        with select.epoll() as epoll:
            hangups = cls(epoll)
            loop.add_reader(epoll.fileno(), hangups._look)
            try:
                yield hangups
            finally:
                loop.remove_reader(epoll.fileno())

    def watch(self, descriptor: int, tell: Callable[[], None]) -> None:
        # Hangups are always reported, also to those who ask for nothing.
        self._epoll.register(descriptor, select.EPOLLONESHOT)
        self._told[descriptor] = tell

    def forget(self, descriptor: int) -> None:
        """To be called before the descriptor is closed."""
        if not self._epoll.closed and self._told.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _look(self) -> None:
        for descriptor, _ in self._epoll.poll(0, MAX_AT_A_TIME):
            self._told[descriptor]()
