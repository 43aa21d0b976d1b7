"""A new run of what is out of date."""

import msgspec
import pytest

from torcd.errors import MissingInputs, WrongState
from torcd.model import Happening, JobStatus
from torcd.scheduler import events as e
from torcd.scheduler import restarting
from torcd.scheduler.commands import ClearValue, SaveFile, SaveInitialAgain, SaveJob, SaveWorkflow

from .play import Play, refused, snapshot
from .specs import job

UP = ("up_to_date", "nothing that it needs has changed")


def chain(**more):
    """in -> a -> f -> b, c; all completed."""
    play = Play(
        a=job(reads="in", writes="f"), b=job(reads="f", stores="d"), c=job(fetches="d"), **more
    )
    play.exits("a", files={"in": "1", "f": "made of 1"})
    play.exits("b", values={"d": "7"})
    play.exits("c")
    assert play.workflow_status == "completed"
    return play


def test_with_nothing_out_of_date_nothing_changes():
    play = chain()
    assert play.outlooks() == {"a": UP, "b": UP, "c": UP}
    assert play.restart() == []
    assert play.node.run_id == 1
    assert play.restart(files={"in": "1", "f": "made of 1"}) == []


def test_a_new_run_begins_with_the_job_whose_input_has_changed():
    play = chain()
    assert play.outlooks(files={"in": "2"}) == {
        "a": ("will_run", 'file "in" (/in) has changed'),
        "b": ("may_run", '"a", which comes before it, will run again'),
        "c": ("may_run", '"b", which comes before it, may run again'),
    }
    play.restart(files={"in": "2"})
    assert play.statuses == {"a": "pending", "b": "blocked", "c": "blocked"}
    [saved] = [c for c in play.last if isinstance(c, SaveWorkflow)]
    assert (saved.run_id, saved.status.value, saved.ended_at) == (2, "running", None)
    assert [c.state.sha256 for c in play.last if isinstance(c, SaveFile)] == ["2"]
    assert play.job("a").attempt_id == 1
    told = {h.message for h in play.last if isinstance(h, Happening) and h.status == "ready"}
    assert told == {'file "in" (/in) has changed'}


def test_what_makes_the_same_again_cuts_off_all_that_comes_after_it():
    play = chain()
    play.restart(files={"in": "2"})
    play.exits("a", files={"f": "made of 1"})
    assert play.workflow_status == "completed"
    found = [h for h in play.last if isinstance(h, Happening) and h.kind == "job_up_to_date"]
    assert [h.job_key for h in found] == [play.keys["b"], play.keys["c"]]
    assert {h.message for h in found} == {"what it reads is as it was in run 1"}
    b = play.job("b")
    assert (b.run_id, b.attempt_id, b.state.return_code) == (1, 1, 0)
    assert b.state == b.trace.ended
    saved = {c.job_key: c for c in play.last if isinstance(c, SaveJob)}[play.keys["b"]]
    assert (saved.run_id, saved.attempt_id, saved.may_skip) == (1, 1, False)
    assert play.restart() == []


def test_what_ends_badly_spares_nobody_though_what_it_has_made_is_as_it_was():
    play = Play(a=job(reads="in", writes="f"), b=job(reads="f", goes_on=True))
    play.exits("a", files={"in": "1", "f": "1"})
    play.exits("b")
    play.restart(files={"in": "2", "f": "1"})
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "pending"}


def test_what_makes_something_else_makes_the_next_one_run():
    play = chain()
    play.restart(files={"in": "2"})
    play.exits("a", files={"f": "made of 2"})
    assert play.statuses == {"a": "completed", "b": "pending", "c": "blocked"}
    play.exits("b", values={"d": "7"})
    assert play.workflow_status == "completed"  # an equal value: c is not run
    assert play.job("c").run_id == 1


def prepared(play: Play, names: str | None = None, **files: str | None) -> e.RestartRequested:
    """A restart that was thought through before it is asked for."""
    event = play._restart_event(names, False, files)
    found = restarting.prepare(play.node, event, play.scheduler.capacity)
    return msgspec.structs.replace(event, prepared=found)


def test_one_that_was_prepared_comes_to_the_same():
    at_once, before = chain(), chain()
    picture = snapshot(before.scheduler)
    event = prepared(before, "b", **{"in": "2"})
    assert snapshot(before.scheduler) == picture
    assert before.tell(event) == at_once.restart("b", files={"in": "2"})
    assert before.statuses == {"a": "completed", "b": "pending", "c": "blocked"}
    before.exits("b", values={"d": "7"})
    assert before.workflow_status == "completed"


