"""Values: who may store which, and what is kept."""

import pytest

from torcd.errors import Denied, NotDeclared, NotFound, UnknownWorkflow
from torcd.model import Happening
from torcd.scheduler import events as e
from torcd.scheduler.commands import SaveValue

from .play import Play, refused
from .specs import job, parsed


def saved(play: Play) -> SaveValue:
    [found] = [c for c in play.last if isinstance(c, SaveValue)]
    return found


def test_each_store_makes_a_new_revision_and_tells_who_stored_it():
    play = Play(a=job(stores="d"))
    play.stores("d", "[1]", by="a")
    assert (saved(play).revision, saved(play).attempt_key) == (1, play.attempt("a"))
    assert saved(play).value == parsed("[1]")
    [told] = [c for c in play.last if isinstance(c, Happening)]
    assert (told.kind, told.revision, told.job_key, told.attempt_id) == (
        "value_stored",
        1,
        play.keys["a"],
        1,
    )
    play.stores("d", "[1]")
    assert (saved(play).revision, saved(play).attempt_key, saved(play).run_id) == (2, None, 1)


def test_whoever_looks_ahead_sees_that_something_was_stored_whether_it_spreads_or_not():
    play = Play(a=job(stores="d"))
    [node] = play.scheduler.workflows.values()
    for by in ("a", None):
        turns = node.turns
        play.stores("d", "[1]", by=by)
        assert node.turns > turns


def test_revisions_go_on_from_the_initial_value():
    play = Play(a=job(stores="d"), initial="d")
    play.exits("a", values={"d": "5"})
    assert saved(play).revision == 2


def test_a_value_stored_twice_by_one_output_file_makes_two_revisions():
    play = Play(a=job(stores="d"))
    play.tell(
        e.AttemptExited(
            attempt_key=play.attempt("a"),
            return_code=0,
            cpu_seconds=None,
            peak_memory_bytes=None,
            outputs=e.Outputs(
                values=((play.keys["d"], parsed("1")), (play.keys["d"], parsed("2")))
            ),
            at=play.now,
        )
    )
    assert [(c.revision, c.value.text) for c in play.last if isinstance(c, SaveValue)] == [
        (1, b"1"),
        (2, b"2"),
    ]


def test_a_job_on_its_way_out_may_still_store():
    play = Play(a=job(stores="d"))
    play.starts("a")
    play.cancel()
    play.stores("d", by="a")
    assert saved(play).revision == 1


def test_a_person_may_store_whatever_runs_and_when_all_is_over():
    play = Play(a=job(stores="d"), b=job())
    play.stores("d")
    play.pause()
    play.stores("d")
    play.cancel()
    play.stores("d")
    play.exits("a", 1)
    play.exits("b", 1)
    assert play.workflow_status == "canceled"
    play.stores("d")
    assert saved(play).revision == 4
    assert play.workflow_status == "canceled"


def test_a_person_who_stored_for_a_job_has_made_its_output():
    play = Play(a=job(stores="d"))
    play.starts("a")
    play.stores("d")
    play.exits("a")
    assert play.status("a") == "completed"


def test_a_job_stores_only_what_it_declared():
    play = Play(a=job(fetches="d"), b=job(stores="x"), initial="d")
    with refused(NotDeclared, '"a" does not declare "d" as an output') as caught:
        play.stores("d", by="a")
    assert caught.value.facts == {"name": "d"}
    with refused(NotDeclared):
        play.stores("x", by="a")


def test_an_attempt_that_has_ended_stores_nothing_more():
    play = Play(a=job(stores="d"), b=job())
    play.exits("a", 1)
    with refused(Denied):
        play.stores("d", by="a")


def test_an_attempt_of_another_workflow_stores_nothing_here():
    play = Play(a=job(stores="d"))
    other = Play(beside=play, b=job(stores="x"))
    with refused(Denied):
        play.tell(
            e.StoreRequested(
                workflow_key=play.workflow.key,
                data_key=play.keys["d"],
                value=parsed("1"),
                attempt_key=other.attempt("b"),
                at=play.now,
            )
        )


@pytest.mark.parametrize(("workflow", "error"), [(1, NotFound), (99, UnknownWorkflow)])
def test_what_is_not_there_is_refused(workflow, error):
    play = Play(a=job(stores="d"))
    with refused(error):
        play.tell(
            e.StoreRequested(
                workflow_key=workflow,
                data_key=77,
                value=parsed("1"),
                attempt_key=None,
                at=play.now,
            )
        )
