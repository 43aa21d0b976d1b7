"""Disks that are really full: small file systems in memory, which nobody else sees.

The process of the tests goes into a mount namespace of its own for as long as such a test runs, and
so do the daemons that it starts meanwhile. That takes root.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CLONE_NEWNS = 0x0002_0000
_MS_REC_PRIVATE = 0x4000 | 0x4_0000
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


class SmallDisk:
    """A file system of its own. `size_bytes` and `inodes` are all there is."""

    def __init__(self, path: Path, size_bytes: int, inodes: int = 1_000) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = f"size={size_bytes},nr_inodes={inodes},mode=0700"
        _check(_libc.mount(b"tmpfs", bytes(path), b"tmpfs", 0, options.encode()))

    @classmethod
    def of_btrfs(cls, path: Path, image: Path) -> "SmallDisk":
        """One that copies what is written; as small as such a one can be. Skips without mkfs."""
        if shutil.which("mkfs.btrfs") is None:
            pytest.skip("btrfs-progs is not installed")
        image.touch()
        os.truncate(image, 120 << 20)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        subprocess.run(["mkfs.btrfs", "--quiet", image], check=True)
        done = subprocess.run(["mount", "-o", "loop", image, path], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no btrfs can be mounted here: {done.stderr}")
        path.chmod(0o700)
        disk = cls.__new__(cls)
        disk.path = path
        return disk

    def fill(self) -> None:
        """To the last byte."""
        with (self.path / "ballast").open("ab", buffering=0) as file, _until_full():
            while True:
                file.write(bytes(1 << 20))
        with (self.path / "crumbs").open("ab", buffering=0) as file, _until_full():
            while True:
                file.write(bytes(1 << 9))

    def use_up_inodes(self) -> None:
        """No file can be made any more."""
        (self.path / "many").mkdir()
        with _until_full():
            n = 0
            while True:
                (self.path / "many" / str(n)).touch()
                n += 1

    def make_room(self) -> None:
        for name in ("ballast", "crumbs"):
            (self.path / name).unlink(missing_ok=True)
        many = self.path / "many"
        if many.exists():
            for file in many.iterdir():
                file.unlink()
            many.rmdir()


@contextmanager
def _until_full() -> Iterator[None]:
    with pytest.raises(OSError, match="No space left"):
        yield


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def private_mounts() -> Iterator[Callable[..., SmallDisk]]:
    """What mounts a small disk; all are gone after the block. Skips where it cannot be done."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system to fill")
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    disks: list[SmallDisk] = []
    try:
        try:
            _check(_libc.unshare(_CLONE_NEWNS))
            _check(_libc.mount(None, b"/", None, _MS_REC_PRIVATE, None))
        except OSError as error:
            pytest.skip(f"no mount namespace of its own can be had here: {error}")

        def mount(
            path: Path, size_bytes: int, inodes: int = 1_000, *, btrfs: Path | None = None
        ) -> SmallDisk:
            """`btrfs`: one of that kind, whatever its size, in this file."""
            if btrfs is None:
                disks.append(SmallDisk(path, size_bytes, inodes))
            else:
                disks.append(SmallDisk.of_btrfs(path, btrfs))
            return disks[-1]

        yield mount
    finally:
        for disk in reversed(disks):
            _libc.umount2(bytes(disk.path), _MNT_DETACH)
        _libc.setns(before, _CLONE_NEWNS)
        os.close(before)
