"""The async client: the same promises, and what is its own (cancellation, tasks)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from tests.unit.client.scripted_daemon import Call, InTurn, Peer, ScriptedDaemon, record, workflow
from torcd import errors
from torcd.client import AsyncClient, Client, async_calls
from torcd.protocol import user_data as u


@pytest.fixture
async def client(daemon: ScriptedDaemon) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(daemon.path, restart_timeout_seconds=0) as client:
        yield client


@pytest.fixture
async def patient(daemon: ScriptedDaemon) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(daemon.path, restart_timeout_seconds=30) as client:
        yield client


def stores(call: Call, peer: Peer) -> None:
    peer.reply(record=record(call.parameters["name"], data=call.parameters["data"]))


def closes(_: Call, peer: Peer) -> None:
    peer.close()


def test_it_has_the_methods_of_the_blocking_client() -> None:
    def public(cls: type) -> set[str]:
        return {name for name in vars(cls) if not name.startswith("_")}

    assert public(AsyncClient) - {"aclose"} == public(Client) - {"close"}


async def test_a_value_goes_both_ways_over_one_connection(
    daemon: ScriptedDaemon, client: AsyncClient
) -> None:
    daemon.script = stores
    value = {"big": 10**3000, "text": "x" * 16_000_000}
    assert (await client.store("x", value)).revision == 1
    sent = daemon.calls[0].parameters["data"]
    daemon.script = lambda call, peer: peer.reply(record=record(data=sent))
    assert await client.fetch("x") == value
    assert len(daemon.peers) == 1


async def test_every_method_for_reading_works(daemon: ScriptedDaemon, client: AsyncClient) -> None:
    replies: dict[str, dict[str, Any]] = {
        "Fetch": {"record": record(data=1)},
        "List": {"items": [record()]},
        "History": {"items": []},
        "Submit": {"key": "1", "name": "w", "jobs": 1},
        "GetWorkflow": {"workflow": workflow()},
        "ListJobs": {"items": []},
        "ListResults": {"items": []},
        "Cancel": {"workflow_key": "1", "jobs": []},
    }
    daemon.script = lambda call, peer: peer.reply(**replies[call.method])
    assert (await client.record("x")).name == "x"
    assert [found.name for found in await client.list()] == ["x"]
    assert await client.history("x") == []
    assert (await client.submit({"jobs": []}, environment={})).key == "1"
    assert (await client.status()).name == "w"
    assert await client.jobs() == []
    assert await client.results() == []
    assert (await client.cancel()).jobs == []


async def test_an_error_of_the_daemon_is_raised_and_the_connection_kept(
    daemon: ScriptedDaemon, client: AsyncClient
) -> None:
    daemon.script = lambda call, peer: peer.error("io.torcd.UserData.NoValue", message="not yet")
    for _ in range(2):
        with pytest.raises(errors.NoValue, match="not yet"):
            await client.fetch("x")
    assert len(daemon.peers) == 1


async def test_garbage_is_an_error_and_the_next_call_has_a_new_connection(
    daemon: ScriptedDaemon, client: AsyncClient
) -> None:
    daemon.script = InTurn(lambda call, peer: peer.raw(b"garbage\0"), stores)
    with pytest.raises(errors.InvalidMessage):
        await client.fetch("x")
    await client.store("x", 1)
    assert len(daemon.peers) == 2


async def test_nobody_at_the_socket_is_no_daemon(
    daemon: ScriptedDaemon, client: AsyncClient
) -> None:
    daemon.stop()
    with pytest.raises(errors.NoDaemon, match="torcctl daemon start"):
        await client.status()


async def test_a_read_waits_for_a_daemon_that_is_starting(
    daemon: ScriptedDaemon, patient: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.script = lambda call, peer: peer.reply(record=record(data=1))
    daemon.stop()
    pause = async_calls.pause

    async def start_then(*arguments: Any) -> None:
        await pause(*arguments)
        daemon.start()

    monkeypatch.setattr(async_calls, "pause", start_then)
    assert await patient.fetch("x") == 1


async def test_an_idle_connection_of_an_earlier_daemon_is_not_noticed(
    daemon: ScriptedDaemon, client: AsyncClient
) -> None:
    daemon.script = stores
    await client.store("x", 1)
    daemon.stop()
    daemon.start()
    await client.store("x", 2)
    assert [call.parameters["data"] for call in daemon.calls] == [1, 2]


async def test_what_is_not_safe_to_repeat_is_sent_once(
    daemon: ScriptedDaemon, patient: AsyncClient
) -> None:
    daemon.script = closes
    with pytest.raises(errors.NoDaemon, match="may or may not"):
        await patient.cancel()
    assert len(daemon.calls) == 1


async def test_what_is_not_safe_to_repeat_never_goes_into_an_old_connection(
    daemon: ScriptedDaemon, client: AsyncClient
) -> None:
    daemon.script = lambda call, peer: peer.reply(record=record(), workflow_key="1", jobs=[])
    await client.store("x", 1)
    daemon.stop()
    daemon.start()
    await client.cancel()
    assert [call.method for call in daemon.calls] == ["Store", "Cancel"]


async def test_a_store_whose_answer_is_lost_is_sent_again(
    daemon: ScriptedDaemon, patient: AsyncClient
) -> None:
    daemon.script = InTurn(closes, stores)
    await patient.store("x", 1)
    assert [call.method for call in daemon.calls] == ["Store", "Store"]


async def test_a_huge_value_that_the_daemon_does_not_read_is_too_large(
    daemon: ScriptedDaemon, patient: AsyncClient
) -> None:
    daemon.read_calls = False
    with pytest.raises(errors.TooLarge):
        await patient.store("x", "x" * 20_000_000)


async def test_a_daemon_that_never_answers_is_a_timeout(
    daemon: ScriptedDaemon, client: AsyncClient
) -> None:
    daemon.script = lambda call, peer: None
    with pytest.raises(errors.TimedOut):
        await client.fetch("x", wait=True, timeout=0.05)
    with pytest.raises(errors.TimedOut):
        await client.wait(timeout=0.05)


async def test_a_call_that_is_cancelled_leaves_no_answer_for_the_next(
    daemon: ScriptedDaemon, client: AsyncClient
) -> None:
    asked = anyio.Event()
    loop = asyncio.get_running_loop()

    def never(call: Call, peer: Peer) -> None:
        loop.call_soon_threadsafe(asked.set)

    daemon.script = InTurn(never, lambda call, peer: peer.reply(record=record(data="second")))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.fetch, "x")
        await asked.wait()
        tasks.cancel_scope.cancel()
    assert await anyio.to_thread.run_sync(daemon.peers[0].gone.wait, 10)
    assert await client.fetch("x") == "second"


async def test_tasks_do_not_wait_for_each_other(
    daemon: ScriptedDaemon, client: AsyncClient
) -> None:
    waiting: list[Peer] = []

    def script(call: Call, peer: Peer) -> None:
        if call.method == "Fetch":
            waiting.append(peer)
        else:
            stores(call, peer)
        if len(daemon.calls) == 2:
            waiting[0].reply(record=record(data="waited"))

    daemon.script = script
    fetched: list[Any] = []

    async def fetch() -> None:
        fetched.append(await client.fetch("x", wait=True))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fetch)
        while not daemon.calls:
            await anyio.lowlevel.checkpoint()
        await client.store("x", 1)
    assert fetched == ["waited"]


async def test_a_stream_that_is_left_early_closes_its_connection(
    daemon: ScriptedDaemon, client: AsyncClient
) -> None:
    daemon.script = lambda call, peer: peer.reply(continues=True, record=record())
    async with aclosing(client.stream(u.Watch())) as stream:
        await anext(stream)
    assert await anyio.to_thread.run_sync(daemon.peers[0].gone.wait, 10)


async def test_a_watch_goes_on_after_a_restart_and_shows_no_record_twice(
    daemon: ScriptedDaemon, patient: AsyncClient
) -> None:
    def first(call: Call, peer: Peer) -> None:
        peer.reply(continues=True, record=record(revision=1))
        peer.close()

    def second(call: Call, peer: Peer) -> None:
        peer.reply(continues=True, record=record(revision=1))
        peer.reply(record=record(revision=2))

    daemon.script = InTurn(first, second)
    assert [found.revision async for found in patient.watch("x")] == [1, 2]


async def test_a_wait_for_a_workflow_ends_when_it_is_over(
    daemon: ScriptedDaemon, patient: AsyncClient
) -> None:
    def first(call: Call, peer: Peer) -> None:
        peer.reply(continues=True, workflow=workflow(key="3"))
        peer.close()

    daemon.script = InTurn(first, lambda call, peer: peer.reply(workflow=workflow("failed")))
    assert (await patient.wait()).status.value == "failed"
    assert [call.parameters for call in daemon.calls] == [{}, {"workflow_key": "3"}]
