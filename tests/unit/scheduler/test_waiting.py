"""What a job waits for, and when it becomes ready."""

import pytest

from torcd.errors import MissingInputs
from torcd.scheduler.commands import CreateWorkflow, SaveValue, WatchFile

from .play import Play, refused
from .specs import job


def test_a_job_without_dependencies_starts_at_once():
    assert Play(a=job(), b=job()).statuses == {"a": "pending", "b": "pending"}


@pytest.mark.parametrize(
    ("first", "second", "values"),
    [
        (job(), job(after="a"), {}),
        (job(writes="f"), job(reads="f"), {}),
        (job(stores="d"), job(fetches="d"), {"d": "1"}),
    ],
    ids=["depends_on", "file", "user_data"],
)
def test_a_job_starts_when_what_it_waits_for_has_completed(first, second, values):
    play = Play(a=first, b=second)
    assert play.statuses == {"a": "pending", "b": "blocked"}
    play.starts("a")
    assert play.statuses == {"a": "running", "b": "blocked"}
    play.exits("a", values=values)
    assert play.statuses == {"a": "completed", "b": "pending"}
    assert play.started_now == ["b"]


def test_a_job_waits_for_all_of_several_dependencies_of_several_kinds():
    play = Play(
        a=job(),
        b=job(writes="f"),
        c=job(stores="d"),
        last=job(after="a", reads="f", fetches="d"),
    )
    play.exits("c", values={"d": "1"})
    play.exits("a")
    assert play.status("last") == "blocked"
    play.exits("b")
    assert play.status("last") == "pending"


def test_a_thing_that_several_jobs_make_is_there_when_all_of_them_have():
    play = Play(a=job(writes="f"), b=job(writes="f"), c=job(writes="f"), last=job(reads="f"))
    for name in "abc":
        assert play.status("last") == "blocked"
        play.exits(name)
    assert play.status("last") == "pending"


def test_a_dependency_named_in_several_ways_is_waited_for_in_each():
    play = Play(a=job(writes="f", stores="d"), b=job(after="a", reads="f", fetches="d"))
    play.exits("a", values={"d": "1"})
    assert play.status("b") == "pending"


def test_an_initial_value_is_there_at_once_and_is_revision_one_of_nobody():
    play = Play(a=job(fetches="d"), initial="d")
    assert play.status("a") == "pending"
    [saved] = [c for c in play.last if isinstance(c, SaveValue)]
    assert (saved.revision, saved.run_id, saved.attempt_key) == (1, 0, None)


def test_an_initial_value_does_not_spare_waiting_for_those_who_make_it():
    play = Play(a=job(stores="d"), b=job(fetches="d"), initial="d")
    assert play.status("b") == "blocked"


def test_a_store_by_the_producer_opens_nothing_before_it_has_completed():
    play = Play(a=job(stores="d"), b=job(fetches="d"))
    play.starts("a")
    play.stores("d", by="a")
    assert play.status("b") == "blocked"
    play.exits("a")
    assert play.status("b") == "pending"


# available: on_store


def test_with_on_store_consumers_start_the_moment_the_value_is_stored():
    play = Play(a=job(stores="d"), b=job(fetches="d"), on_store="d")
    play.starts("a")
    play.stores("d", by="a")
    assert play.statuses == {"a": "running", "b": "pending"}
    play.stores("d", by="a")
    play.exits("a")
    assert play.statuses == {"a": "completed", "b": "pending"}


def test_with_on_store_each_of_several_producers_must_have_stored():
    play = Play(a=job(stores="d"), b=job(stores="d"), c=job(fetches="d"), on_store="d")
    play.stores("d", by="a")
    play.stores("d", by="a")
    assert play.status("c") == "blocked"
    play.stores("d", by="b")
    assert play.status("c") == "pending"


def test_with_on_store_one_may_have_stored_and_the_other_completed():
    play = Play(a=job(stores="d"), b=job(stores="d"), c=job(fetches="d"), on_store="d")
    play.stores("d", by="a")
    play.exits("b", values={"d": "2"})
    assert play.status("c") == "pending"


def test_with_on_store_a_person_does_not_store_in_place_of_the_producer():
    play = Play(a=job(stores="d"), b=job(fetches="d"), on_store="d")
    play.stores("d")
    assert play.status("b") == "blocked"


def test_with_on_store_a_value_written_to_the_output_file_counts_at_the_end():
    play = Play(a=job(stores="d"), b=job(fetches="d"), on_store="d")
    play.exits("a", values={"d": "1"})
    assert play.statuses == {"a": "completed", "b": "pending"}


# Inputs that nobody makes


def test_absent_inputs_are_refused_and_named_and_no_key_is_used():
    empty = Play(z=job())
    before = empty.scheduler.next_key
    with refused(MissingInputs) as caught:
        Play(
            beside=empty,
            a=job(reads="f g"),
            b=job(reads="f", fetches="d e"),
            absent="f",
            initial="e",
        )
    assert empty.scheduler.next_key == before
    assert caught.value.facts["names"] == [
        'file "f" (/f), which job "a" needs',
        'user_data "d", which job "b" needs',
    ]
    assert "--wait-for-inputs" in str(caught.value)


def test_an_absent_file_that_nobody_reads_is_no_obstacle():
    play = Play(a=job(writes="f"), b=job(), absent="f")
    assert play.status("a") == "pending"


def test_waiting_for_inputs_blocks_their_consumers_and_watches_the_files():
    play = Play(a=job(reads="f"), b=job(fetches="d"), c=job(reads="g"), absent="f", wait=True)
    assert play.statuses == {"a": "blocked", "b": "blocked", "c": "pending"}
    assert [(w.file_key, w.path) for w in play.last if isinstance(w, WatchFile)] == [
        (play.keys["f"], "/f")
    ]
    [created] = [c for c in play.last if isinstance(c, CreateWorkflow)]
    assert created.wait_for_inputs


def test_a_file_that_appears_and_a_value_that_is_stored_let_their_consumers_start():
    play = Play(a=job(reads="f"), b=job(fetches="d", reads="f"), absent="f", wait=True)
    play.appears("f")
    assert play.statuses == {"a": "pending", "b": "blocked"}
    play.stores("d")
    assert play.statuses == {"a": "pending", "b": "pending"}
    play.stores("d", "2")
    assert play.statuses == {"a": "pending", "b": "pending"}


def test_a_file_that_appears_again_or_that_nobody_waits_for_changes_nothing():
    play = Play(a=job(reads="f"), b=job(writes="g"), absent="f", wait=True)
    play.appears("f")
    assert play.appears("f") == []
    assert play.appears("g") == []
    assert play.statuses == {"a": "pending", "b": "pending"}


def test_a_canceled_consumer_stays_canceled_when_its_input_appears():
    play = Play(a=job(reads="f"), b=job(), absent="f", wait=True)
    play.cancel("a")
    play.appears("f")
    assert play.statuses == {"a": "canceled", "b": "pending"}
