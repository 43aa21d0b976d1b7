"""Whose turn it is."""

from torcd.executors.warden.ledger import OVER, Attempt, Lane


def lane(limit: int, *keys: int) -> Lane:
    lane = Lane(1)
    lane.limit = limit
    lane.queue.extend(Attempt(key, lane, None) for key in keys)
    return lane


def taken(lane: Lane) -> list[int]:
    batch: list[Attempt] = []
    lane.take(batch, 100)
    return [attempt.key for attempt in batch]


def test_places_are_given_in_order_up_to_the_limit() -> None:
    some = lane(2, 1, 2, 3)
    assert taken(some) == [1, 2]
    some.running -= 1
    assert taken(some) == [3]


def test_no_more_are_taken_than_a_batch_holds() -> None:
    some = lane(3, 1, 2, 3)
    batch: list[Attempt] = []
    some.take(batch, 1)
    some.take(batch, 2)
    assert [attempt.key for attempt in batch] == [1, 2]
    assert some.running == 2


def test_one_that_was_stopped_while_it_waited_takes_no_place() -> None:
    some = lane(1, 1, 2)
    some.queue[0].state = OVER
    assert taken(some) == [2]


def test_one_that_could_not_be_started_yet_is_the_next_again() -> None:
    some = lane(1, 1, 2)
    batch: list[Attempt] = []
    some.take(batch, 1)
    some.give_back(batch[0])
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
