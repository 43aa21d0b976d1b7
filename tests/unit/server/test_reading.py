"""What a session reads and writes itself, past asyncio's transport."""

import asyncio
import gc
import os
import re
import socket
import weakref
from hashlib import sha256
from typing import Any

import anyio
import msgspec
import pytest

from tests.unit.server.one_session import Connection, connected
from torcd.server import session
from torcd.server.calls import Call

PAD = "x" * 100_000
"""Three answers with it are more than a socket takes."""


class Answer(msgspec.Struct):
    number: str
    pad: str = PAD


class Dispatcher:
    """Answers each call with its method, at once if it may."""

    def __init__(self) -> None:
        self.at_once_count = 0
        self.called: list[str] = []
        self.go_on = anyio.Event()
        self.go_on.set()

    def at_once(self, message: bytes, peer: object, answered: Any) -> bytes | None:
        number = re.search(rb'"(n\d+)"', message)
        if number is None:
            return None
        self.at_once_count += 1
        return b'{"parameters":{"number":"%s","pad":"%s"}}\0' % (number[1], PAD.encode())

    def may_wait(self, call: Call) -> bool:
        return call.more

    def is_safe_to_repeat(self, method: str) -> bool:
        return False

    async def answer(self, call: Call) -> msgspec.Struct:
        self.called.append(call.method)
        if not call.method.startswith("n"):
            await self.go_on.wait()
        return Answer(call.method)


async def _all(client: socket.socket, until: Any) -> bytes:
    found = b""
    while not until(found):
        piece = await asyncio.get_running_loop().sock_recv(client, 1 << 20)
        assert piece, "the connection was closed"
        found += piece
    return found


