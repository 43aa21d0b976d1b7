"""A quota that is full, which SQLite reports as a disk that fails.

Not every kernel has quotas; so the answer of the kernel is put in its place, at the
lowest layer: a write of SQLite really fails (at a limit of the size of files), and to whoever asks
for room it is said that the quota is exceeded.
"""

import ctypes
import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.store_world import BOOT, create, data_key, save_value
from torcd.errors import NoSpace, StoreError
from torcd.store import Store, reserve


class QuotaExceeded:
    """What the kernel says to whoever wants blocks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "posix_fallocate", self._posix_fallocate)
        monkeypatch.setattr(reserve, "_fallocate", self._fallocate)

    def _posix_fallocate(self, descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    def _fallocate(self, *_: int) -> int:
        ctypes.set_errno(errno.EDQUOT)
        return -1


@contextmanager
def no_file_larger_than(size_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def write(store: Store, size: int, *, is_urgent: bool) -> None:
    await store.commit(
        [save_value(data_key(create()), 1, b'"%b"' % (b"x" * size))],
        [],
        environments={},
        boot_id=BOOT,
        is_urgent=is_urgent,
    )


@pytest.mark.parametrize("is_urgent", [False, True])
async def test_a_full_quota_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_urgent: bool
) -> None:
    async with Store.open(tmp_path / "torcd.db") as store:
        await store.commit([create()], [], environments={}, boot_id=BOOT)
        log_bytes = (tmp_path / "torcd.db-wal").stat().st_size
        with monkeypatch.context() as patch, no_file_larger_than(log_bytes + 4096):
            QuotaExceeded(patch)
            with pytest.raises(NoSpace):
                await write(store, 1_000_000, is_urgent=is_urgent)
        # It may be written to again.
        await write(store, 1_000_000, is_urgent=is_urgent)


async def test_a_write_that_fails_where_there_is_room_is_no_want_of_it(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "torcd.db") as store:
        await store.commit([create()], [], environments={}, boot_id=BOOT)
        with no_file_larger_than(1 << 19), pytest.raises(StoreError, match="the disk failed"):
            await write(store, 1_000_000, is_urgent=True)
