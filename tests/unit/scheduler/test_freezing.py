"""`pause --stop`: what runs stands still until it is resumed or told to end."""

from torcd.model import WorkflowStatus
from torcd.scheduler import events as e
from torcd.scheduler.commands import SaveFrozenTime, SaveWorkflow, WakeAt

from .play import Play
from .specs import ActionSpec, job
from .test_loading import Loaded, active

SECOND = 1_000_000


def frozen_seconds(p):
    """What is written down of attempts, by key."""
    saved = [c for c in p.last if isinstance(c, SaveFrozenTime)]
    return {c.attempt_key: c.microseconds / SECOND for c in saved}


def test_what_runs_is_frozen_what_waits_is_taken_back_and_nothing_starts():
    p = Play(parallel=2, a=job(), b=job(), c=job())
    p.starts("a")
    p.freeze()
    assert p.frozen_now == [p.attempt("a")]
    assert p.revoked_now == [p.attempt("b")]
    assert p.started_now == []
    assert p.workflow_status == "paused"
    [saved] = [c for c in p.last if isinstance(c, SaveWorkflow)]
    assert saved.frozen_since == p._time


def test_pausing_alone_freezes_nothing_and_may_be_followed_by_freezing():
    p = Play(a=job())
    p.starts("a")
    p.pause()
    assert p.frozen_now == []
    p.freeze()
    assert p.frozen_now == [p.attempt("a")]
    assert p.revoked_now == []


def test_frozen_stays_frozen_whoever_pauses_again():
    p = Play(a=job())
    p.starts("a")
    p.freeze()
    p.changes_nothing(e.PauseRequested(p.workflow.key, p.now, freezes=True))
    p.changes_nothing(e.PauseRequested(p.workflow.key, p.now))
    assert p.node.frozen_since is not None


def test_one_that_started_just_before_is_frozen_when_that_is_heard_of():
    p = Play(a=job())
    p.freeze()
    assert (p.frozen_now, p.revoked_now) == ([], [p.attempt("a")])
    p.starts("a")
    assert p.frozen_now == [p.attempt("a")]


def test_resuming_thaws_and_starts_more():
    p = Play(parallel=1, a=job(), b=job())
    p.starts("a")
    p.freeze()
    p.resume()
    assert p.thawed_now == [p.attempt("a")]
    p.exits("a")
    assert p.started_now == ["b"]
    p.starts("b")
    assert p.frozen_now == []


def test_resuming_one_that_was_only_paused_thaws_nothing():
    p = Play(a=job())
    p.starts("a")
    p.pause()
    p.resume()
    assert (p.thawed_now, frozen_seconds(p)) == ([], {})


def test_what_is_told_to_end_is_neither_frozen_nor_thawed():
    p = Play(a=job(), b=job())
    p.starts("a")
    p.starts("b")
    p.cancel("a")
    p.freeze()
    assert p.frozen_now == [p.attempt("b")]
    p.cancel("b")
    assert p.stopped_now == [p.attempt("b")]
    p.resume()
    assert (p.thawed_now, frozen_seconds(p)) == ([], {})


def test_a_frozen_workflow_that_is_canceled_is_frozen_no_more():
    p = Play(a=job(), b=job())
    p.starts("a")
    p.freeze()
    p.cancel()
    assert p.node.frozen_since is None
    assert p.attempt("a") in p.stopped_now
    p.starts("b")  # it had, before it was canceled
    assert p.frozen_now == []


def test_one_that_is_over_is_not_frozen():
    p = Play(a=job())
    p.starts("a")
    p.freeze()
    p.exits("a", -9)
    assert p.workflow_status == "failed"
    assert p.node.frozen_since is None


def test_the_command_of_an_action_is_frozen_and_thawed_too():
    p = Play(actions=[ActionSpec("on_workflow_start")], a=job())
    key = p.node.actions.active.state.attempt_key
    p.tell(e.AttemptStarted(key, p.now))
    p.freeze()
    assert p.frozen_now == [key]
    p.resume()
    assert p.thawed_now == [key]
    assert list(frozen_seconds(p)) == [key]


# Runtime limits


def test_the_time_does_not_count_for_the_runtime_limit():
    p = Play(a=job(runtime_seconds=10.0))
    p.starts("a")  # second 2
    p.freeze()  # second 3
    assert [c.at for c in p.last if isinstance(c, WakeAt)] == [None]
    p.tell(e.TimePassed(100 * SECOND))
    assert p.stopped_now == []
    p._time = 102 * SECOND
    p.resume()  # second 103
    assert frozen_seconds(p) == {p.attempt("a"): 100.0}
    assert [c.at for c in p.last if isinstance(c, WakeAt)] == [112 * SECOND]
    p.tell(e.TimePassed(111 * SECOND))
    assert p.stopped_now == []
    p.tell(e.TimePassed(112 * SECOND))
    assert p.stopped_now == [p.attempt("a")]


def test_freezing_twice_adds_up():
    p = Play(a=job(runtime_seconds=10.0))
    p.starts("a")
    for seconds in (1.0, 2.0):
        p.freeze()
        p.resume()
        assert frozen_seconds(p) == {p.attempt("a"): seconds}


def test_an_old_deadline_of_one_that_was_frozen_does_not_stop_it():
    p = Play(a=job(runtime_seconds=20.0))
    other = Play(beside=p, b=job(runtime_seconds=5.0))
    other.starts("b")
    p.starts("a")  # its deadline stands behind that of b
    p.freeze()
    p._time = 30 * SECOND
    p.resume()
    other.tell(e.TimePassed(29 * SECOND))
    assert other.stopped_now == [other.attempt("b")]


def test_a_new_attempt_begins_without_frozen_time():
    p = Play(a=job(runtime_seconds=10.0), b=job(after="a", runtime_seconds=10.0))
    p.starts("a")
    p.freeze()
    p.resume()
    p.exits("a")
    p.starts("b")
    assert [c.at for c in p.last if isinstance(c, WakeAt)] == [
        p.job("b").state.started_at + 10 * SECOND
    ]


def test_a_clock_that_was_put_back_takes_no_time_away():
    p = Play(a=job())
    p.starts("a")
    p.freeze()
    p._time -= 2 * SECOND
    p.resume()
    assert frozen_seconds(p) == {p.attempt("a"): 1e-6}


# A new daemon


def test_a_new_daemon_freezes_what_it_finds_running():
    p = Loaded({"a": job()}, {"a": active(7)}, status=WorkflowStatus.PAUSED, frozen_since=3)
    assert p.frozen_now == []  # that it runs is not known yet
    p.tell(e.AttemptStarted(7, p.now))
    assert p.frozen_now == [7]


def test_a_new_daemon_thaws_what_was_to_thaw():
    p = Loaded(
        {"a": job(), "b": job(runtime_seconds=10.0)},
        {"a": active(7, frozen_microseconds=5), "b": active(8)},
    )
    assert p.thawed_now == [7]


def test_time_frozen_in_an_earlier_daemon_does_not_count_either():
    p = Loaded({"a": job(runtime_seconds=10.0)}, {"a": active(7, frozen_microseconds=4 * SECOND)})
    p.tell(e.AttemptStarted(7, 100 * SECOND))
    assert [c.at for c in p.last if isinstance(c, WakeAt)] == [114 * SECOND]
