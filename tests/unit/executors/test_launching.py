"""The directories of wardens: how many there are, whoever is interrupted, and which may go."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from torcd.executors.local import launching
from torcd.executors.warden import ledger
from torcd.executors.warden.journal import Journal
from torcd.executors.warden.ledger import Attempt

BOOT = "boot"


@pytest.fixture
def attempts(tmp_path: Path) -> Path:
    directory = tmp_path / "attempts"
    launching.prepare(directory)
    return directory


def add(directory: Path) -> Path:
    launching.add_warden(directory, 1, BOOT, 1)
    return launching.warden_directory(directory, 1)


def claim(own: Path, boot_id: str = BOOT) -> None:
    """Its warden has claimed an attempt, and ended."""
    journal = Journal(str(own), boot_id, 1)
    journal.rewrite([ledger.claimed([Attempt(1, None, None)])])
    os.close(journal._fd)


class Killed(BaseException):
    pass


def interrupted(monkeypatch: pytest.MonkeyPatch, before: int, act: Callable[[], None]) -> bool:
    """Do it, but be killed before that change of the disk, from 1. False: there are fewer."""
    left = before

    def dying(change: Callable[..., Any]) -> Callable[..., Any]:
        def change_or_die(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Killed
            return change(*args, **options)

        return change_or_die

    with monkeypatch.context() as patches:
        for name in ("mkdir", "rename", "unlink", "rmdir", "write", "fsync"):
            patches.setattr(os, name, dying(getattr(os, name)))
        try:
            act()
        except Killed:
            return True
    return False


def no_journal_is_missing(directory: Path) -> bool:
    numbers = range(1, launching.wardens(directory))
    return not any(
        launching.is_forgotten(launching.warden_directory(directory, number)) for number in numbers
    )


def test_whoever_is_interrupted_while_a_warden_is_added_leaves_it_with_a_journal_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instant = 1
    while True:
        directory = tmp_path / str(instant)
        launching.prepare(directory)
        if not interrupted(monkeypatch, instant, lambda: add(directory)):  # noqa: B023
            break
        assert no_journal_is_missing(directory), instant
        add(directory)
        assert launching.wardens(directory) == 2
        assert no_journal_is_missing(directory), instant
        instant += 1
    assert instant > 5


def test_whoever_is_interrupted_while_a_warden_is_dismissed_leaves_it_with_a_journal_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instant = 1
    while True:
        directory = tmp_path / str(instant)
        launching.prepare(directory)
        add(directory)
        if not interrupted(
            monkeypatch,
            instant,
            lambda: launching.dismiss_idle(directory, BOOT),  # noqa: B023
        ):
            break
        assert no_journal_is_missing(directory), instant
        launching.dismiss_idle(directory, BOOT)
        assert launching.wardens(directory) == 1
        assert sorted(os.listdir(directory)) == ["state_id", "wardens"]
        instant += 1
    assert instant > 5


def test_a_warden_that_has_something_to_tell_is_not_dismissed(attempts: Path) -> None:
    claim(add(attempts))
    launching.dismiss_idle(attempts, BOOT)
    assert launching.wardens(attempts) == 2


def test_a_warden_of_whom_nobody_can_read_what_it_has_to_tell_is_not_dismissed(
    attempts: Path,
) -> None:
    own = add(attempts)
    claim(own)
    journal = own / "warden.journal"
    journal.write_bytes(journal.read_bytes().replace(b'["claimed"', b'["cl\0imed"'))
    launching.dismiss_idle(attempts, BOOT)
    assert launching.wardens(attempts) == 2


def test_a_warden_that_lost_its_journal_is_not_dismissed(attempts: Path) -> None:
    (add(attempts) / "warden.journal").unlink()
    launching.dismiss_idle(attempts, BOOT)
    assert launching.wardens(attempts) == 2


def test_a_warden_whose_directory_was_taken_away_still_counts(attempts: Path) -> None:
    add(attempts).rename(attempts / "elsewhere")
    launching.dismiss_idle(attempts, BOOT)
    assert launching.wardens(attempts) == 2


def test_a_warden_that_cannot_be_dismissed_stays(
    attempts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    add(attempts)
    monkeypatch.setattr(os, "fsync", no_room)
    launching.dismiss_idle(attempts, BOOT)
    assert launching.wardens(attempts) == 2
