"""How a bad end cancels what depends on it, and what it spares."""

import pytest

from .play import Play
from .specs import job


def chain(length: int, **first: str) -> dict[str, object]:
    return {f"j{n}": job(after=f"j{n - 1}" if n else "") for n in range(length)}


def test_a_failed_attempt_cancels_its_grandchildren():
    play = Play(a=job(), b=job(after="a"), c=job(after="b"), other=job())
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "canceled", "c": "canceled", "other": "pending"}
    assert play.why("b") == ("dependency", 'canceled because "a" failed')
    assert play.why("c") == ("dependency", 'canceled because "b" was canceled')


def test_a_failure_cancels_a_chain_of_a_thousand_at_once():
    play = Play(**chain(1_000))
    play.exits("j0", 1)
    assert set(play.statuses.values()) == {"failed", "canceled"}
    assert play.workflow_status == "failed"


def test_a_chain_of_a_thousand_runs_to_its_end():
    play = Play(**chain(60))
    for n in range(60):
        assert play.status(f"j{n}") == "pending"
        play.exits(f"j{n}")
    assert play.workflow_status == "completed"


def test_a_diamond_whose_root_fails_is_canceled_once_each():
    play = Play(
        root=job(), left=job(after="root"), right=job(after="root"), end=job(after="left right")
    )
    play.exits("root", 1)
    assert play.statuses == dict.fromkeys(["left", "right", "end"], "canceled") | {"root": "failed"}
    assert play.saved("end").status.value == "canceled"
    assert play.workflow_status == "failed"


def test_a_job_is_canceled_by_the_first_of_two_blockers_that_fails_and_the_other_goes_on():
    play = Play(a=job(), b=job(), c=job(after="a b"))
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "pending", "c": "canceled"}
    play.exits("b")
    assert play.statuses == {"a": "failed", "b": "completed", "c": "canceled"}
    assert play.workflow_status == "failed"


def test_a_job_is_canceled_once_though_both_its_blockers_fail():
    play = Play(a=job(), b=job(), c=job(after="a b"))
    play.exits("a", 1)
    play.exits("b", 1)
    assert play.why("c") == ("dependency", 'canceled because "a" failed')


@pytest.mark.parametrize("code", [0, 1])
def test_with_the_flag_false_a_job_runs_when_all_it_waits_for_has_finished(code):
    play = Play(a=job(), b=job(), c=job(after="a b", goes_on=True))
    play.exits("a", 1)
    assert play.status("c") == "blocked"
    play.exits("b", code)
    assert play.status("c") == "pending"
    play.exits("c")
    assert play.workflow_status == "failed"


def test_with_the_flag_false_a_job_runs_after_a_canceled_one_too():
    play = Play(a=job(), b=job(after="a"), c=job(after="b", goes_on=True), d=job(after="c"))
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "canceled", "c": "pending", "d": "blocked"}


def test_a_flag_protects_its_own_job_only():
    play = Play(a=job(), b=job(after="a", goes_on=True), c=job(after="a"))
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "pending", "c": "canceled"}


@pytest.mark.parametrize(
    ("maker", "reader", "message"),
    [
        (job(writes="f"), job(reads="f"), 'canceled because "a" failed, which makes file "f" (/f)'),
        (
            job(stores="d"),
            job(fetches="d"),
            'canceled because "a" failed, which makes user_data "d"',
        ),
    ],
    ids=["file", "user_data"],
)
def test_a_failure_spreads_through_files_and_data_and_the_message_names_them(
    maker, reader, message
):
    play = Play(a=maker, b=reader)
    play.exits("a", 1)
    assert play.why("b") == ("dependency", message)


def test_one_bad_producer_of_several_cancels_the_consumer():
    play = Play(a=job(writes="f"), b=job(writes="f"), c=job(reads="f"))
    play.exits("b", 1)
    assert play.status("c") == "canceled"
    play.exits("a")
    assert play.status("c") == "canceled"


def test_a_disabled_job_is_not_canceled_by_what_it_depends_on():
    play = Play(a=job(), b=job(after="a"), c=job(after="b"))
    play.disable("b")
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "disabled", "c": "pending"}


# One that was chosen already: only with on_store (or after enable) can what it needs go bad


def early() -> Play:
    play = Play(a=job(stores="d"), b=job(fetches="d"), c=job(after="b"), on_store="d")
    play.starts("a")
    play.stores("d", by="a")
    return play


def test_a_consumer_that_has_started_runs_on_when_its_producer_fails():
    play = early()
    play.starts("b")
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "running", "c": "blocked"}
    assert not play.stopped_now
    assert not play.revoked_now
    play.exits("b")
    assert play.statuses == {"a": "failed", "b": "completed", "c": "pending"}


def test_a_consumer_that_has_not_been_chosen_is_canceled_when_its_producer_fails():
    play = Play(a=job(stores="d"), b=job(fetches="d"), on_store="d", parallel=1)
    play.starts("a")
    play.stores("d", by="a")
    assert play.status("b") == "ready"
    play.exits("a", 1)
    assert play.status("b") == "canceled"
    assert play.started_now == []


def test_a_consumer_about_to_start_is_asked_back_and_canceled_when_that_was_in_time():
    play = early()
    play.exits("a", 1)
    assert play.revoked_now == [play.attempt("b")]
    assert not play.stopped_now
    assert play.status("b") == "pending"
    assert play.saved("b").stopping
    play.does_not_start("b")
    assert play.statuses == {"a": "failed", "b": "canceled", "c": "canceled"}
    assert play.why("b") == (
        "dependency",
        'canceled because "a" failed, which makes user_data "d"',
    )
    assert play.job("b").attempt_id == 0


def test_a_consumer_that_had_started_before_it_was_asked_back_runs_on():
    play = early()
    play.exits("a", 1)
    play.starts("b")
    assert play.status("b") == "running"
    assert not play.job("b").is_stopping
    assert not play.saved("b").stopping
    play.exits("b")
    assert play.statuses == {"a": "failed", "b": "completed", "c": "pending"}


@pytest.mark.parametrize(("code", "status"), [(0, "completed"), (3, "failed")])
def test_a_consumer_that_ended_before_it_was_asked_back_ends_as_it_did(code, status):
    play = early()
    play.exits("a", 1)
    play.exits("b", code)
    assert play.status("b") == status


def test_a_consumer_that_is_lost_while_asked_back_has_run():
    play = early()
    play.exits("a", 1)
    play.is_lost("b")
    assert play.status("b") == "failed"
    assert play.why("b")[0] == "lost"


def test_canceling_a_consumer_that_is_asked_back_stops_it_for_good():
    play = early()
    play.exits("a", 1)
    play.cancel("b")
    assert play.stopped_now == [play.attempt("b")]
    play.starts("b")
    assert play.job("b").is_stopping
    play.exits("b", -9)
    assert play.why("b") == ("canceled", "canceled on request")
