"""Jobs that are handed over before what they wait for has ended."""

from typing import Any

import pytest

from torcd.model import NO_ATTEMPT, AttemptKey, Capacity, FailureRule, Reason
from torcd.scheduler import choosing
from torcd.scheduler.commands import StartAttempt

from .play import Play
from .specs import job
from .test_loading import FAILED, Loaded, active, stopped


def brief(**jobs: Any) -> Play:
    """Where attempts take a millisecond, as is known; `a` waited for the first to end."""
    play = Play(z=job(), **{"a": job(after="z"), **jobs})
    play.starts("z")
    ends_after_a_millisecond(play, "z")
    return play


def ends_after_a_millisecond(play: Play, name: str) -> None:
    play._time = play.job(name).state.started_at - 1_000_000 + 1_000
    play.exits(name)


def afters(play: Play) -> dict[str, AttemptKey | None]:
    """After which attempts jobs were started now."""
    return {c.job.name: c.after for c in play.last if isinstance(c, StartAttempt)}


def keys(play: Play, names: str) -> list[AttemptKey]:
    return [play.attempt(name) for name in names.split()]


CHAIN = {"b": job(after="a"), "c": job(after="b")}


def test_a_chain_of_short_jobs_is_handed_over_at_once():
    play = brief(**CHAIN)
    assert afters(play) == {"a": None, "b": play.attempt("a"), "c": play.attempt("b")}
    for name in "abc":
        play.starts(name)
        play.exits(name)
    assert play.workflow_status == "completed"


def test_nothing_is_handed_over_ahead_while_it_is_not_known_how_long_jobs_take():
    play = Play(a=job(), b=job(after="a"))
    assert play.statuses == {"a": "pending", "b": "blocked"}


def test_nothing_is_handed_over_ahead_where_jobs_take_long():
    play = Play(z=job(), a=job(after="z"), b=job(after="a"), parallel=2)
    play.starts("z")
    play.exits("z")  # after a second
    assert play.statuses == {"z": "completed", "a": "pending", "b": "blocked"}


def test_what_is_ready_goes_first():
    jobs = {f"j{i}": job() for i in range(choosing.MAX_LOOKAHEAD + 10)}
    play = Play(**jobs, a=job(after="j1"), parallel=2)
    play.starts("j0")
    ends_after_a_millisecond(play, "j0")
    assert play.status("a") == "blocked"


@pytest.mark.parametrize(
    ("of", "jobs", "more"),
    [
        ("b", {"a": job(after="z", writes="f"), "b": job(after="a")}, {}),
        ("b", {"a": job(after="z", stores="d"), "b": job(after="a")}, {}),
        ("b", {"a": job(after="z", reads="f"), "b": job(after="a")}, {}),
        ("b", {"a": job(after="z", reads="f g"), "b": job(after="a")}, {"groups": True}),
        ("b", {"a": job(after="z", fetches="v"), "b": job(after="a")}, {"initial": "v"}),
        ("b", {"b": job(after="a", fetches="v")}, {"initial": "v"}),
        ("b", {"b": job(after="a", fetches="v w")}, {"initial": "v w", "groups": True}),
        ("b", {"b": job(after="a", goes_on=True)}, {}),
        ("b", {"y": job(after="z"), "b": job(after="a y")}, {}),
        (
            "b",
            {"b": job(after="a", num_cpus=1)},
            {"capacity": Capacity(cpus=8, memory_bytes=0, gpus=0)},
        ),
    ],
    ids=[
        "its leader makes a file",
        "its leader stores",
        "its leader reads a file",
        "its leader reads a group of files",
        "its leader fetches",
        "it fetches",
        "it fetches a group",
        "it runs also after a failure",
        "it waits for two",
        "jobs ask for shares",
    ],
)
def test_who_does_not_come_after_another(of: str, jobs: dict[str, Any], more: Any) -> None:
    play = brief(**jobs, **more)
    assert play.status("a") == "pending"
    assert play.status(of) == "blocked"


def test_nobody_comes_after_one_that_reads_what_a_disabled_job_would_make():
    jobs = {"p": job(after="z", writes="f"), "a": job(after="y p"), "b": job(after="a")}
    play = Play(z=job(), y=job(after="z"), **jobs)
    play.disable("p")
    play.starts("z")
    ends_after_a_millisecond(play, "z")
    play.starts("y")
    play.exits("y")
    assert (play.status("a"), play.status("b")) == ("pending", "blocked")


def test_what_is_ready_does_not_wait_behind_what_is_to_come_after_a_long_job():
    chain = {f"b{i}": job(after=f"b{i - 1}" if i else "a") for i in range(300)}
    play = brief(parallel=2, absent="f", wait=True, x=job(reads="f"), **chain)
    assert play.node.following == play.node.in_flight - 1 > 100
    play.starts("a")
    play.appears("f")
    assert play.status("x") == "pending"


def test_of_two_the_last_one_is_followed():
    play = brief(y=job(after="z"), b=job(after="a y"))
    play.starts("a")
    play.exits("a")
    assert play.status("b") == "blocked"  # when "y" was chosen, it waited for two
    play.exits("y")
    assert play.status("b") == "pending"


def test_when_the_leader_fails_what_was_to_come_after_it_is_canceled():
    play = brief(**CHAIN)
    play.starts("a")
    play.exits("a", 1)
    assert play.revoked_now == keys(play, "b")
    play.does_not_start("b")
    play.does_not_start("c")
    assert play.statuses == {"z": "completed", "a": "failed", "b": "canceled", "c": "canceled"}
    assert (play.job("b").attempt_id, play.job("c").attempt_id) == (0, 0)


