"""What is in a file, whatever is there; and what is known at a glance."""

import os
import shutil
from pathlib import Path

import pytest

from torcd.controller import contents
from torcd.controller.contents import Abandoned, glance, state_of


def state(path: Path):
    seen = glance(str(path))
    assert seen is not None
    return state_of(str(path), seen)


def test_a_touch_is_seen_at_a_glance_and_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    before = state(path)
    assert glance(str(path)).fits(before)
    os.utime(path, ns=(1, 1))
    assert not glance(str(path)).fits(before)
    assert state(path).sha256 == before.sha256


@pytest.mark.parametrize("change", [lambda p: p.write_text("y"), lambda p: p.write_text("xx")])
def test_another_text_is_another_content(tmp_path: Path, change) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    before = state(path)
    change(path)
    assert state(path).sha256 != before.sha256


def test_a_file_that_is_replaced_by_an_equal_one_is_no_change(tmp_path: Path) -> None:
    path, other = tmp_path / "f", tmp_path / "g"
    path.write_text("x")
    other.write_text("x")
    before = state(path)
    other.replace(path)
    assert not glance(str(path)).fits(before)
    assert state(path).sha256 == before.sha256


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    for path in (tmp_path / "none", tmp_path / "f" / "below", Path("/\0")):
        assert glance(str(path)) is None


def _edited(p: Path) -> None:
    (p / "sub" / "b").write_text("other")


def _renamed(p: Path) -> None:
    (p / "a").rename(p / "c")


def _removed(p: Path) -> None:
    (p / "empty").rmdir()


def _linked(p: Path) -> None:
    (p / "link").unlink()
    (p / "link").symlink_to("sub/b")


@pytest.mark.parametrize("change", [_edited, _renamed, _removed, _linked])
def test_a_directory_is_all_that_is_below_it(tmp_path: Path, change) -> None:
    path = tmp_path / "d"
    (path / "sub").mkdir(parents=True)
    (path / "empty").mkdir()
    (path / "a").write_text("1")
    (path / "sub" / "b").write_text("2")
    (path / "link").symlink_to("a")
    before = state(path)
    assert glance(str(path)).fits(before)
    copy = tmp_path / "copy"
    shutil.copytree(path, copy, symlinks=True)
    assert state(copy).sha256 == before.sha256
    change(path)
    assert not glance(str(path)).fits(before)
    assert state(path).sha256 != before.sha256


def test_a_directory_with_too_much_in_it_is_known_by_its_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "MAX_ENTRIES", 2)
    path = tmp_path / "d"
    path.mkdir()
    for name in "abc":
        (path / name).touch()
    before = state(path)
    assert glance(str(path)).fits(before)
    (path / "e").touch()
    os.utime(path, ns=(1, 1))
    assert not glance(str(path)).fits(before)


def test_what_cannot_be_read_is_known_by_its_outside_and_nobody_waits(tmp_path: Path) -> None:
    pipe, dangling, loop = tmp_path / "pipe", tmp_path / "dangling", tmp_path / "loop"
    os.mkfifo(pipe)
    dangling.symlink_to("nowhere")
    loop.symlink_to("loop")
    before = os.listdir("/proc/self/fd")
    for path in (pipe, dangling, loop):
        assert glance(str(path)).fits(state(path))
    assert os.listdir("/proc/self/fd") == before
    first = state(dangling)
    dangling.unlink()
    dangling.symlink_to("elsewhere")
    assert state(dangling).sha256 != first.sha256


def test_reading_can_be_given_up_between_two_pieces(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 3 * contents.CHUNK_BYTES)
    read: list[int] = []

    def give_up(size: int) -> None:
        read.append(size)
        if len(read) == 2:
            raise Abandoned

    before = os.listdir("/proc/self/fd")
    with pytest.raises(Abandoned):
        state_of(str(path), glance(str(path)), give_up)
    assert read == [contents.CHUNK_BYTES] * 2
    assert os.listdir("/proc/self/fd") == before