async def test_what_came_before_the_session_is_read_by_it_and_not_by_the_transport(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a Python whose transport begins to read after `connection_made` in any case (3.11.2)."""

    def add_reader(self: Any, descriptor: int, callback: Any) -> None:
        self._loop._add_reader(descriptor, callback)

    monkeypatch.setattr("asyncio.selector_events._SelectorTransport._add_reader", add_reader)
    async with connected(Dispatcher(), b'{"method":"n1"}\0') as connection:
        assert b'"n1"' in await _all(connection.client, lambda found: found.endswith(b"\0"))


async def test_answers_are_whole_and_in_order_when_the_client_reads_late() -> None:
    dispatcher = Dispatcher()
    async with connected(dispatcher) as connection:
        count = session.MAX_WAITING_MESSAGES
        for n in range(count):
            connection.client.send(b'{"method":"n%d"}\0' % n)
            connection.look()
        assert 0 < dispatcher.at_once_count < count, "who does not read is not answered at once"
        found = await _all(connection.client, lambda found: found.count(b"\0") == count)
        answers = [msgspec.json.decode(text)["parameters"] for text in found.split(b"\0")[:-1]]
        assert answers == [{"number": f"n{n}", "pad": PAD} for n in range(count)]


async def test_a_large_message_in_many_pieces_comes_with_what_is_behind_it() -> None:
    class Summary:
        def at_once(self, message: bytes, peer: object, answered: object) -> bytes:
            return b"%d %s\0" % (len(message), sha256(message).hexdigest().encode())

    messages = [os.urandom(3 << 20).replace(b"\0", b"1"), b"2", os.urandom(9_999).hex().encode()]
    async with connected(Summary()) as connection, anyio.create_task_group() as tasks:
        sent = b"".join(message + b"\0" for message in messages)
        tasks.start_soon(asyncio.get_running_loop().sock_sendall, connection.client, sent)
        found = await _all(connection.client, lambda found: found.count(b"\0") == len(messages))
    echo = Summary().at_once
    assert found == b"".join(echo(message, None, None) for message in messages)


def _is_watched(connection: Connection) -> bool:
    return bool(connection.readiness._watched)


async def test_who_sends_too_much_ahead_is_not_read_and_does_not_keep_the_loop_awake() -> None:
    dispatcher = Dispatcher()
    dispatcher.go_on = anyio.Event()
    async with connected(dispatcher) as connection:
        call = b'{"method":"m"}\0'
        connection.client.send(call * (session.MAX_WAITING_MESSAGES + 2))
        while not dispatcher.called:
            await anyio.lowlevel.checkpoint()
        connection.client.send(call)
        assert not connection.readiness._epoll.poll(0), "it would be told of it for ever"
        assert not connection.session._reader.is_reading
        dispatcher.go_on.set()
        answers = session.MAX_WAITING_MESSAGES + 3
        await _all(connection.client, lambda found: found.count(b"\0") == answers)


async def test_a_call_that_waits_ends_when_its_client_is_gone_though_it_is_not_read() -> None:
    dispatcher = Dispatcher()
    dispatcher.go_on = anyio.Event()
    async with connected(dispatcher) as connection:
        wait = b'{"method":"wait","more":true}\0'
        connection.client.send(wait + b'{"method":"m"}\0' * (session.MAX_WAITING_MESSAGES + 2))
        while not dispatcher.called:
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert not connection.session._reader.is_reading
        connection.client.close()
        while "m" not in dispatcher.called:
            await anyio.lowlevel.checkpoint()
        dispatcher.go_on.set()
        await connection.gone.wait()
        assert not _is_watched(connection)


async def test_who_has_sent_all_is_answered_and_does_not_keep_the_loop_awake() -> None:
    dispatcher = Dispatcher()
    dispatcher.go_on = anyio.Event()
    async with connected(dispatcher) as connection:
        connection.client.send(b'{"method":"m"}\0' * 3)
        connection.client.shutdown(socket.SHUT_WR)
        while not connection.session._has_ended:
            await anyio.lowlevel.checkpoint()
        assert not connection.readiness._epoll.poll(0), "the end is readable for ever"
        dispatcher.go_on.set()
        await _all(connection.client, lambda found: found.count(b"\0") == 3)
        await connection.gone.wait()
        assert not _is_watched(connection)


@pytest.mark.parametrize("rest", [b"", b'{"method":"n1"}\0', b'{"method":"n1'])
async def test_who_is_gone_leaves_nothing_behind(rest: bytes) -> None:
    """Nor a circle, which would be looked for seldom."""
    dispatcher = Dispatcher()
    async with connected(dispatcher) as connection:
        connection.client.send(rest)
        connection.client.close()
        await connection.gone.wait()
        await anyio.wait_all_tasks_blocked()
        assert not _is_watched(connection)
        gone = weakref.ref(connection.session)
        gc.disable()
    try:
        del connection
        await anyio.lowlevel.checkpoint()
        assert gone() is None
    finally:
        gc.enable()


async def test_what_was_asked_oneway_is_done_when_the_client_leaves_an_answer_unread() -> None:
    dispatcher = Dispatcher()
    async with connected(dispatcher) as connection:
        connection.client.send(b'{"method":"n1"}\0')
        connection.look()
        assert dispatcher.at_once_count == 1
        asked = [f"m{n}" for n in range(session.MAX_WAITING_MESSAGES)]
        for method in asked:
            connection.client.send(b'{"method":"%s","oneway":true}\0' % method.encode())
        connection.client.close()
        connection.look()
        connection.look()  # the kernel says that the connection was reset
        await connection.gone.wait()
        assert dispatcher.called == asked


async def test_who_is_gone_with_many_calls_ahead_is_not_logged_for_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dispatcher = Dispatcher()
    async with connected(dispatcher) as connection:
        connection.client.send(b'{"method":"n1"}\0' * 50)
        connection.client.close()
        await connection.gone.wait()
    assert dispatcher.at_once_count == 50
    assert not caplog.records


async def test_who_is_cut_off_is_read_no_more() -> None:
    dispatcher = Dispatcher()
    async with connected(dispatcher) as connection:
        connection.session.cut_off("for a reason")
        connection.session.room_given()  # it may have waited for that
        connection.client.send(b'{"method":"n1"}\0')
        assert not _is_watched(connection), "its number may be another's soon"
        connection.look()
        assert not dispatcher.at_once_count


class Echo:
    """Answers each message with itself, at once."""

    def at_once(self, message: bytes, peer: object, answered: Any) -> bytes:
        return bytes(message) + b"\0"


async def test_who_has_sent_a_whole_message_has_the_whole_time_for_the_next_one() -> None:
    async with connected(Echo()) as connection:  # type: ignore[arg-type]
        reader = connection.session._reader
        connection.client.send(b"a")
        connection.look()
        first = reader._deadline
        connection.client.send(b"a\0b")
        connection.look()
        assert connection.client.recv(10) == b"aa\0"
        assert first is not None
        assert first.cancelled()
        assert reader._deadline is not None
        assert not reader._deadline.cancelled()
