"""Reports that come late, twice, out of order or about nobody change nothing at all."""

import pytest

from torcd.scheduler import events as e

from .play import Play
from .specs import job


def reports(attempt_key, at):
    return [
        e.AttemptStarted(attempt_key, at),
        e.AttemptExited(
            attempt_key=attempt_key,
            return_code=0,
            cpu_seconds=None,
            peak_memory_bytes=None,
            outputs=e.Outputs(),
            at=at,
        ),
        e.AttemptNotStarted(attempt_key, None, at),
        e.AttemptNotStarted(attempt_key, "no such program", at),
        e.AttemptLost(attempt_key, "gone", at),
    ]


def ends(play, how):
    match how:
        case "exits":
            play.exits("a", 1)
        case "is lost":
            play.is_lost("a")
        case "does not start":
            play.does_not_start("a", "no such program")
        case "is taken back":
            play.pause()
            play.does_not_start("a")
        case "is stopped":
            play.cancel("a")
            play.exits("a", -9)


@pytest.mark.parametrize(
    "how", ["exits", "is lost", "does not start", "is taken back", "is stopped"]
)
@pytest.mark.parametrize("is_last", [True, False])
def test_reports_about_an_attempt_that_is_over_change_nothing(how, is_last):
    others = {} if is_last else {"z": job()}
    play = Play(a=job(), b=job(after="a", goes_on=True), **others)
    attempt = play.attempt("a")
    ends(play, how)
    for report in reports(attempt, play.now):
        play.changes_nothing(report)


def test_reports_about_an_attempt_taken_back_do_not_touch_the_next_of_the_same_number():
    play = Play(a=job())
    first = play.attempt("a")
    play.pause()
    play.does_not_start("a")
    play.resume()
    assert play.job("a").attempt_id == 1
    for report in reports(first, play.now):
        play.changes_nothing(report)


def test_reports_about_an_attempt_nobody_knows_change_nothing():
    play = Play(a=job())
    for report in reports(4711, play.now):
        play.changes_nothing(report)


def test_one_that_runs_cannot_be_said_to_have_started_again_or_never():
    play = Play(a=job())
    play.starts("a")
    play.changes_nothing(e.AttemptStarted(play.attempt("a"), play.now))
    play.changes_nothing(e.AttemptNotStarted(play.attempt("a"), None, play.now))
    play.changes_nothing(e.AttemptNotStarted(play.attempt("a"), "no such program", play.now))
    assert play.status("a") == "running"


def test_reports_about_an_attempt_of_a_forgotten_workflow_change_nothing():
    play = Play(a=job())
    attempt = play.attempt("a")
    play.exits("a")
    play.scheduler.forget(play.workflow.key)
    for report in reports(attempt, play.now):
        play.changes_nothing(report)
    play.changes_nothing(e.FileAppeared(play.workflow.key, 3, play.now))
