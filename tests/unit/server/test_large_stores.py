"""A large value is hashed and looked at while it is written."""

import errno
import os
from pathlib import Path
from unittest import mock

import anyio
import msgspec
import pytest
from msgspec import structs

from tests.unit.server.test_quick import World, world
from torcd import value
from torcd.store import durable
from torcd.store.value_files import LARGE_BYTES

PLAIN = "x" * LARGE_BYTES
ESCAPED = '\\"' + PLAIN


async def stored(here: World, data: object) -> bytes:
    controller = here.life.controller
    controller.settings = structs.replace(controller.settings, max_value_bytes=2 * LARGE_BYTES)
    with anyio.fail_after(60):
        return await here.handled(here.call("Store", name="out", data=data))


def files_of(here: World) -> set[str]:
    return here.life.controller.store.files.found()


@pytest.mark.parametrize(
    "data", [PLAIN, ESCAPED, "é" + PLAIN, [PLAIN, 1.50]], ids=["plain", "escaped", "é", "list"]
)
async def test_its_file_is_there_when_it_is_acknowledged(tmp_path: Path, data: object) -> None:
    text = msgspec.json.encode(data)
    async with world(tmp_path) as here:
        answer = await stored(here, data)
        record = msgspec.json.decode(answer[:-1])["parameters"]["record"]
        assert record["revision"] == 1
        assert record["sha256"] == value.parse(text, name="out", max_bytes=len(text)).sha256
        assert len(files_of(here)) == 1


@pytest.mark.parametrize("data", [PLAIN, ESCAPED], ids=["plain", "escaped"])
@pytest.mark.parametrize("what", ["open", "write", "fsync"])
async def test_whose_file_cannot_be_written_is_told_so(
    tmp_path: Path, data: str, what: str
) -> None:
    async with world(tmp_path) as here:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        directory = str(here.life.controller.store.files._directory)
        real = getattr(os, what)

        def fail(file: str | int, *rest: object) -> object:
            name = os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else str(file)
            if directory in name:
                raise full
            return real(file, *rest)

        with mock.patch.object(os, what, fail):
            answer = await stored(here, data)
        assert b"NoSpace" in answer, answer[:300]
        assert not files_of(here)
        assert b'"revision":1,' in await stored(here, data)


async def test_the_disk_is_at_work_when_it_is_looked_at(tmp_path: Path) -> None:
    done: list[object] = []

    def written(descriptor: int, at: int, size_bytes: int, flags: int) -> int:
        done.append((at, size_bytes))
        return 0

    with mock.patch.object(os, "fsync", side_effect=lambda _: done.append("synced")):
        descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
        try:
            content = memoryview(PLAIN.encode() + b"more")
            with mock.patch.object(durable, "_sync_file_range", written):
                durable.write(descriptor, content, meanwhile=lambda: done.append("looked at"))
        finally:
            os.close(descriptor)
    assert done == [(0, LARGE_BYTES), (LARGE_BYTES, 4), "looked at", "synced"]
    assert (tmp_path / "file").read_bytes() == content
