"""A large value is where it came in, from the socket to the disk and back: counted in bytes."""

import socket
import threading
import tracemalloc
from pathlib import Path

import anyio
import structlog
from anyio import to_thread
from msgspec import structs

from tests.unit.server.test_quick import World, world
from torcd import value
from torcd.protocol.user_data import Store
from torcd.server import calls
from torcd.server.listener import Door, bind

SIZE_BYTES = 12 << 20

FEW_BYTES = 4 << 20
"""What a message has come to when it gets a block of its own, and some pieces."""


def ask(path: Path, message: bytes, answer: bytearray) -> bytearray:
    """Into memory that is there already."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        sending = threading.Thread(target=client.sendall, args=(message,))
        sending.start()
        view, size = memoryview(answer), 0
        while count := client.recv_into(view[size:]):
            size += count
            if answer[size - 1] == 0:
                break
        sending.join()
        return answer[:200]


async def copied_bytes(here: World, path: Path, message: bytes) -> int:
    """The most that Python has had in use at a time, beyond what it had before."""
    answer = bytearray(SIZE_BYTES + 10_000)
    tracemalloc.start()
    try:
        head = await to_thread.run_sync(ask, path, message, answer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert head.startswith(b'{"parameters":{"record":'), head
    assert b"x" * SIZE_BYTES in answer
    return peak


async def test_a_large_value_is_copied_nowhere(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        controller = here.life.controller
        controller.settings = structs.replace(controller.settings, max_value_bytes=16 << 20)
        path = tmp_path / "s"
        door = Door(here.handlers, 16 << 20, structlog.get_logger())
        with anyio.fail_after(60):
            async with door.open(bind(str(path))):
                store = here.call("Store", name="out", data="x" * SIZE_BYTES) + b"\0"
                assert await copied_bytes(here, path, store) < FEW_BYTES
                fetch = here.call("Fetch", name="out") + b"\0"
                assert await copied_bytes(here, path, fetch) < FEW_BYTES


async def test_a_large_store_is_decoded_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        text = b'"%s"' % (b"x" * calls.LARGE_BYTES)
        message = here.call("Store", name="out", data="DATA").replace(b'"DATA"', text)
        method, call = calls.decode(memoryview(message))
        assert method == "io.torcd.UserData.Store"
        assert isinstance(call.parameters, Store)
        assert memoryview(call.parameters.data) == text
        # What is wrong with one is said as it is of a small one.
        wrong = message.replace(b'"name"', b'"nome"')
        method, call = calls.decode(memoryview(wrong))
        assert not isinstance(call.parameters, Store)
        assert call.parameters is not None
        assert b"nome" in bytes(call.parameters)


def test_a_plain_text_is_looked_at_where_it_is() -> None:
    piece = value._PIECE_BYTES
    plain = b'"%s"' % (b"x" * (2 * piece))
    whole = value.parse(plain, name="v")
    in_place = value.parse_in_place(memoryview(plain))
    assert in_place is not None
    assert isinstance(in_place.text, memoryview)
    assert (in_place.text, in_place.sha256) == (whole.text, whole.sha256)
    for at in (1, piece - 1, piece, 2 * piece):
        for other in (b"\\", b"\xc3"):
            text = plain[:at] + other + plain[at + 1 :]
            assert value.parse_in_place(memoryview(text)) is None
    assert value.parse_in_place(memoryview(b"[1]")) is None
    assert value.parse_in_place(memoryview(plain), max_bytes=len(plain) - 1) is None
