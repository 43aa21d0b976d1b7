"""A SQLite connection on a thread of its own."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, cast

import aiosqlite
import anyio

T = TypeVar("T")


class ThreadedConnection(aiosqlite.Connection):
    """An aiosqlite connection that can also be handed a whole function: many statements for one
    trip to its thread and back, and nothing of another caller's between them."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What `function` returns or raises. If the caller is cancelled, it runs to its end all
        the same."""
        return cast("T", await self._execute(function, self._conn))  # type: ignore[no-untyped-call]


@asynccontextmanager
async def on_its_thread(
    connector: Callable[[], sqlite3.Connection],
) -> AsyncIterator[ThreadedConnection]:
    """Opens by `connector`, on the thread; closes, and ends the thread, in every case.

    Both are shielded: cut short, they would leave the thread behind.
    """
    connection = ThreadedConnection(connector)
    with anyio.CancelScope(shield=True):
        await connection
    try:
        yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()
