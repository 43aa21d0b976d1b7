"""Sessions, with a door of their own and a dispatcher that answers when the test says so."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, cast

import anyio
import msgspec
import pytest
import structlog

from torcd.accounts import Peer
from torcd.protocol.manager import Nothing
from torcd.server import reading, session
from torcd.server.calls import Call, Dispatcher
from torcd.server.listener import Door, bind


class HeldDispatcher:
    def __init__(self) -> None:
        self.go_on = anyio.Event()
        self.methods: list[str] = []
        self.answered: Callable[[bytes], None] = lambda answer: None
        """Answers the call that was taken to be answered later."""

    def at_once(
        self, message: bytes, peer: Peer, answered: Callable[[bytes], None]
    ) -> bytes | Literal["later"] | None:
        """What is called so."""
        method = json.loads(message)["method"]
        if method == "later":
            self.methods.append(method)
            self.answered = answered
            return "later"
        return b'"at once"\0' if method == "at once" else None

    def may_wait(self, call: Call) -> bool:
        return call.more

    async def answer(self, call: Call) -> msgspec.Struct:
        self.methods.append(call.method)
        await self.go_on.wait()
        return Nothing()


@asynccontextmanager
async def door(path: Path) -> AsyncIterator[tuple[HeldDispatcher, Door]]:
    held = HeldDispatcher()
    opened = Door(cast("Dispatcher", held), 1 << 20, structlog.get_logger())
    with anyio.fail_after(10):
        async with opened.open(bind(str(path))):
            yield held, opened


CALL = b'{"method":"m"}\0'


async def _connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, str(path))
    return sock


async def test_time_in_which_a_client_is_not_read_does_not_count_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MESSAGE_DEADLINE_SECONDS", 0.05)
    loop = asyncio.get_running_loop()
    path = tmp_path / "s"
    async with door(path) as (held, _):
        with await _connect(path) as sock:
            count = session.MAX_WAITING_MESSAGES + 5
            await loop.sock_sendall(sock, CALL * count + CALL[:5])
            while not held.methods:
                await anyio.lowlevel.checkpoint()
            loop.call_later(0.2, held.go_on.set)  # four deadlines
            await held.go_on.wait()
            await loop.sock_sendall(sock, CALL[5:])
            answers = b""
            while answers.count(b"\0") <= count:
                piece: Any = await loop.sock_recv(sock, 1 << 16)
                assert piece, "the connection was closed"
                answers += piece


async def test_what_was_asked_is_done_though_the_peer_is_gone_and_nothing_waits_for_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    async with door(path) as (held, _):
        with await _connect(path) as sock:
            wait = b'{"method":"wait","more":true}\0'
            await asyncio.get_running_loop().sock_sendall(
                sock, wait + b'{"method":"do","oneway":true}\0' + wait
            )
            while not held.methods:
                await anyio.lowlevel.checkpoint()
        while "do" not in held.methods:
            await anyio.lowlevel.checkpoint()
        held.go_on.set()
        await anyio.wait_all_tasks_blocked()
        assert held.methods == ["wait", "do"]


async def test_answers_come_in_order_whoever_makes_them(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    path = tmp_path / "s"
    calls = ["at once", "later", "at once", "m", "later"]
    async with door(path) as (held, _):
        held.go_on.set()
        with await _connect(path) as sock:
            for call in calls:
                await loop.sock_sendall(sock, b'{"method":"%b"}\0' % call.encode())
            while not held.methods:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert held.methods == ["later"], "what is behind it has to wait"
            held.answered(b'"later"\0')
            answers = b""
            while answers.count(b"\0") < len(calls):
                piece: Any = await loop.sock_recv(sock, 1 << 16)
                assert piece, "the connection was closed"
                answers += piece
            handled = b'{"parameters":{}}'
            # What had to wait is answered by the handlers.
            assert answers.split(b"\0")[:-1] == [b'"at once"', b'"later"', *[handled] * 3]
            assert held.methods == calls[1:]


async def test_who_sends_no_more_gets_the_answer_that_is_to_come(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    path = tmp_path / "s"
    async with door(path) as (held, _):
        with await _connect(path) as sock:
            await loop.sock_sendall(sock, b'{"method":"later"}\0')
            sock.shutdown(socket.SHUT_WR)
            while not held.methods:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            held.answered(b'"later"\0')
            assert await loop.sock_recv(sock, 100) == b'"later"\0'
            assert await loop.sock_recv(sock, 100) == b""