def test_what_was_prepared_is_void_when_something_has_happened_since():
    play = chain()
    nothing = prepared(play)
    everything = prepared(play, **{"in": "2"})
    play.stores("d", "8")
    assert len(play.tell(nothing)) > 0
    assert play.statuses == {"a": "completed", "b": "completed", "c": "pending"}
    with refused(WrongState, match="cannot be restarted"):
        play.tell(everything)


def test_what_was_prepared_is_not_carried_out_twice():
    play = chain()
    event = prepared(play, **{"in": "2"})
    play.tell(event)
    play.exits("a", files={"f": "made of 1"})
    assert play.workflow_status == "completed"
    assert play.tell(event) == []
    assert play.node.run_id == 2


def test_of_what_several_read_together_each_saw_what_there_was_then():
    play = Play(
        a=job(fetches="d e"), b=job(), c=job(fetches="d e"), initial="d e", parallel=1, groups=True
    )
    play.exits("a")
    play.stores("d", "2")
    play.exits("b")
    play.exits("c")
    assert {name: outlook for name, (outlook, _) in play.outlooks().items()} == {
        "a": "will_run",
        "b": "up_to_date",
        "c": "up_to_date",
    }


def test_of_jobs_that_several_wait_for_together_each_saw_what_they_had_made_then():
    play = Play(
        p=job(stores="d"),
        q=job(stores="e"),
        a=job(after="p q"),
        b=job(),
        c=job(after="p q"),
        parallel=1,
        groups=True,
    )
    play.exits("p", values={"d": "1"})
    play.exits("q", values={"e": "1"})
    play.exits("a")
    play.stores("d", "2")
    play.exits("b")
    play.exits("c")
    assert {name for name, (outlook, _) in play.outlooks().items() if outlook != UP[0]} == {"a"}


def test_a_file_edited_by_hand_is_read_again_and_not_made_again():
    play = chain()
    found = play.outlooks(files={"f": "edited"})
    assert found["a"] == UP
    assert found["b"] == ("will_run", 'file "f" (/f) has changed')


def test_a_job_whose_output_is_gone_runs_again_and_what_reads_it_may():
    play = chain()
    found = play.outlooks(files={"f": None})
    assert found["a"] == ("will_run", 'file "f" (/f), which it made, is gone')
    assert found["b"][0] == "may_run"
    play.restart(files={"f": None})
    play.exits("a", files={"f": "made of 1"})
    assert play.workflow_status == "completed"
    assert play.job("b").run_id == 1


def test_a_value_stored_again_counts_only_if_it_is_another_one():
    play = chain()
    play.stores("d", "7.0")
    assert play.outlooks()["c"] == UP
    play.stores("d", "8")
    assert play.outlooks()["b"] == UP
    assert play.outlooks()["c"] == ("will_run", 'user_data "d" has another value')


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda play: play.exits("a", 3), "it failed: exited with status 3"),
        (lambda play: (play.starts("a"), play.cancel("a"), play.exits("a", -9)), "it was canceled"),
        (lambda play: play.does_not_start("a", "no such program"), "it failed: no such program"),
    ],
    ids=["failed", "canceled", "not started"],
)
def test_what_ended_badly_runs_again_with_all_that_was_canceled_because_of_it(end, reason):
    play = Play(a=job(), b=job(after="a"))
    end(play)
    outlook, why = play.outlooks()["a"]
    assert outlook == "will_run"
    assert why.startswith(reason)
    assert play.outlooks()["b"][0] == "will_run"
    assert "it never ran: canceled because" in play.outlooks()["b"][1]
    play.restart()
    play.exits("a")
    play.exits("b")
    assert play.workflow_status == "completed"


def test_a_diamond_whose_root_fails_and_is_repaired():
    play = Play(
        root=job(reads="in"),
        left=job(after="root"),
        right=job(after="root"),
        end=job(after="left right"),
    )
    play.exits("root", 1)
    assert play.statuses == {
        "root": "failed",
        **dict.fromkeys(["left", "right", "end"], "canceled"),
    }
    play.restart()
    play.exits("root", files={"in": "1"})
    for name in ("left", "right", "end"):
        play.exits(name)
    assert play.workflow_status == "completed"
    assert play.restart() == []


def test_what_changed_while_it_ran_makes_it_run_again():
    play = Play(a=job(reads="in"))
    play.exits("a", files={"in": "1"}, inputs_changed=True)
    why = "what it reads changed while it ran, or had not come well"
    assert play.outlooks() == {"a": ("will_run", why)}
    play = Play(a=job(fetches="d"), initial="d")
    play.stores("d", "5")
    play.exits("a")
    assert play.outlooks() == {"a": ("will_run", why)}


