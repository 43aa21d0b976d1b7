"""The warden's journal: what a successor reads in it."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torcd.executors.warden import ledger
from torcd.executors.warden.journal import REWRITE_BYTES, Journal, UnreadableJournal, replay
from torcd.executors.warden.ledger import Attempt, Lane

HEADER = '{"journal": 1, "boot": "b", "state": 7, "warden": 42}'


def claim(*keys: int, lane: int = 5) -> str:
    return ledger.claimed([Attempt(key, Lane(lane), None) for key in keys])


def text(*facts: str) -> str:
    return "".join(f"{fact}\n" for fact in (HEADER, *facts))


def opened(directory: Path) -> Journal:
    journal = Journal(str(directory), "b", 7)
    journal.rewrite([])
    return journal


def keys_in(directory: Path) -> set[int]:
    return set(Journal(str(directory), "b", 7).read().entries)


def test_no_journal_tells_of_nothing(tmp_path: Path) -> None:
    past = Journal(str(tmp_path), "b", 7).read()
    assert past.entries == {}
    assert past.boot_id == ""


def test_the_first_line_tells_whose_it_was() -> None:
    past = replay(text())
    assert (past.boot_id, past.state_id, past.warden_pid) == ("b", 7, 42)


def test_an_attempt_is_told_as_far_as_it_came() -> None:
    exited = ledger.exited(3, -9, 100, 0.5, 1024)
    started = ledger.started(2, 4711, 99, None)
    past = replay(text(claim(1, 2, 3), started, ledger.started(3, 4712, 99, 12), exited))
    assert past.entries[1].lane == 5
    assert (past.entries[1].pid, past.entries[1].final) == (0, "")
    assert (past.entries[2].pid, past.entries[2].started) == (4711, started)
    assert past.entries[2].born is None
    assert past.entries[3].born == 12
    assert past.entries[3].final == exited


def test_the_end_with_its_cost_replaces_the_one_without() -> None:
    costly = ledger.exited(1, 0, 100, 0.5, 1024)
    assert replay(text(claim(1), ledger.exited(1, 0, 100), costly)).entries[1].final == costly


def test_what_was_acknowledged_or_returned_is_forgotten() -> None:
    facts = text(
        claim(1, 2, 3), ledger.exited(1, 0, 1), ledger.acknowledged([1]), ledger.returned([2])
    )
    assert set(replay(facts).entries) == {3}


@given(st.integers(min_value=0))
def test_a_journal_cut_off_anywhere_tells_what_was_written_whole(cut: int) -> None:
    facts = [claim(1), ledger.started(1, 10, 1, None), ledger.exited(1, 0, 2), claim(2)]
    whole = text(*facts)
    cut %= len(whole) + 1
    entries = replay(whole[:cut]).entries
    lines = whole[:cut].count("\n")
    assert (1 in entries) == (lines >= 2)
    assert (2 in entries) == (lines >= 5)
    if 1 in entries:
        assert bool(entries[1].pid) == (lines >= 3)
        assert bool(entries[1].final) == (lines >= 4)


@pytest.mark.parametrize(
    "line",
    [
        *("nonsense", '["claimed"]', '["what", 1]', "17", '{"a": 1}'),
        *('["claimed", [[2, -1]]]', '["started", 1, -20, 5, 99]'),
    ],
)
def test_damage_is_not_guessed_at(line: str) -> None:
    with pytest.raises(UnreadableJournal, match="line 3"):
        replay(text(claim(1), line, claim(2)), "b")


@pytest.mark.parametrize("line", ["nonsense", '["claimed"]', "\0" * 4096, "\ufffd"])
def test_of_a_journal_of_another_boot_what_can_be_read_counts(line: str) -> None:
    """A power cut leaves any part of it, and the processes are gone anyway."""
    past = replay(text(claim(1), line, claim(2)), "a later boot")
    assert past.boot_id == "b"
    assert set(past.entries) == {1}


def test_a_journal_has_its_name_when_it_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
    )
    opened(tmp_path)
    assert synced == ["warden.journal.new"]


def test_a_journal_of_another_format_says_which_version_to_start() -> None:
    with pytest.raises(UnreadableJournal, match="start the version that wrote it"):
        replay('{"journal": 2, "boot": "b"}\n')


def test_an_unreadable_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "warden.journal").write_text("nonsense\n")
    with pytest.raises(UnreadableJournal, match=str(tmp_path / "warden.journal")):
        Journal(str(tmp_path), "b", 7).read()


def test_what_is_said_later_comes_before_what_is_written_after_it(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.later(claim(1))
    assert keys_in(tmp_path) == set()
    assert journal.write(claim(2))
    assert list(Journal(str(tmp_path), "b", 7).read().entries) == [1, 2]
    journal.later(claim(3))
    journal.flush()
    assert keys_in(tmp_path) == {1, 2, 3}


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file can grow beyond this."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", [0, 10])
def test_a_claim_for_which_there_is_no_room_is_not_made(tmp_path: Path, room: int) -> None:
    journal = opened(tmp_path)
    assert journal.write(claim(1))
    with full_disk((tmp_path / "warden.journal").stat().st_size + room):
        assert not journal.write(claim(2))
    assert journal.write(claim(3))
    assert keys_in(tmp_path) == {1, 3}


def test_an_end_for_which_there_is_no_room_is_written_when_there_is(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    assert journal.write(claim(1))
    with full_disk((tmp_path / "warden.journal").stat().st_size + 10):
        journal.later(ledger.exited(1, 0, 1))
        journal.flush()
    assert journal.write(claim(2))
    assert Journal(str(tmp_path), "b", 7).read().entries[1].final


def test_rewriting_leaves_what_is_needed_and_the_old_one_if_there_is_no_room(
    tmp_path: Path,
) -> None:
    journal = opened(tmp_path)
    assert journal.write(claim(*range(1000)))
    with full_disk(10), pytest.raises(OSError, match="large"):
        journal.rewrite([claim(7)])
    assert len(keys_in(tmp_path)) == 1000
    journal.rewrite([claim(7)])
    assert keys_in(tmp_path) == {7}
    assert journal.write(claim(8))
    assert keys_in(tmp_path) == {7, 8}


def test_a_journal_is_worth_rewriting_when_it_is_large_and_mostly_old(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    assert not journal.worth_rewriting
    thousand = claim(*range(1_000))
    facts = [thousand] * (REWRITE_BYTES // len(thousand) + 1)
    for fact in facts:
        assert journal.write(fact)
    assert journal.worth_rewriting
    journal.rewrite(facts)
    assert not journal.worth_rewriting


def test_of_another_users_attempt_it_tells_whose_it_is() -> None:
    own, theirs = Attempt(1, Lane(5), None), Attempt(2, Lane(5), None)
    theirs.uid = 1000
    past = replay(text(ledger.claimed([own, theirs])))
    assert [(e.lane, e.uid) for e in past.entries.values()] == [(5, None), (5, 1000)]