def test_what_is_given_back_before_the_end_of_its_leader_is_told_waits_again():
    play = brief(**CHAIN)
    play.starts("a")
    play.does_not_start("b")
    play.does_not_start("c")
    assert (play.status("b"), play.status("c")) == ("blocked", "blocked")
    assert not play.started_now
    play.exits("a")  # it had left a TORC_OUTPUT
    assert afters(play) == {"b": None, "c": play.attempt("b")}


def test_who_recovers_is_followed_again():
    play = brief(
        a=job(after="z", handler="h"),
        b=job(after="a"),
        handlers={"h": [FailureRule(match_all_exit_codes=True)]},
    )
    play.starts("a")
    play.exits("a", 1)
    assert play.status("b") == "pending"  # nobody has given it back yet
    play.does_not_start("b")
    assert play.status("b") == "blocked"
    play.exits("a")
    assert afters(play) == {"b": None}


@pytest.mark.parametrize("is_known", [True, False], ids=["running", "pending"])
def test_whoever_has_started_when_its_leader_is_canceled_is_killed(is_known: bool) -> None:
    play = brief(**CHAIN)
    if is_known:
        play.starts("a")
    play.cancel("a")
    assert play.stopped_now == keys(play, "a b c")
    # It had ended well just before, and "b" had started.
    play.exits("a")
    play.starts("b")
    assert play.job("b").is_stopping
    play.exits("b", -9)
    play.does_not_start("c")
    assert play.statuses == {"z": "completed", "a": "canceled", "b": "canceled", "c": "canceled"}
    assert play.job("c").state.message == 'canceled because "b" was canceled'
    play.retry("a")
    assert play.statuses["b"] != "canceled"


def test_when_the_workflow_is_canceled_each_of_them_is_told_so():
    play = brief(**CHAIN)
    play.starts("a")
    play.cancel()
    play.exits("a", -9)
    play.does_not_start("b")
    play.does_not_start("c")
    assert {play.job(name).state.message for name in "abc"} == {"canceled with its workflow"}


def test_a_pause_takes_them_back():
    play = brief(**CHAIN)
    play.starts("a")
    play.pause()
    assert play.revoked_now == keys(play, "b c")


def test_a_new_daemon_starts_them_only_if_the_executor_knows_them():
    play = Loaded(
        {"a": job(), "b": job(after="a"), "bad": job(), "c": job(after="bad")},
        {
            "a": active(1),
            "b": active(2),
            "bad": FAILED,
            "c": stopped(3, Reason.DEPENDENCY),
        },
    )
    assert afters(play) == {"a": None, "b": NO_ATTEMPT, "c": NO_ATTEMPT}


def test_one_that_came_after_another_has_seen_it_and_is_up_to_date():
    play = brief(**CHAIN)
    for name in "abc":
        play.starts(name)
        play.exits(name)
    assert {outlook for outlook, _ in play.outlooks().values()} == {"up_to_date"}


def test_it_has_also_seen_it_if_all_starts_are_told_before_the_ends():
    play = brief(**CHAIN)
    for name in "abc":
        play.starts(name)
    for name in "abc":
        play.exits(name)
    assert {outlook for outlook, _ in play.outlooks().values()} == {"up_to_date"}


THREE = {"a": job(), "b": job(after="a"), "c": job(after="b")}


def test_for_a_new_daemon_too_one_that_came_after_another_has_seen_it():
    play = Loaded(THREE, {"a": active(1), "b": active(2), "c": active(3)})
    for name in "abc":
        play.starts(name)
        play.exits(name)
    assert {outlook for outlook, _ in play.outlooks().values()} == {"up_to_date"}


def test_for_a_new_daemon_too_whoever_has_started_when_its_leader_is_canceled_is_killed():
    play = Loaded(THREE, {"a": active(1), "b": active(2), "c": active(3)})
    play.cancel("a")
    assert play.stopped_now == [1, 2, 3]


def test_a_new_daemon_kills_what_has_started_though_its_leader_was_canceled():
    by_dependency = {"b": stopped(2, Reason.DEPENDENCY), "c": stopped(3, Reason.DEPENDENCY)}
    play = Loaded(THREE, {"a": stopped(1, Reason.CANCELED), **by_dependency})
    assert play.stopped_now == [1, 2, 3]
    play.exits("a")
    play.starts("b")
    play.exits("b", -9)
    play.does_not_start("c")
    assert play.statuses == {"a": "canceled", "b": "canceled", "c": "canceled"}


def test_for_a_new_daemon_too_what_comes_after_another_takes_no_place():
    play = Loaded({**THREE, "x": job()}, {"a": active(1), "b": active(2)}, parallel=2)
    assert play.status("x") == "pending"  # "b" takes no place


def test_for_a_new_daemon_too_one_that_was_chosen_before_what_it_waits_for_takes_a_place():
    # "a" was tried again, or enabled, when "b" was pending.
    play = Loaded({**THREE, "x": job()}, {"a": active(3), "b": active(2)}, parallel=2)
    assert play.status("x") == "ready"


def test_an_executor_that_gives_back_what_comes_after_others_is_not_asked_each_time():
    chain = [f"b{i}" for i in range(50)]
    play = brief(
        parallel=1, **{b: job(after=a) for a, b in zip(["a", *chain], chain, strict=False)}
    )
    in_vain = 0
    for leader in ["a", *chain]:
        play.starts(leader)
        for name in [name for name in chain if play.status(name) == "pending"]:
            in_vain += 1
            play.does_not_start(name)
        ends_after_a_millisecond(play, leader)
    assert play.workflow_status == "completed"
    assert 50 <= in_vain < 500