def test_a_value_stored_again_and_equal_while_it_ran_is_no_change():
    play = Play(a=job(fetches="d"), initial="d")
    play.stores("d", "0")
    play.exits("a")
    assert play.outlooks() == {"a": UP}


def test_what_a_job_enabled_too_late_has_made_was_not_seen():
    play = Play(hold=job(), a=job(after="hold", writes="f"), b=job(reads="f"))
    play.disable("a")
    assert play.status("b") == "pending"
    play.enable("a")
    play.exits("hold")
    play.exits("a", files={"f": "1"})
    play.exits("b")
    assert play.outlooks()["b"][0] == "will_run"


def test_a_job_that_ran_though_what_it_waits_for_failed_runs_again():
    play = Play(a=job(), b=job(after="a", goes_on=True))
    play.exits("a", 1)
    play.exits("b")
    assert play.outlooks()["b"] == (
        "will_run",
        "what it reads changed while it ran, or had not come well",
    )


# Some of them


def two_chains():
    play = Play(a=job(), b=job(after="a"), x=job(reads="in"), y=job(after="x"))
    play.exits("a", 1)
    play.exits("x", files={"in": "1"})
    play.exits("y")
    return play


def test_of_two_chains_only_the_one_that_is_named_runs():
    play = two_chains()
    found = play.outlooks("a b", files={"in": "2"})
    assert [outlook for outlook, _ in found.values()] == ["will_run"] * 2 + ["up_to_date"] * 2
    assert found["x"] == ("up_to_date", "it was not named, and nothing before it runs")
    play.restart("a b", files={"in": "2"})
    play.exits("a")
    play.exits("b")
    assert play.workflow_status == "completed"
    # What was left out is still out of date.
    assert play.outlooks()["x"][0] == "will_run"


def test_a_job_that_is_named_runs_and_what_comes_after_it_if_it_has_to():
    play = chain()
    assert play.outlooks("a") == {
        "a": ("will_run", "it was named"),
        "b": ("may_run", '"a", which comes before it, will run again'),
        "c": ("may_run", '"b", which comes before it, may run again'),
    }


def test_only_what_is_named_runs():
    play = chain()
    play.restart("a", only=True)
    assert play.statuses == {"a": "pending", "b": "completed", "c": "completed"}
    play.exits("a", files={"f": "something else"})
    assert play.workflow_status == "completed"
    assert play.outlooks()["b"] == ("will_run", '"a" ran after it, and made something else')


def test_what_is_named_needs_what_comes_before_it():
    play = Play(a=job(), b=job(after="a"))
    play.exits("a", 1)
    with refused(WrongState, '"b" cannot run: it needs "a", which failed'):
        play.restart("b")
    play = chain()
    with refused(MissingInputs, 'file "f" .*which "b" needs and "a" made'):
        play.restart("b", files={"f": None})


def test_what_waits_for_another_that_failed_too_stays_canceled():
    play = Play(a=job(), b=job(), c=job(after="a b"))
    play.exits("a")
    play.exits("b", 1)
    assert play.outlooks("a")["c"] == (
        "up_to_date",
        'it needs "b", which failed and is not to run again',
    )
    play.restart("a")
    assert play.statuses == {"a": "pending", "b": "failed", "c": "canceled"}


# Refusals


def test_a_workflow_that_is_not_over_is_not_restarted():
    play = Play(a=job())
    with refused(WrongState, "has jobs that run"):
        play.restart()
    play.pause()
    play.does_not_start("a")
    with refused(WrongState, "is paused"):
        play.restart()


def test_an_archived_workflow_does_not_run():
    play = chain()
    play.tell(e.ArchiveRequested(workflow_key=play.workflow.key, archived=True, at=play.now))
    with refused(WrongState, "archived"):
        play.restart()


def test_an_input_that_is_gone_is_named_and_nothing_has_changed():
    play = chain()
    with refused(MissingInputs, 'file "in"'):
        play.restart(files={"in": None})
    assert play.workflow_status == "completed"


def test_an_input_that_is_gone_is_waited_for_where_that_was_asked_for():
    play = chain(wait=True)
    play.restart(files={"in": None})
    assert play.status("a") == "blocked"
    play.appears("in")
    assert play.status("a") == "pending"


