"""Cancel, pause and resume: what people say, and what the executor answers."""

import pytest

from torcd.errors import UnknownJob, UnknownWorkflow, WrongState
from torcd.scheduler import events as e
from torcd.scheduler.commands import RemoveAttempt, SaveAttempt, StopAttempt

from .play import Play, refused
from .specs import job

# Cancel a job


def test_canceling_a_job_that_waits_ends_it_at_once_with_its_dependents():
    play = Play(a=job(), b=job(after="a"), c=job(after="b"))
    play.cancel("b")
    assert play.statuses == {"a": "pending", "b": "canceled", "c": "canceled"}
    assert play.why("b") == ("canceled", "canceled on request")
    assert play.why("c") == ("dependency", 'canceled because "b" was canceled')


def test_canceling_a_ready_job_keeps_it_from_being_chosen():
    play = Play(a=job(), b=job(), parallel=1)
    assert play.status("b") == "ready"
    play.cancel("b")
    play.exits("a")
    assert play.statuses == {"a": "completed", "b": "canceled"}


@pytest.mark.parametrize("terminates", [True, False])
def test_canceling_a_running_job_stops_its_attempt_and_says_so(terminates):
    play = Play(a=job(supports_termination=terminates), b=job(after="a"))
    play.starts("a")
    play.cancel("a")
    assert play.actions == [
        StopAttempt(attempt_key=play.attempt("a"), supports_termination=terminates)
    ]
    assert play.statuses == {"a": "running", "b": "blocked"}
    assert play.saved("a").stopping
    assert play.saved("a").reason.value == "canceled"


@pytest.mark.parametrize("code", [0, 1, -15])
@pytest.mark.parametrize("has_started", [True, False])
def test_a_stopped_job_is_canceled_whatever_its_return_code(code, has_started):
    play = Play(a=job(), b=job(after="a"), c=job(after="a", goes_on=True))
    if has_started:
        play.starts("a")
    play.cancel("a")
    play.exits("a", code)
    assert play.statuses == {"a": "canceled", "b": "canceled", "c": "pending"}
    assert play.why("a") == ("canceled", "canceled on request")
    assert play.job("a").state.return_code == code
    [saved] = [c for c in play.last if isinstance(c, SaveAttempt)]
    assert (saved.status.value, saved.return_code) == ("canceled", code)


def test_a_stopped_job_that_never_started_has_no_attempt():
    play = Play(a=job())
    attempt = play.attempt("a")
    play.cancel("a")
    play.does_not_start("a")
    assert RemoveAttempt(attempt) in play.last
    assert play.saved("a").attempt_id == 0
    assert play.status("a") == "canceled"


def test_a_stopped_job_that_could_not_have_been_started_anyway_is_canceled():
    play = Play(a=job())
    play.cancel("a")
    play.does_not_start("a", "no such program")
    assert play.why("a") == ("canceled", "canceled on request")


@pytest.mark.parametrize("has_started", [True, False])
def test_a_stopped_job_that_is_lost_is_canceled(has_started):
    play = Play(a=job())
    if has_started:
        play.starts("a")
    play.cancel("a")
    play.is_lost("a")
    assert play.why("a") == ("canceled", "canceled on request")


def test_canceling_again_neither_stops_twice_nor_changes_the_reason():
    play = Play(a=job(), b=job())
    play.cancel("a")
    assert play.cancel("a") == []
    play.cancel()
    assert play.stopped_now == [play.attempt("b")]
    assert play.cancel() == []
    play.exits("a")
    assert play.why("a") == ("canceled", "canceled on request")


def test_a_start_heard_of_after_the_stop_is_told_and_the_stop_stands():
    play = Play(a=job())
    play.cancel("a")
    play.starts("a")
    assert play.status("a") == "running"
    assert play.job("a").is_stopping


def test_of_several_jobs_those_that_have_ended_are_passed_over():
    play = Play(a=job(), b=job(), c=job(after="b"))
    play.exits("a")
    play.disable("c")
    play.cancel("a b b c")
    assert play.stopped_now == [play.attempt("b")]
    assert play.statuses == {"a": "completed", "b": "pending", "c": "disabled"}


def test_several_jobs_canceled_together_all_have_been_canceled_on_request():
    play = Play(a=job(), b=job(), c=job(after="b", goes_on=True), parallel=1)
    play.cancel("b c")
    assert play.why("b") == play.why("c") == ("canceled", "canceled on request")


def test_canceling_only_what_has_ended_is_refused():
    play = Play(a=job(), b=job(), c=job())
    play.exits("a")
    with refused(WrongState, "nothing to cancel: .*ended already .completed."):
        play.cancel("a")


# Cancel a workflow


def test_canceling_a_workflow_ends_all_that_waits_and_stops_all_that_runs():
    play = Play(
        a=job(), b=job(), c=job(), d=job(after="c"), e=job(after="a", goes_on=True), parallel=2
    )
    play.starts("a")
    play.cancel()
    assert play.stopped_now == [play.attempt("a"), play.attempt("b")]
    assert [play.status(n) for n in "cde"] == ["canceled"] * 3
    assert {play.why(n) for n in "cde"} == {("canceled", "canceled with its workflow")}
    assert (play.workflow_status, play.node.stopping) == ("running", True)
    play.does_not_start("b")
    assert play.workflow_status == "running"
    play.exits("a")
    assert (play.workflow_status, play.node.stopping) == ("canceled", False)
    assert set(play.statuses.values()) == {"canceled"}


def test_canceling_a_workflow_of_which_nothing_runs_ends_it_at_once():
    play = Play(a=job(reads="f"), b=job(after="a"), absent="f", wait=True)
    play.cancel()
    assert play.workflow_status == "canceled"


