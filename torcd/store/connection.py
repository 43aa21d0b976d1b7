"""A SQLite connection on a thread of its own."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import aiosqlite
import anyio
from anyio import to_thread

from torcd import time_slice

T = TypeVar("T")


class ThreadedConnection(aiosqlite.Connection):
    """An aiosqlite connection that can also be handed a whole function: many statements for one
    trip to its thread and back, and nothing of another caller's between them. While its thread has
    nothing to do, the caller may run one itself, without the trip."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(lambda: connection, iter_chunk_size=64)
        # Each is raised by one thread only, so neither needs a lock.
        self._handed = 0
        self._finished = 0
        """Of what the thread was handed."""
        (self._busy_milliseconds,) = connection.execute("PRAGMA busy_timeout").fetchone()
        self._is_patient = True
        """It waits for locks of other programs."""

    def at_hand(self) -> sqlite3.Connection | None:
        """The connection, for the caller's thread, which is that of the loop: to be used before he
        waits for anything. It does not wait for locks of other programs (BUSY). None: not while the
        thread is at it."""
        if self._finished != self._handed or not self._running or self._connection is None:
            return None
        if self._is_patient:
            self._have_patience(False)
        return self._connection

    def _have_patience(self, wanted: bool) -> None:
        if wanted is not self._is_patient:
            milliseconds = self._busy_milliseconds if wanted else 0
            self._conn.execute(f"PRAGMA busy_timeout = {milliseconds}").fetchall()
            self._is_patient = wanted

    def _for_the_thread(self, function: Callable[[], T]) -> Callable[[], T]:
        def work() -> T:
            try:
                self._have_patience(True)
                return function()
            finally:
                self._finished += 1

        self._handed += 1
        return work

    async def _execute(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Of aiosqlite: all goes through here but the end of the thread, after which it does not
        run."""
        work = self._for_the_thread(partial(fn, *args, **kwargs))
        result: T = await super()._execute(work)  # type: ignore[no-untyped-call]
        return result

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What `function` returns or raises. If the caller is cancelled, it runs to its end all
        the same."""
        # The thread keeps what it did last until there is more to do: not the values in it.
        todo, done = [function], []

        def work(connection: sqlite3.Connection) -> None:
            done.append(todo.pop()(connection))

        await self._execute(work, self._conn)
        return done.pop()

    def afterwards(self, function: Callable[[sqlite3.Connection], None]) -> None:
        """Have it done before anything that is asked for later. Nobody waits for it or hears of
        it, so it must not raise."""
        unheard = asyncio.get_running_loop().create_future()
        work = self._for_the_thread(partial(function, self._conn))
        self._tx.put_nowait((unheard, work))


@asynccontextmanager
async def on_its_thread(
    connect: Callable[[], sqlite3.Connection],
) -> AsyncIterator[ThreadedConnection]:
    """The connection that `connect` opens (which may block, and must allow other threads);
    closed, and its thread ended, in every case.

    Both ends are shielded: cut short, they would leave the thread behind. And `connect` runs
    elsewhere: if it failed on the thread, that would end at a time of its own choosing, perhaps
    after the event loop that it reports to.
    """
    with anyio.CancelScope(shield=True):
        connection = ThreadedConnection(await to_thread.run_sync(connect))
        await connection
        await connection.call(lambda _: time_slice.ask_for_a_short_one())
    try:
        yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()