def test_a_job_that_lacks_an_input_does_not_turn_out_to_be_up_to_date_when_it_comes():
    play = Play(a=job(reads="in", writes="f"), b=job(reads="f eaten"), wait=True)
    play.exits("a", files={"in": "1", "f": "1"})
    play.exits("b", files={"eaten": None})
    assert play.outlooks() == {"a": UP, "b": UP}
    found = play.outlooks(files={"in": "2", "eaten": None})
    assert found["b"] == ("will_run", 'file "eaten" (/eaten), which it reads, is not there')


# Disabled jobs


def test_a_disabled_job_stays_disabled_and_hides_what_is_before_it():
    play = Play(
        hold=job(),
        a=job(reads="in", writes="f"),
        b=job(reads="f", after="hold", writes="g"),
        c=job(reads="g"),
    )
    play.exits("a", files={"in": "1", "f": "1"})
    play.disable("b")
    play.exits("hold")
    play.exits("c", files={"g": "by hand"})
    found = play.outlooks(files={"in": "2"})
    assert found["b"] == ("up_to_date", "it is disabled, and counts as done")
    assert found["c"] == UP
    play.restart(files={"in": "2"})
    play.exits("a", files={"f": "2"})
    assert play.workflow_status == "completed"


def test_what_only_a_disabled_job_would_make_is_missed():
    play = Play(hold=job(), b=job(after="hold", writes="g"), c=job(reads="g"), x=job(after="c"))
    play.disable("b")
    play.exits("c", files={"g": "by hand"})
    play.exits("hold")
    play.exits("x")
    play.restart(files={"g": None})
    assert play.statuses == {
        "hold": "completed",
        "b": "disabled",
        "c": "canceled",
        "x": "canceled",
    }
    assert "missing" in play.why("c")[1]


# Ephemeral data


def test_ephemeral_data_is_made_again_for_whoever_runs_however_long_the_way():
    play = Play(
        a=job(stores="d"),
        b=job(fetches="d", stores="e"),
        c=job(fetches="e"),
        x=job(after="a"),
        ephemeral="d e",
    )
    play.exits("a", values={"d": "1"})
    play.exits("x")
    play.exits("b", values={"e": "1"})
    play.exits("c", 1)
    why = 'it stores user_data "{}", which is ephemeral and which "{}" reads'
    assert play.outlooks() == {
        "a": ("will_run", why.format("d", "b")),
        "b": ("will_run", why.format("e", "c")),
        "c": ("will_run", "it failed: exited with status 1"),
        "x": ("may_run", '"a", which comes before it, will run again'),
    }
    play.restart()
    assert {c.data_key for c in play.last if isinstance(c, ClearValue)} == {
        play.keys["d"],
        play.keys["e"],
    }
    play.exits("a", values={"d": "1"})
    assert play.status("x") == "completed"  # it makes what it made
    play.exits("b", values={"e": "1"})
    play.exits("c")
    assert play.workflow_status == "completed"
    assert play.restart() == []


def test_ephemeral_data_is_kept_while_nothing_runs_that_reads_it():
    play = Play(a=job(stores="d"), b=job(fetches="d"), c=job(), ephemeral="d")
    play.exits("a", values={"d": "1"})
    play.exits("b")
    play.exits("c", 1)
    play.restart()
    assert [c for c in play.last if isinstance(c, ClearValue)] == []
    assert play.statuses == {"a": "completed", "b": "completed", "c": "pending"}


def test_an_initial_value_comes_back_and_is_no_change():
    play = Play(a=job(fetches="d"), b=job(fetches="d"), initial="d", ephemeral="d")
    play.exits("a")
    play.exits("b", 1)
    play.stores("d", "5")
    assert play.outlooks()["a"] == UP
    play.restart()
    [again] = [c for c in play.last if isinstance(c, SaveInitialAgain)]
    assert (again.data_key, again.revision) == (play.keys["d"], 3)
    assert play.statuses == {"a": "completed", "b": "pending"}


def test_ephemeral_data_that_only_a_person_can_store_is_kept():
    play = Play(a=job(fetches="d"), ephemeral="d", wait=True)
    play.stores("d", "5")
    play.exits("a", 1)
    play.restart()
    assert play.status("a") == "pending"


# After a restart of the daemon nothing else happens: see tests/sim


def test_a_job_whose_attempt_is_taken_back_may_still_turn_out_to_have_to_run():
    play = chain()
    play.restart(files={"in": "2"})
    play.exits("a", files={"f": "made of 2"})
    assert play.status("b") == "pending"
    play.pause()
    play.does_not_start("b")
    assert (play.status("b"), play.job("b").may_skip) == ("ready", True)
    play.resume()
    play.exits("b", values={"d": "8"})
    assert play.job("b").state.status is JobStatus.COMPLETED
    assert not play.job("b").may_skip