def test_what_has_ended_before_stays_as_it_is_and_disabled_jobs_stay_disabled():
    play = Play(a=job(), b=job(), c=job(after="b"), d=job(after="b"))
    play.exits("a")
    play.disable("c")
    play.cancel()
    play.exits("b", -9)
    assert play.statuses == {"a": "completed", "b": "canceled", "c": "disabled", "d": "canceled"}
    assert play.workflow_status == "canceled"


def test_nothing_starts_in_a_workflow_on_its_way_out():
    play = Play(a=job(stores="d"), b=job(fetches="d", goes_on=True), on_store="d")
    play.starts("a")
    play.cancel()
    play.stores("d", by="a")
    assert play.statuses == {"a": "running", "b": "canceled"}


def test_a_paused_workflow_can_be_canceled():
    play = Play(a=job(), b=job(after="a"))
    play.starts("a")
    play.pause()
    play.cancel()
    assert play.workflow_status == "paused"
    play.exits("a", -9)
    assert play.workflow_status == "canceled"


# Pause and resume


def test_pausing_lets_what_runs_run_on_and_starts_nothing():
    play = Play(a=job(), b=job(after="a"))
    play.starts("a")
    play.pause()
    assert play.workflow_status == "paused"
    assert play.actions == []
    play.exits("a")
    assert play.statuses == {"a": "completed", "b": "ready"}
    play.resume()
    assert play.workflow_status == "running"
    assert play.started_now == ["b"]


def test_pausing_takes_back_what_has_not_started_as_if_it_had_never_been():
    play = Play(a=job(), b=job())
    play.starts("a")
    first = play.attempt("b")
    play.pause()
    assert play.revoked_now == [first]
    assert play.stopped_now == []
    play.does_not_start("b")
    assert RemoveAttempt(first) in play.last
    assert play.statuses == {"a": "running", "b": "ready"}
    assert play.job("b").attempt_id == 0
    play.resume()
    assert play.job("b").attempt_id == 1
    assert play.attempt("b") not in (first, play.attempt("a"))


def test_one_that_had_started_before_it_was_taken_back_runs_on():
    play = Play(a=job())
    play.pause()
    play.starts("a")
    assert play.status("a") == "running"
    assert not play.job("a").is_stopping
    play.exits("a")
    assert play.workflow_status == "completed"


def test_one_taken_back_after_the_workflow_was_resumed_is_chosen_again():
    play = Play(a=job())
    first = play.attempt("a")
    play.pause()
    play.resume()
    play.does_not_start("a")
    assert play.status("a") == "pending"
    assert play.attempt("a") > first
    assert play.job("a").attempt_id == 1


def test_one_that_is_stopped_is_not_revoked_as_well():
    play = Play(a=job(), b=job())
    play.cancel("a")
    play.pause()
    assert play.revoked_now == [play.attempt("b")]


def test_one_taken_back_goes_on_waiting_if_what_it_needs_was_put_back_meanwhile():
    play = Play(hold=job(), a=job(after="hold"), b=job(after="a"))
    play.disable("a")
    assert play.status("b") == "pending"
    play.pause()
    play.enable("a")
    assert play.statuses == {"hold": "pending", "a": "blocked", "b": "pending"}
    play.does_not_start("b")
    assert play.status("b") == "blocked"
    play.resume()
    assert play.status("b") == "blocked"


def test_pausing_and_resuming_twice_changes_nothing():
    play = Play(a=job())
    play.changes_nothing(e.ResumeRequested(play.workflow.key, play.now))
    play.pause()
    play.changes_nothing(e.PauseRequested(play.workflow.key, play.now))


# Refused


@pytest.mark.parametrize("change", ["cancel", "pause", "resume"])
def test_a_workflow_that_is_over_can_no_longer_be_changed(change):
    play = Play(a=job())
    play.exits("a")
    with refused(WrongState, "is completed already"):
        getattr(play, change)()


@pytest.mark.parametrize("change", ["pause", "resume"])
def test_a_workflow_on_its_way_out_is_neither_paused_nor_resumed(change):
    play = Play(a=job())
    play.cancel()
    with refused(WrongState, "on its way out"):
        getattr(play, change)()


@pytest.mark.parametrize("change", ["cancel", "disable", "enable"])
def test_an_unknown_job_is_refused_and_the_known_ones_beside_it_stay(change):
    play = Play(a=job(), b=job(after="a"))
    if change == "enable":
        play.disable("b")
    play.keys["x"] = 999
    with refused(UnknownJob):
        getattr(play, change)("b x")


@pytest.mark.parametrize(
    "event",
    [
        e.PauseRequested(77, 1),
        e.ResumeRequested(77, 1),
        e.CancelRequested(workflow_key=77, jobs=None, at=1),
        e.DisableRequested(workflow_key=77, jobs=(), absent_files=frozenset(), at=1),
        e.EnableRequested(workflow_key=77, jobs=(), at=1),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_unknown_workflow_is_refused(event):
    with refused(UnknownWorkflow):
        Play(a=job()).tell(event)


# Drain


def test_draining_starts_nothing_more_and_takes_back_what_has_not_started():
    play = Play(a=job(), b=job(), c=job(after="a"))
    other = Play(beside=play, z=job())
    play.starts("a")
    play.tell(e.DrainRequested(play.now))
    assert play.revoked_now == [play.attempt("b"), other.attempt("z")]
    play.does_not_start("b")
    play.exits("a")
    assert play.statuses == {"a": "completed", "b": "ready", "c": "ready"}
    assert play.workflow_status == "running"
