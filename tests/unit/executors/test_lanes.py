"""Whose turn it is."""

from torcd.executors.warden.ledger import OVER, Attempt, Lane


def lane(limit: int, *keys: int) -> Lane:
    lane = Lane(1)
    lane.limit = limit
    lane.queue.extend(Attempt(key, lane, None) for key in keys)
    return lane


def taken(lane: Lane) -> list[int]:
    keys = []
    while (attempt := lane.next()) is not None:
        keys.append(attempt.key)
    return keys


def test_places_are_given_in_order_up_to_the_limit() -> None:
    some = lane(2, 1, 2, 3)
    assert taken(some) == [1, 2]
    some.running -= 1
    assert taken(some) == [3]


def test_one_that_was_stopped_while_it_waited_takes_no_place() -> None:
    some = lane(1, 1, 2)
    some.queue[0].state = OVER
    assert taken(some) == [2]


def test_one_that_could_not_be_started_yet_is_the_next_again() -> None:
    some = lane(1, 1, 2)
    first = some.next()
    assert first is not None
    some.give_back(first)
    assert taken(some) == [1]


def test_a_lower_limit_lets_those_that_run_run() -> None:
    some = lane(3, 1, 2, 3, 4)
    assert taken(some) == [1, 2, 3]
    some.limit = 1
    some.running -= 2
    assert taken(some) == []
    some.running -= 1
    assert taken(some) == [4]


def test_a_lane_is_empty_when_nothing_runs_or_waits() -> None:
    some = lane(1, 1)
    assert not some.empty
    taken(some)
    assert not some.empty
    some.running -= 1
    assert some.empty
