"""Who is next, and how many are handed over."""

from torcd.scheduler import choosing

from .play import Play
from .specs import job


def many(n: int):
    return {f"j{i}": job() for i in range(n)}


def test_jobs_are_chosen_in_the_order_of_the_spec():
    play = Play(**many(5), parallel=2)
    assert play.started_now == ["j0", "j1"]
    play.exits("j1")
    assert play.started_now == ["j2"]


def test_a_higher_priority_goes_first():
    play = Play(a=job(priority=-1), b=job(), c=job(priority=5), d=job(priority=5), parallel=1)
    order = []
    while play.workflow_status == "running":
        [name] = play.started_now
        order.append(name)
        play.exits(name)
    assert order == ["c", "d", "b", "a"]


def test_one_that_becomes_ready_later_goes_first_if_its_priority_is_higher():
    play = Play(a=job(), b=job(), c=job(after="a", priority=1), parallel=1)
    play.exits("a")
    assert play.started_now == ["c"]


def test_at_most_the_limit_is_handed_over_before_anything_is_known_of_durations():
    play = Play(**many(10), parallel=3)
    assert play.node.in_flight == 3


def test_each_workflow_has_a_limit_of_its_own():
    play = Play(**many(3), parallel=1)
    other = Play(beside=play, **many(4), parallel=2)
    assert (play.node.in_flight, other.node.in_flight) == (1, 2)


def ends_after(play: Play, name: str, microseconds: int) -> None:
    play.starts(name)
    began = play.job(name).state.started_at
    play._time = began + microseconds - 1_000_000
    play.exits(name)


def test_as_many_are_handed_over_ahead_as_would_start_within_the_lookahead():
    play = Play(**many(100), parallel=2)
    ends_after(play, "j0", choosing.LOOKAHEAD_MICROSECONDS // 5)
    assert play.node.in_flight == 2 + 10
    ends_after(play, "j1", choosing.LOOKAHEAD_MICROSECONDS // 5)
    assert play.node.in_flight == 2 + 10


def test_jobs_of_a_second_are_not_handed_over_ahead():
    play = Play(**many(100), parallel=2)
    ends_after(play, "j0", 1_000_000)
    assert play.node.in_flight == 2


def test_not_more_than_a_bound_is_handed_over_ahead():
    play = Play(**many(choosing.MAX_LOOKAHEAD + 10), parallel=2)
    ends_after(play, "j0", 1)
    assert play.node.in_flight == 2 + choosing.MAX_LOOKAHEAD


def test_when_jobs_turn_out_longer_nothing_more_is_handed_over_until_there_is_room():
    play = Play(**many(300), parallel=1)
    ends_after(play, "j0", 1_000)
    ahead = play.node.in_flight
    assert ahead == 1 + choosing.LOOKAHEAD_MICROSECONDS // 1_000
    ends_after(play, "j1", 10_000_000)
    assert play.started_now == []
    assert play.node.in_flight == ahead - 1


def test_how_long_a_stopped_attempt_took_says_nothing():
    play = Play(**many(100), parallel=1)
    play.cancel("j0")
    ends_after(play, "j0", 1)
    assert play.node.in_flight == 1
