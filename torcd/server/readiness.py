"""Which connections have something to read, and whose peer is gone for good.

The loop watches one descriptor for all sessions: an epoll of their own. What is ready is served in
one go, without a callback being made for each; that was a third of what a small call costs.

A stream that a peer has closed is readable, and reading tells the end of it. But sessions do not
always read: not when the end of the other direction has been read already (`nc -N` closes its own
early), and not while too much is waiting. A call that may take for ever would then be kept for a
peer who is long gone. The kernel tells that a peer has closed both directions without anybody
reading, also to those who ask for nothing; in each turn, unless it is asked to do so once.
"""

import asyncio
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

MAX_AT_A_TIME = 256
"""Connections served in one turn of the loop; the others come first in the next one."""

_READ = select.EPOLLIN
_TELL_THE_END_ONCE = select.EPOLLONESHOT


class Watched(Protocol):
    is_reading: bool

    def readable(self) -> None:
        """There is something to read, the end of it perhaps. Told for as long as it is so."""

    def hung_up(self) -> None:
        """The peer neither sends nor reads any more. Told in each turn while this one reads, and
        once after each change: it may be told again."""

    def give_up(self) -> None:
        """`readable` has failed in a way that nobody foresaw."""


class Readiness:
    """Tells those who are watched, each by its descriptor."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._watched: dict[int, Watched] = {}

    @classmethod
    @contextmanager
    def open(cls) -> "Iterator[Readiness]":
        loop = asyncio.get_running_loop()
        with select.epoll() as epoll:
            readiness = cls(epoll)
            loop.add_reader(epoll.fileno(), readiness._look)
            try:
                yield readiness
            finally:
                loop.remove_reader(epoll.fileno())

    def watch(self, descriptor: int, watched: Watched) -> None:
        self._epoll.register(descriptor, _READ if watched.is_reading else _TELL_THE_END_ONCE)
        self._watched[descriptor] = watched

    def changed(self, descriptor: int) -> None:
        """Whoever is watched reads from now on, or does not."""
        if not self._epoll.closed:
            is_reading = self._watched[descriptor].is_reading
            self._epoll.modify(descriptor, _READ if is_reading else _TELL_THE_END_ONCE)

    def forget(self, descriptor: int) -> None:
        """To be called before the descriptor is closed: another connection may get its number."""
        if not self._epoll.closed and self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _look(self) -> None:
        for descriptor, events in self._epoll.poll(0, MAX_AT_A_TIME):
            watched = self._watched.get(descriptor)
            if watched is None:
                continue  # forgotten by one before it
            if events != _READ:
                watched.hung_up()
            if watched.is_reading:
                try:
                    watched.readable()
                except BaseException:
                    # The loop reports it. Those behind it are as ready in the next turn.
                    watched.give_up()
                    raise
