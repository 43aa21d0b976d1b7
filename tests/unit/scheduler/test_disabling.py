"""Taking jobs out, and putting them back."""

import pytest

from torcd.errors import WrongState

from .play import Play, refused
from .specs import job

# Disable


def test_dependents_of_a_disabled_job_run():
    play = Play(hold=job(), a=job(after="hold"), b=job(after="a"))
    play.disable("a")
    assert play.statuses == {"hold": "pending", "a": "disabled", "b": "pending"}
    assert play.saved("a").status.value == "disabled"


def test_disabling_a_ready_job_keeps_it_from_being_chosen():
    play = Play(a=job(), b=job(), parallel=1)
    play.disable("b")
    play.exits("a")
    assert play.statuses == {"a": "completed", "b": "disabled"}


@pytest.mark.parametrize(
    ("maker", "reader", "absent", "what"),
    [
        (job(after="hold", writes="f"), job(reads="f"), "f", 'file "f" (/f)'),
        (job(after="hold", stores="d"), job(fetches="d"), "", 'user_data "d"'),
        (
            job(after="hold", stores="d"),
            job(fetches="d", goes_on=True),
            "",
            'user_data "d"',
        ),
    ],
    ids=["file", "user_data", "even with the flag false"],
)
def test_dependents_are_canceled_when_only_the_disabled_job_would_have_made_what_they_need(
    maker, reader, absent, what
):
    play = Play(hold=job(), a=maker, b=reader, c=job(after="b"))
    play.disable("a", absent=absent)
    assert play.statuses == {
        "hold": "pending",
        "a": "disabled",
        "b": "canceled",
        "c": "canceled",
    }
    assert play.why("b") == (
        "dependency",
        f"{what} is missing, and the job that makes it is disabled",
    )


def test_dependents_run_when_what_the_disabled_job_would_have_made_is_there():
    play = Play(
        hold=job(),
        a=job(after="hold", writes="f", stores="d e"),
        b=job(reads="f"),
        c=job(fetches="d"),
        x=job(fetches="e"),
        initial="e",
    )
    play.stores("d")
    play.disable("a")
    assert [play.status(n) for n in "bcx"] == ["pending"] * 3


def test_dependents_run_when_another_producer_made_it():
    play = Play(
        hold=job(),
        a=job(after="hold", writes="f"),
        b=job(writes="f"),
        c=job(reads="f"),
    )
    play.disable("a", absent="f")
    assert play.status("c") == "blocked"
    play.exits("b")
    assert play.status("c") == "pending"


def test_dependents_are_canceled_when_all_that_would_have_made_it_are_disabled_one_by_one():
    play = Play(
        hold=job(),
        a=job(after="hold", writes="f"),
        b=job(after="hold", writes="f"),
        c=job(reads="f"),
    )
    play.disable("a", absent="f")
    assert play.status("c") == "blocked"
    play.disable("b", absent="f")
    assert play.status("c") == "canceled"


@pytest.mark.parametrize("names", ["a b", "b a", "a a b"])
def test_jobs_disabled_together_are_disabled_whatever_their_order(names):
    play = Play(hold=job(), a=job(after="hold", stores="d"), b=job(fetches="d"), c=job(after="b"))
    play.disable(names)
    assert play.statuses == {
        "hold": "pending",
        "a": "disabled",
        "b": "disabled",
        "c": "pending",
    }


def test_a_disabled_consumer_is_not_canceled_for_what_is_missing():
    play = Play(hold=job(), a=job(after="hold", stores="d"), b=job(fetches="d"))
    play.disable("b")
    play.disable("a")
    play.disable("a")
    assert play.statuses == {"hold": "pending", "a": "disabled", "b": "disabled"}


def test_disabling_the_last_unfinished_job_ends_the_workflow():
    play = Play(a=job(), b=job(reads="f"), absent="f", wait=True)
    play.exits("a")
    play.disable("b")
    assert play.workflow_status == "completed"


@pytest.mark.parametrize("state", ["pending", "running", "completed", "failed", "canceled"])
def test_a_job_that_was_chosen_or_has_ended_cannot_be_disabled(state):
    play = Play(a=job(), b=job(), c=job(after="b"))
    match state:
        case "running":
            play.starts("a")
        case "completed":
            play.exits("a")
        case "failed":
            play.exits("a", 1)
        case "canceled":
            play.cancel("a")
            play.exits("a")
    why = f'"a" is {state}: only a job that has not started'
    if state == "pending":
        why = '"a" is about to start.*torcctl pause'
    with refused(WrongState, why):
        play.disable("c a")
    assert play.status("c") == "blocked"


# Enable


def test_enable_puts_a_job_where_its_dependencies_say():
    play = Play(a=job(), b=job(after="a"), z=job(), parallel=1)
    play.disable("b")
    play.enable("b")
    assert play.status("b") == "blocked"
    play.disable("b")
    play.exits("a")
    assert play.statuses == {"a": "completed", "b": "disabled", "z": "pending"}
    play.enable("b")
    assert play.status("b") == "ready"
    assert play.saved("b").status.value == "blocked"


