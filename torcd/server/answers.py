"""An answer as it is written: in pieces, so that no large value is copied into it, and a list of
large values is never in memory whole."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from anyio.lowlevel import checkpoint

from torcd.protocol import envelope
from torcd.protocol import user_data as u
from torcd.server.memory import LITTLE_BYTES

ITEMS_AT_ONCE = 1_000
"""Of a list that are made into text in one go; then others are served."""


class Later(msgspec.Struct, frozen=True):
    """A value that is read when its turn has come to be written; `read` may raise TorcError."""

    size_bytes: int
    read: Callable[[], Awaitable[memoryview]]


class Listing(msgspec.Struct, frozen=True):
    """A reply of a list of items. Some of them, by their position, get their data LATER: theirs is
    its place."""

    items: list[Any]
    later: dict[int, Later]


Pieces = list[bytes | memoryview | Later]

_PLACE = b"\x01"
"""Of data: no other JSON text has this byte."""

LATER = msgspec.Raw(_PLACE)

_encode = msgspec.json.Encoder().encode


async def pieces_of(reply: msgspec.Struct, *, continues: bool = False) -> Pieces:
    """A whole message, its NUL included."""
    if isinstance(reply, u.RecordReply) and isinstance(reply.record.data, msgspec.Raw):
        value = memoryview(reply.record.data)
        if value.nbytes > LITTLE_BYTES:
            without = u.RecordReply(msgspec.structs.replace(reply.record, data=LATER))
            text = envelope.encode_reply(without, continues=continues)
            before, _, after = text.partition(_PLACE)
            return [before, value, after]
    if isinstance(reply, Listing):
        return await _list(reply.items, reply.later)
    items: list[Any] = getattr(reply, "items", [])
    if len(items) > ITEMS_AT_ONCE and reply.__struct_fields__ == ("items",):
        return await _list(items, {})
    return [envelope.encode_reply(reply, continues=continues)]


async def _list(items: list[Any], later: dict[int, Later]) -> Pieces:
    pieces: Pieces = []
    text = bytearray(b'{"parameters":{"items":[')
    for start in range(0, len(items), ITEMS_AT_ONCE):
        for n, item in enumerate(items[start : start + ITEMS_AT_ONCE], start):
            if n:
                text += b","
            if n in later:
                before, _, after = _encode(item).partition(_PLACE)
                pieces += [bytes(text + before), later[n]]
                text = bytearray(after)
            else:
                text += _encode(item)
        pieces.append(bytes(text))
        text.clear()
        await checkpoint()
    return [*pieces, bytes(text) + b"]}}\0"]


def size_of(pieces: Pieces) -> int:
    """What it takes to write them, in bytes."""
    now = sum(len(piece) for piece in pieces if not isinstance(piece, Later))
    return now + max((piece.size_bytes for piece in pieces if isinstance(piece, Later)), default=0)
