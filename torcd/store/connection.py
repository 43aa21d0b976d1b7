"""A SQLite connection on a thread of its own."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import aiosqlite
import anyio
from anyio import to_thread

T = TypeVar("T")


class ThreadedConnection(aiosqlite.Connection):
    """An aiosqlite connection that can also be handed a whole function: many statements for one
    trip to its thread and back, and nothing of another caller's between them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(lambda: connection, iter_chunk_size=64)

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What `function` returns or raises. If the caller is cancelled, it runs to its end all
        the same."""
        # The thread keeps what it did last until there is more to do: not the values in it.
        todo, done = [function], []

        def work(connection: sqlite3.Connection) -> None:
            done.append(todo.pop()(connection))

        await self._execute(work, self._conn)  # type: ignore[no-untyped-call]
        return done.pop()

    def afterwards(self, function: Callable[[sqlite3.Connection], None]) -> None:
        """Have it done before anything that is asked for later. Nobody waits for it or hears of
        it, so it must not raise."""
        unheard = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((unheard, partial(function, self._conn)))


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
    try:
        yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()
