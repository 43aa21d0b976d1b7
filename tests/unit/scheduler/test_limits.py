"""Runtime limits: who is stopped, when to be woken, and what a race comes to."""

import pytest

from torcd.model import JobStatus, Reason
from torcd.scheduler import events as e
from torcd.scheduler import limits, wording
from torcd.scheduler.commands import StartAttempt, StopAttempt, WakeAt

from .play import Play
from .specs import job
from .test_loading import Loaded, active

SECOND = 1_000_000


def wakes(p):
    """What the last event had to say about it."""
    return [c.at for c in p.last if isinstance(c, WakeAt)]


def started_at(p, name):
    return p.job(name).state.started_at


def passes(p, at):
    return p.tell(e.TimePassed(at))


def exits_at(p, name, code, at):
    p._time = at - SECOND
    p.exits(name, code)


def limited(**more):
    return job(runtime_seconds=10.0, **more)


def test_a_job_is_stopped_when_it_has_run_for_as_long_as_it_may():
    p = Play(a=limited(), b=job(after="a"))
    p.starts("a")
    limit = started_at(p, "a") + 10 * SECOND
    assert wakes(p) == [limit]
    passes(p, limit)
    assert p.stopped_now == [p.attempt("a")]
    assert (p.saved("a").stopping, p.saved("a").reason) == (True, Reason.TIMEOUT)
    assert wakes(p) == []
    exits_at(p, "a", -9, limit + 3)
    assert p.statuses == {"a": "terminated", "b": "canceled"}
    assert p.why("a") == ("timeout", "stopped at its runtime limit of 10 s")
    assert p.why("b") == ("dependency", 'canceled because "a" was terminated')
    assert p.saved("a").return_code == -9


@pytest.mark.parametrize("gently", [True, False])
def test_it_is_stopped_in_the_way_that_it_supports(gently):
    p = Play(a=limited(supports_termination=gently))
    p.starts("a")
    passes(p, started_at(p, "a") + 10 * SECOND)
    [stop] = [c for c in p.last if isinstance(c, StopAttempt)]
    assert stop.supports_termination is gently


def test_time_counts_from_the_start_and_not_while_it_is_pending():
    p = Play(a=limited())
    assert wakes(p) == []
    passes(p, 10**12)
    assert p.last == []


def test_without_limits_there_is_nothing_to_wake_up_for():
    p = Play(a=job(), b=job(num_cpus=2))
    p.starts("a")
    p.starts("b")
    p.exits("a")
    assert [c for c in p.history if isinstance(c, WakeAt)] == []


def test_it_is_woken_for_the_earliest_limit_and_told_only_when_that_changes():
    p = Play(a=limited(), b=limited(), c=job(runtime_seconds=1.5), d=job())
    p.starts("a")
    first = wakes(p)
    p.starts("b")
    assert wakes(p) == []
    p.starts("c")
    assert wakes(p) == [started_at(p, "c") + 1_500_000]
    p.exits("c")
    assert wakes(p) == first
    p.starts("d")
    p.exits("d")
    assert wakes(p) == []
    p.exits("a")
    assert wakes(p) == [started_at(p, "b") + 10 * SECOND]
    p.exits("b")
    assert wakes(p) == [None]


def test_one_that_is_woken_too_early_asks_again():
    p = Play(a=limited())
    p.starts("a")
    limit = started_at(p, "a") + 10 * SECOND
    passes(p, limit - 1)
    assert (p.stopped_now, wakes(p)) == ([], [limit])


def test_all_whose_time_has_come_are_stopped_of_all_workflows():
    p = Play(a=limited())
    q = Play(beside=p, b=limited(), c=job(runtime_seconds=99.0))
    p.starts("a")
    for name in "bc":
        q.starts(name)
    passes(p, started_at(p, "a") + 20 * SECOND)
    assert p.stopped_now == [p.attempt("a"), q.attempt("b")]
    assert wakes(p) == [started_at(q, "c") + 99 * SECOND]


def test_what_is_canceled_already_is_not_stopped_again():
    p = Play(a=limited())
    p.starts("a")
    p.cancel("a")
    assert wakes(p) == [None]
    passes(p, 10**12)
    assert p.last == []
    p.exits("a", -15)
    assert p.status("a") == "canceled"


def test_a_cancel_comes_too_late_for_one_that_is_being_stopped():
    p = Play(a=limited())
    p.starts("a")
    passes(p, started_at(p, "a") + 10 * SECOND)
    p.cancel("a")
    assert p.stopped_now == []
    p.exits("a", -9)
    assert p.status("a") == "terminated"


# The race between an end and a limit


@pytest.mark.parametrize(
    ("code", "after_seconds", "expected"),
    [
        (0, 9.999999, "completed"),
        (3, 9.999999, "failed"),
        (-11, 5.0, "failed"),
        (0, 10.0, "terminated"),
        (3, 11.0, "terminated"),
        (-9, 9.999999, "terminated"),
        (-15, 9.999999, "terminated"),
        (0, -3600.0, "terminated"),
    ],
)
def test_one_that_had_ended_before_its_limit_is_judged_by_its_own_end(
    code, after_seconds, expected
):
    p = Play(a=limited())
    p._time = 2 * 3600 * SECOND
    p.starts("a")
    start = started_at(p, "a")
    passes(p, start + 10 * SECOND)
    exits_at(p, "a", code, start + round(after_seconds * SECOND))
    assert p.status("a") == expected


def test_one_that_ends_by_itself_a_moment_after_its_limit_is_not_punished():
    p = Play(a=limited())
    p.starts("a")
    exits_at(p, "a", 0, started_at(p, "a") + 10 * SECOND + 5)
    assert p.status("a") == "completed"


# Restarts


def test_after_a_restart_its_time_goes_on_from_when_it_started():
    p = Loaded({"a": limited()}, {"a": active(7)})
    assert wakes(p) == []
    p.tell(e.AttemptStarted(7, 5))
    assert wakes(p) == [5 + 10 * SECOND]
    passes(p, 5 + 10 * SECOND)
    assert p.stopped_now == [7]


def test_a_stop_at_the_limit_is_repeated_after_a_restart_and_still_its_reason():
    saved = active(
        7, status=JobStatus.PENDING, stopping=True, reason=Reason.TIMEOUT, message="limit"
    )
    p = Loaded({"a": limited()}, {"a": saved})
    assert [type(c) for c in p.actions] == [StartAttempt, StopAttempt]
    p.tell(e.AttemptStarted(7, 5))
    assert wakes(p) == []
    p.exits("a", -9)
    assert p.why("a") == ("timeout", "limit")
    assert p.status("a") == "terminated"


def test_one_that_is_lost_while_it_is_being_stopped_is_terminated():
    p = Play(a=limited())
    p.starts("a")
    passes(p, started_at(p, "a") + 10 * SECOND)
    p.is_lost("a")
    assert p.status("a") == "terminated"


@pytest.mark.large
def test_limits_of_attempts_that_are_over_are_forgotten():
    p = Play(long=job(runtime_seconds=10.0**6), **{f"j{i}": limited() for i in range(300)})
    p.starts("long")
    for i in range(300):
        p.starts(f"j{i}")
        p.exits(f"j{i}")
    assert len(p.scheduler._memory.deadlines) <= limits._MAX_IDLE + 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (60.0, "1 min"), (5400.0, "1 h 30 min"), (90061.0, "25 h 1 min 1 s")],
)
def test_a_duration_is_written_for_people(seconds, text):
    assert wording.duration(seconds) == text
