"""What all sessions together may hold, and who goes on when that is spent.

Each session is bounded by itself: a message of the largest size that it receives, some that wait,
one that is worked on, and one answer that its client does not read. A thousand of them are more
than a machine has. So what is beyond a little comes out of one budget, and a session asks before
it reads more, or makes a large answer. Who gets nothing waits; its client waits in the kernel.

Waiting alone could last for ever: all could hold half of what they need, or never read what they
were given. So there is an *elder*: one session at a time that gets what it asks for beside the
budget. It holds what a session may hold and no more, so the whole is bounded; and it comes to an
end, so the next one gets its turn. The client processes take turns at it, however many connections
each of them has. A session that waits on its client is cut off when others wait for room and its
client has moved too few bytes since the last look. Nobody is cut off while there is room.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

LITTLE_BYTES = 16 << 10
"""What a session may always hold. Times the number of connections it is 16 MiB."""

MAX_SHARED_BYTES = 12 << 20
"""Of messages and answers as they are on the wire, of all sessions but the elder. With what a
thousand sessions cost, their little, and the largest message and its copy at the elder, the daemon
grows by less than 64 MiB. The block that is kept (`torcd.kept_block`) is one that some of them take
next, or goes within a second."""

PATIENCE_SECONDS = 0.25
"""Between looks at those who hold much while others wait."""

LEAST_MOVED_BYTES = 64 << 10
"""In that time: what a client can do whose machine is so busy that it gets its turn but once. The
largest value takes some hundredths of a second to read or write."""


MUCH_BYTES = 4 << 20
"""Held by all, and then by none: worth giving back to the system."""


class Holder(Protocol):
    """A session, as the budget sees it."""

    peer_pid: int

    def room_given(self) -> None:
        """What it asked for last, it has now."""

    def moved_bytes(self) -> int | None:
        """What its client has sent and read so far; None: it is the daemon that takes its time."""

    def cut_off(self, problem: str) -> None: ...


class _Nobody:
    peer_pid = -1

    def room_given(self) -> None: ...
    def moved_bytes(self) -> int | None:
        return None

    def cut_off(self, problem: str) -> None: ...


_NOBODY = _Nobody()


class Share:
    """What one session holds beyond a little, and what it waits for."""

    __slots__ = ("held_bytes", "holder", "is_over", "memory", "moved_bytes", "wanted_bytes")

    def __init__(self, memory: "Memory", holder: Holder) -> None:
        self.memory = memory
        self.holder: Holder = holder
        self.held_bytes = 0
        self.wanted_bytes = 0
        """More than it holds, if it waits."""
        self.moved_bytes: int | None = None
        """At the last look."""
        self.is_over = False

    def hold(self, size_bytes: int) -> bool:
        """So much from now on, in place of what it held or asked for. False: there is no room now;
        it holds what it held, and is told when there is."""
        if size_bytes <= LITTLE_BYTES:
            if not self.held_bytes and not self.wanted_bytes:
                return True
            size_bytes = 0
        return self.is_over or self.memory.change(self, size_bytes)

    def give_back(self) -> None:
        """The session is over, whatever its task still does."""
        self.hold(0)
        self.is_over = True
        self.holder = _NOBODY  # no circle: the collector runs seldom


class Memory:
    """The budget, and what is spent of it."""

    def __init__(self, much_is_free: Callable[[], None] = lambda: None) -> None:
        self._much_is_free = much_is_free
        self._shared_bytes = 0
        """What all hold but the elder."""
        self._held_bytes = 0
        """By all, the elder too."""
        self._most_bytes = 0
        """Of that, since nobody held anything."""
        self._elder: Share | None = None
        self._holders: dict[Share, None] = {}
        self._line: dict[Share, None] = {}
        """Who waits, the first first."""
        self._turns: dict[int, int] = {}
        """When each client process was last the elder, counted, while any waits."""
        self._look: asyncio.TimerHandle | None = None

    def change(self, share: Share, size_bytes: int) -> bool:
        if size_bytes > share.held_bytes and not self._has_room(share, size_bytes):
            share.wanted_bytes = size_bytes
            self._line[share] = None
            self._look_again()
            return False
        is_less = size_bytes < share.held_bytes
        self._set(share, size_bytes)
        if is_less and self._line:
            self._serve_line()
        return True

    def _has_room(self, share: Share, size_bytes: int) -> bool:
        if share is self._elder:
            return True
        if self._shared_bytes - share.held_bytes + size_bytes <= MAX_SHARED_BYTES:
            return True
        if self._elder is None and (not self._line or self._next_elder() is share):
            self._elder = share
            self._shared_bytes -= share.held_bytes
            self._turns[share.holder.peer_pid] = max(self._turns.values(), default=0) + 1
            return True
        return False

    def _next_elder(self) -> Share:
        return min(self._line, key=lambda share: self._turns.get(share.holder.peer_pid, 0))

    def _set(self, share: Share, size_bytes: int) -> None:
        if share is not self._elder:
            self._shared_bytes += size_bytes - share.held_bytes
        elif not size_bytes:
            self._elder = None
        self._held_bytes += size_bytes - share.held_bytes
        self._most_bytes = max(self._most_bytes, self._held_bytes)
        if not self._held_bytes:
            if self._most_bytes >= MUCH_BYTES:
                self._much_is_free()
            self._most_bytes = 0
        share.held_bytes = size_bytes
        share.wanted_bytes = 0
        self._line.pop(share, None)
        if size_bytes:
            self._holders[share] = None
        else:
            self._holders.pop(share, None)
            share.moved_bytes = None

    def _serve_line(self) -> None:
        """Whoever fits, the first first: small ones need not wait for a large one before them."""
        elder_first = [self._next_elder(), *self._line]
        for share in elder_first:
            if share in self._line and self._has_room(share, share.wanted_bytes):
                self._set(share, share.wanted_bytes)
                share.moved_bytes = None
                share.holder.room_given()

    def _look_again(self) -> None:
        if self._look is None:
            loop = asyncio.get_running_loop()
            self._look = loop.call_later(PATIENCE_SECONDS, self._cut_off_idlers)

    def _cut_off_idlers(self) -> None:
        self._look = None
        if not self._line:
            self._turns.clear()
            for share in self._holders:
                share.moved_bytes = None
            return
        for share in list(self._holders):
            before = share.moved_bytes
            moved = None if share in self._line else share.holder.moved_bytes()
            share.moved_bytes = moved
            if before is not None and moved is not None and moved - before < LEAST_MOVED_BYTES:
                share.holder.cut_off("too slow with a large message while others wait for room")
        self._look_again()
