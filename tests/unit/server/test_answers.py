"""Answers in pieces: together they are what they would be in one, and no value is copied."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.controller.still_life import NO_CALL, still_life
from torcd import errors
from torcd.protocol import envelope
from torcd.protocol import manager as m
from torcd.protocol import user_data as u
from torcd.server import answers
from torcd.server.answers import ITEMS_AT_ONCE, LATER, Later, Listing, pieces_of, size_of
from torcd.server.handlers import collections, data, records
from torcd.server.memory import LITTLE_BYTES

SPEC = json.dumps(
    {
        "user_data": [{"name": f'v{i}","data":null,\x01', "data": i} for i in range(5)],
        "jobs": [{"command": "true", "input_user_data_regexes": ["v"]} for _ in range(3)],
    }
).encode()


async def text_of(pieces: answers.Pieces) -> bytes:
    parts = [await piece.read() if isinstance(piece, Later) else bytes(piece) for piece in pieces]
    return b"".join(parts)


def record(name: str, value: bytes | msgspec.Raw | None = None) -> u.Record:
    data = msgspec.UNSET if value is None else msgspec.Raw(value)
    return u.Record(key="1", name=name, workflow_key="2", is_ephemeral=False, data=data)


@pytest.mark.parametrize("continues", [True, False])
@pytest.mark.parametrize("size", [1, LITTLE_BYTES, 10 * LITTLE_BYTES])
async def test_a_large_value_is_a_piece_of_its_own_and_not_copied(
    size: int, continues: bool
) -> None:
    text = b"[%s]" % (b"1" * size)
    reply = u.RecordReply(record('x","data":\x01', text))
    pieces = await pieces_of(reply, continues=continues)
    assert await text_of(pieces) == envelope.encode_reply(reply, continues=continues)
    if size > LITTLE_BYTES:
        _, value, _ = pieces
        assert isinstance(value, memoryview)
        assert value.obj is reply.record.data


@pytest.mark.parametrize("count", [0, 1, ITEMS_AT_ONCE, ITEMS_AT_ONCE + 1, 2 * ITEMS_AT_ONCE + 5])
async def test_a_long_list_is_the_same_in_pieces(count: int) -> None:
    reply = u.RecordsReply([record(f"v{n}", b"%d" % n) for n in range(count)])
    whole = envelope.encode_reply(reply)
    assert await text_of(await pieces_of(reply)) == whole
    assert await text_of(await pieces_of(Listing(reply.items, {}))) == whole


async def test_what_comes_later_is_in_its_place() -> None:
    async def read() -> bytes:
        return b'"here"'

    items = [record("a\x01", b"1"), record("b\x01", LATER), record("c")]
    pieces = await pieces_of(Listing(items, {1: Later(6_000, read)}))
    assert 6_000 < size_of(pieces) < 7_000
    items[1] = record("b\x01", b'"here"')
    assert await text_of(pieces) == envelope.encode_reply(u.RecordsReply(items))


@pytest.mark.parametrize(("free", "at_once"), [(0, 0), (2, 3), (1 << 20, 2), (1 << 20, 1 << 20)])
async def test_lists_of_values_are_the_same_whenever_the_values_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, at_once: int
) -> None:
    monkeypatch.setattr(records, "FREE_BYTES", free)
    for module in (records, collections):
        monkeypatch.setattr(module, "AT_ONCE_BYTES", at_once)
    async with still_life(tmp_path) as world:
        await world.submit(SPEC)
        name = 'v0","data":null,\x01'
        for value in (b"10", b'"eleven"'):
            await data.store(world.context, u.Store(data=msgspec.Raw(value), name=name), NO_CALL)

        async def told(reply: msgspec.Struct) -> Any:
            return json.loads((await text_of(await pieces_of(reply)))[:-1])["parameters"]["items"]

        listed = await told(await data.list_records(world.context, u.List(), NO_CALL))
        assert [item["data"] for item in listed] == ["eleven", 1, 2, 3, 4]
        history = await told(await data.history(world.context, u.History(name=name), NO_CALL))
        assert [item["data"] for item in history] == [0, 10, "eleven"]
        assert [item["revision"] for item in history] == [1, 2, 3]
        join = m.Join(name="job-consumes-data")
        joined = await told(await collections.join(world.context, join, NO_CALL))
        assert [item["to"]["data"] for item in joined] == ["eleven", 1, 2, 3, 4] * 3


async def test_a_value_that_is_deleted_before_its_turn_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "FREE_BYTES", 0)
    async with still_life(tmp_path) as world:
        await world.submit(SPEC)
        listing = await data.list_records(world.context, u.List(), NO_CALL)
        monkeypatch.setattr(world.controller.store, "value", _nothing)
        with pytest.raises(errors.NotFound, match="gone"):
            await text_of(await pieces_of(listing))


async def _nothing(*_: object, **__: object) -> None: ...
