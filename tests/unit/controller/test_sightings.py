"""Whether what a job has read was changed while it ran."""

import pytest

from tests.unit.scheduler.play import Play
from tests.unit.scheduler.specs import job
from torcd.controller import sightings
from torcd.controller.contents import Glance
from torcd.controller.sightings import Sightings, ToSee
from torcd.model import FileState, Timestamp


def at(seconds: float) -> Timestamp:
    return Timestamp(round(seconds * 1_000_000))


def readers(groups: bool = False) -> Play:
    return Play(
        **{name: job(reads="f g") for name in ("first", "second", "late")},
        disabled=job(writes="made"),
        after=job(after="disabled"),
        groups=groups,
    )


@pytest.mark.parametrize("groups", [False, True])
def test_what_was_seen_for_one_holds_for_who_ends_a_moment_later(groups: bool) -> None:
    play = readers(groups)
    seen = Sightings()
    reads = seen.reads(play.node, play.job("first"), at(1), None)
    assert reads is not None
    assert {file.path for file in reads.files} == {"/f", "/g"}
    assert seen.looked_at(play.workflow.key, reads, [at(2)])
    second = seen.reads(play.node, play.job("second"), at(1.5), None)
    assert second is not None
    assert (second.files, second.changed) == ((), True)
    assert seen.looked_at(play.workflow.key, second, [])
    assert seen.reads(play.node, play.job("late"), at(3), None) is None


def test_it_is_looked_at_again_after_a_while_and_in_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = readers()
    seen = Sightings()
    reads = seen.reads(play.node, play.job("first"), at(1), None)
    assert reads is not None
    assert not seen.looked_at(play.workflow.key, reads, [])
    assert seen.reads(play.node, play.job("second"), at(1), None) is None
    seen.forget(play.workflow.key)
    assert seen.reads(play.node, play.job("second"), at(1), None) is not None
    monkeypatch.setattr(sightings, "RECHECK_SECONDS", 0.0)
    assert seen.reads(play.node, play.job("second"), at(1), None) is not None


def test_what_a_disabled_job_would_have_made_is_looked_at_and_what_jobs_made_is_not() -> None:
    play = readers()
    seen = Sightings()
    play.exits("disabled")
    assert seen.reads(play.node, play.job("after"), at(1), None) is None
    other = Play(hold=job(), a=job(after="hold", writes="made"), b=job(after="a"))
    other.disable("a")
    reads = seen.reads(other.node, other.job("b"), at(1), None)
    assert reads is not None
    assert [file.path for file in reads.files] == ["/made"]


def test_a_file_was_changed_if_it_looks_otherwise_than_when_the_run_began() -> None:
    now = Glance(5, 7, 9, 11)
    known = FileState(5, 7, 9, "x")
    other = Glance(5, 8, 9, 11)
    assert not ToSee(1, "/f", None, now).was_changed(now)
    assert ToSee(1, "/f", known, other).was_changed(now)
    # Where that is not known, whatever is known of it counts.
    assert not ToSee(1, "/f", known).was_changed(now)
    assert ToSee(1, "/f", None).was_changed(now)


def test_nothing_is_noted_of_jobs_that_make_no_files_but_of_many_together() -> None:
    def noted(*, groups: bool) -> int:
        before = {f"j{n}": job() for n in range(100)}
        after = {name: job(after=" ".join(before)) for name in ("first", "second")}
        play = Play(**before, **after, groups=groups)
        seen = Sightings()
        assert seen.reads(play.node, play.job("first"), at(1), None) is None
        return sum(map(len, seen._seen.values()))

    assert noted(groups=False) == 0
    assert noted(groups=True) == 1
