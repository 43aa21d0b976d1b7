"""Jobs that ended badly run once more, in the same run."""

import pytest

from torcd.errors import MissingInputs, UnknownJob, WrongState
from torcd.scheduler import events as e
from torcd.scheduler.commands import SaveWorkflow, StartAttempt

from .play import Play, refused
from .specs import job


def failed_chain(**more):
    play = Play(a=job(), b=job(after="a"), c=job(after="b"), x=job(), **more)
    play.exits("a", 1)
    return play


def test_what_was_canceled_because_of_it_is_revived_however_deep():
    play = failed_chain()
    assert play.statuses == {"a": "failed", "b": "canceled", "c": "canceled", "x": "pending"}
    play.retry("a")
    assert play.statuses == {"a": "pending", "b": "blocked", "c": "blocked", "x": "pending"}
    play.exits("x")
    for name in "abc":
        play.exits(name)
    assert play.workflow_status == "completed"


def test_it_is_the_next_attempt_of_the_same_run():
    play = failed_chain()
    play.retry("a")
    [start] = [c for c in play.last if isinstance(c, StartAttempt)]
    assert (start.run_id, start.attempt_id) == (1, 2)


def test_a_workflow_that_is_over_goes_on():
    play = failed_chain()
    play.exits("x")
    assert play.workflow_status == "failed"
    play.retry("a")
    [saved] = [c for c in play.last if isinstance(c, SaveWorkflow)]
    assert (saved.status.value, saved.run_id, saved.ended_at) == ("running", 1, None)
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "canceled", "c": "canceled", "x": "completed"}
    assert play.workflow_status == "failed"


def test_what_waits_for_another_that_ended_badly_stays_canceled():
    play = Play(a=job(), b=job(), c=job(after="a b"), x=job(after="c"), groups=True)
    play.exits("a", 1)
    play.exits("b", 1)
    play.retry("a")
    assert play.statuses == {"a": "pending", "b": "failed", "c": "canceled", "x": "canceled"}
    play.exits("a")
    play.retry("b")
    assert play.statuses == {"a": "completed", "b": "pending", "c": "blocked", "x": "blocked"}


def test_what_is_named_needs_what_comes_before_it():
    play = failed_chain()
    with refused(WrongState, '"b" cannot run: it needs "a", which failed'):
        play.retry("b")
    play.retry("a b")
    assert play.status("b") == "blocked"


def test_a_person_s_cancel_is_revived_only_by_name():
    play = Play(a=job(), b=job(after="a"), c=job(after="b"))
    play.cancel("b")
    play.exits("a", 1)
    play.retry("a")
    assert play.statuses == {"a": "pending", "b": "canceled", "c": "canceled"}
    play.retry("b")
    assert play.statuses == {"a": "pending", "b": "blocked", "c": "blocked"}


@pytest.mark.parametrize("name", ["x", "b"])
def test_only_what_ended_badly_is_retried(name):
    play = Play(a=job(), b=job(after="a"), x=job())
    play.exits("x")
    with refused(WrongState, "only one that failed, was canceled or terminated"):
        play.retry(name)


def test_an_unknown_job_is_refused_and_the_known_one_beside_it_stays():
    play = failed_chain()
    with refused(UnknownJob):
        play.tell(
            e.RetryRequested(
                workflow_key=play.workflow.key,
                jobs=(play.keys["a"], 77),
                absent_files=frozenset(),
                at=play.now,
            )
        )


def test_a_workflow_on_its_way_out_and_an_archived_one_do_not_go_on():
    play = failed_chain()
    play.starts("x")
    play.cancel()
    with refused(WrongState, "on its way out"):
        play.retry("a")
    play.exits("x", -9)
    play.tell(e.ArchiveRequested(workflow_key=play.workflow.key, archived=True, at=play.now))
    with refused(WrongState, "archived"):
        play.retry("a")


def test_an_input_that_is_gone_is_named():
    play = Play(a=job(reads="in"))
    play.exits("a", 1)
    with refused(MissingInputs, 'file "in"'):
        play.retry("a", absent="in")


def test_a_consumer_that_ran_all_the_same_runs_on_and_has_not_seen_it():
    play = Play(a=job(), b=job(after="a", goes_on=True), c=job(after="a", goes_on=True), parallel=1)
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "pending", "c": "ready"}
    play.retry("a")
    assert play.statuses == {"a": "ready", "b": "pending", "c": "blocked"}
    play.exits("b")
    assert play.job("b").trace.made is None
    play.exits("a")
    play.exits("c")
    assert play.job("c").trace.made is not None
    assert play.workflow_status == "completed"


def test_a_paused_workflow_stays_paused():
    play = failed_chain()
    play.pause()
    play.retry("a")
    assert (play.workflow_status, play.status("a")) == ("paused", "ready")


def test_a_value_stored_before_it_failed_is_there_for_those_who_wait_for_no_more():
    play = Play(a=job(stores="d"), b=job(fetches="d"), on_store="d", parallel=1)
    play.starts("a")
    play.stores("d", by="a")
    play.exits("a", 1)
    assert play.status("b") == "canceled"
    play.retry("a")
    assert play.statuses == {"a": "pending", "b": "ready"}


def edited_by_hand() -> Play:
    """a makes f, b reads it and failed; then somebody edits f."""
    play = Play(a=job(writes="f"), b=job(reads="f"), c=job(reads="f"))
    play.exits("a", files={"f": "made"})
    play.exits("b", 1)
    play.exits("c")
    assert play.workflow_status == "failed"
    return play


def test_what_somebody_wrote_into_a_file_that_a_job_made_is_what_the_retried_one_reads():
    play = edited_by_hand()
    play.retry("b", files={"f": "edited"})
    play.exits("b")
    assert play.statuses == {"a": "completed", "b": "completed", "c": "completed"}
    outlooks = play.outlooks(files={"f": "edited"})
    assert {name: outlook for name, (outlook, _) in outlooks.items()} == {
        "a": "up_to_date",
        "b": "up_to_date",
        "c": "will_run",
    }


def test_the_same_when_it_was_disabled_and_is_enabled():
    play = edited_by_hand()
    play.disable("b")
    play.tell(
        e.EnableRequested(
            workflow_key=play.workflow.key,
            jobs=play._keys("b"),
            files=play._states({"f": "edited"}),
            at=play.now,
        )
    )
    play.exits("b")
    assert play.outlooks(files={"f": "edited"})["b"][0] == "up_to_date"