def test_consumers_that_have_not_been_chosen_wait_again_for_an_enabled_job():
    play = Play(x=job(), hold=job(after="x"), a=job(after="hold"), b=job(after="a"), parallel=1)
    play.disable("a")
    assert play.status("b") == "ready"
    play.enable("a")
    assert play.status("b") == "blocked"
    for name in ("x", "hold", "a"):
        assert play.status("b") == "blocked"
        play.exits(name)
    assert play.status("b") == "pending"


def test_a_consumer_that_runs_is_left_alone_whatever_becomes_of_the_enabled_job():
    play = Play(hold=job(), a=job(after="hold", writes="f"), b=job(reads="f"))
    play.disable("a")
    play.starts("b")
    play.enable("a")
    play.disable("a", absent="f")
    play.enable("a")
    play.cancel("a")
    assert play.status("b") == "running"
    assert not play.job("b").is_stopping
    play.exits("b")
    assert play.status("b") == "completed"


def test_a_failure_after_enable_takes_a_pending_consumer_back():
    play = Play(hold=job(), a=job(after="hold"), b=job(after="a"))
    play.disable("a")
    play.enable("a")
    play.exits("hold")
    play.exits("a", 1)
    assert play.revoked_now == [play.attempt("b")]
    play.does_not_start("b")
    assert play.status("b") == "canceled"


@pytest.mark.parametrize("names", ["a b c", "c b a", "b a c b"])
def test_jobs_enabled_together_end_where_they_belong_whatever_their_order(names):
    play = Play(
        hold=job(),
        a=job(after="hold", stores="d"),
        b=job(fetches="d"),
        c=job(after="b"),
    )
    play.disable("a b c")
    play.enable(names)
    assert play.statuses == {
        "hold": "pending",
        "a": "blocked",
        "b": "blocked",
        "c": "blocked",
    }
    play.exits("hold")
    play.exits("a", values={"d": "1"})
    play.exits("b")
    assert play.status("c") == "pending"


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (job(), job(after="a"), 'canceled because "a" ended badly'),
        (
            job(writes="f"),
            job(reads="f"),
            'canceled because a job that makes file "f" (/f) ended badly',
        ),
    ],
    ids=["job", "file"],
)
def test_a_job_whose_dependency_failed_while_it_was_disabled_is_canceled_when_enabled(
    first, second, message
):
    play = Play(a=first, b=second, c=job(after="b"), x=job())
    play.disable("b")
    play.exits("a", 1)
    assert play.status("c") == "pending"
    play.enable("b")
    assert play.statuses["b"] == "canceled"
    assert play.why("b") == ("dependency", message)
    assert play.revoked_now == [play.attempt("c")]


def test_with_the_flag_false_it_runs_when_enabled():
    play = Play(a=job(), b=job(after="a", goes_on=True), x=job())
    play.disable("b")
    play.exits("a", 1)
    play.enable("b")
    assert play.status("b") == "pending"


@pytest.mark.parametrize("is_there", [True, False])
def test_an_enabled_job_is_canceled_if_what_it_needs_was_never_made(is_there):
    play = Play(
        hold=job(),
        a=job(after="hold", writes="f", stores="d"),
        b=job(reads="f"),
        c=job(fetches="d"),
    )
    play.disable("a b c", absent="f")
    if is_there:
        play.stores("d")
    play.enable("b c", absent="" if is_there else "f")
    status = "pending" if is_there else "canceled"
    assert (play.status("b"), play.status("c")) == (status, status)


def test_only_disabled_jobs_can_be_enabled():
    play = Play(hold=job(), a=job(after="hold"), b=job(after="hold"))
    play.disable("a")
    with refused(WrongState, '"b" is blocked, not disabled'):
        play.enable("a b")
    assert play.status("a") == "disabled"


# When it is over


def test_a_job_of_a_workflow_that_is_over_is_disabled_for_the_next_run():
    play = Play(a=job(), b=job(after="a"), c=job(after="b"))
    play.exits("a")
    play.exits("b", 1)
    play.disable("b")
    assert play.statuses == {"a": "completed", "b": "disabled", "c": "canceled"}
    assert play.workflow_status == "failed"
    assert play.saved("b").status.value == "disabled"
    play.restart()
    assert play.statuses == {"a": "completed", "b": "disabled", "c": "pending"}


def test_what_is_enabled_when_all_is_over_runs_in_the_same_run():
    play = Play(hold=job(), a=job(after="hold"), b=job(after="a"))
    play.disable("a")
    play.exits("hold")
    play.exits("b")
    assert play.workflow_status == "completed"
    play.enable("a")
    assert (play.workflow_status, play.status("a"), play.node.run_id) == ("running", "pending", 1)
    play.exits("a")
    assert play.workflow_status == "completed"


def test_in_a_workflow_on_its_way_out_nothing_is_disabled_or_enabled():
    play = Play(hold=job(), a=job(after="hold"), b=job(after="hold"))
    play.disable("a")
    play.cancel()
    with refused(WrongState, "on its way out"):
        play.disable("b")
    with refused(WrongState, "on its way out"):
        play.enable("a")
