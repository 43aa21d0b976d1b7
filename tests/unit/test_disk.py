"""Whether there is room, asked of a disk that has none."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.full_disk import SmallDisk, private_mounts
from torcd import disk


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    with private_mounts() as mount:
        yield mount(tmp_path / "small", 1 << 20)


def test_there_is_room_for_what_fits_and_nothing_stays(small: SmallDisk) -> None:
    path = str(small.path)
    assert disk.has_room(path, 1 << 19)
    assert disk.has_room(path, 1 << 19)
    assert not disk.has_room(path, 2 << 20)
    small.fill()
    assert not disk.has_room(path, 1)
    small.make_room()
    assert disk.has_room(path, 1 << 19)
    assert list(small.path.iterdir()) == []


def test_without_inodes_there_is_no_room(small: SmallDisk) -> None:
    small.use_up_inodes()
    assert not disk.has_room(str(small.path), 1)


def test_any_other_trouble_is_not_said_to_be_want_of_room(tmp_path: Path) -> None:
    assert disk.has_room(str(tmp_path / "missing"), 1)
    assert not disk.is_no_room(PermissionError(errno.EACCES, "no"))
    assert disk.is_no_room(OSError(errno.EDQUOT, "quota"))


def test_the_error_names_the_disk(small: SmallDisk) -> None:
    small.fill()
    error = disk.no_space(str(small.path / "deep" / "torcd.db"), "the database")
    assert error.facts == {
        "path": str(small.path / "deep" / "torcd.db"),
        "mount_point": str(small.path),
        "free_bytes": 0,
    }
    assert str(small.path) in error.message
