"""Directories for others, made by root where only root can write."""

import os
import stat
from pathlib import Path

import pytest

from tests.second_user import NOBODY, needs_root, others
from torcd.ownership import PASSABLE, check_directory, make_for


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_directory_that_others_pass_through_is_no_more_open_than_that(tmp_path: Path) -> None:
    for mode in (0o700, 0o711, 0o755):
        tmp_path.chmod(mode)
        check_directory(str(tmp_path), PASSABLE)
        assert mode_of(tmp_path) == 0o711
    check_directory(str(tmp_path))
    assert mode_of(tmp_path) == 0o700


@needs_root
def test_a_directory_made_for_a_user_is_theirs_alone_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    for _ in range(2):
        make_for(str(path), NOBODY, NOBODY)
        facts = path.stat()
        assert (facts.st_uid, facts.st_gid, mode_of(path)) == (NOBODY, NOBODY, 0o700)


@needs_root
def test_what_is_somebody_elses_or_no_directory_is_not_given_away(tmp_path: Path) -> None:
    path = tmp_path / "x"
    make_for(str(path), others(1)[0], NOBODY)
    with pytest.raises(FileExistsError):
        make_for(str(path), NOBODY, NOBODY)
    path.rmdir()
    path.symlink_to(tmp_path)
    with pytest.raises(FileExistsError):
        make_for(str(path), NOBODY, NOBODY)
    assert tmp_path.stat().st_uid == os.geteuid()
