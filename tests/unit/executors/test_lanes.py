"""Whose turn it is."""

from torcd.executors.warden.lanes import Lanes
from torcd.executors.warden.ledger import OVER, Attempt, Lane


def lane(limit: int, *keys: int) -> Lane:
    lane = Lane(1)
    lane.places = limit
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
    some.places = 1
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


class Scene:
    """Lanes of which all are looked at."""

    def __init__(self) -> None:
        self.lanes = Lanes()

    def wait(self, key: int, *, lane: int = 1, limit: int = 4) -> Attempt:
        attempt = self.expect(key, lane=lane, limit=limit)
        self.lanes.put(attempt)
        return attempt

    def expect(self, key: int, *, lane: int = 1, limit: int = 4) -> Attempt:
        """One that comes after another."""
        found = self.lanes.lane(lane)
        self.lanes.bound(found, limit)
        return Attempt(key, found, None)

    def take(self) -> list[int]:
        return [attempt.key for attempt in self.lanes.take(100)]

    def end(self, attempt: Attempt) -> None:
        assert attempt.lane is not None
        attempt.lane.running -= 1
        self.lanes.look_at(attempt.lane)
        attempt.lane = None


def test_a_share_bounds_a_lane_whatever_orders_say() -> None:
    scene = Scene()
    scene.lanes.share(1, 2)
    scene.lanes.share(2, 2)
    for key in (1, 2, 3):
        scene.wait(key, limit=4)
        scene.wait(key + 10, lane=2, limit=1)
    assert scene.take() == [1, 2, 11, 12]


def test_a_raised_share_and_one_that_is_taken_back_start_what_waits() -> None:
    scene = Scene()
    scene.lanes.share(1, 1)
    for key in (1, 2, 3):
        scene.wait(key)
    assert scene.take() == [1]
    scene.lanes.share(1, 2)
    assert scene.take() == [2]
    scene.lanes.share(1, None)
    assert scene.take() == [3]


def test_a_share_outlives_an_empty_lane() -> None:
    scene = Scene()
    scene.lanes.share(1, 1)
    first = scene.wait(1)
    assert scene.take() == [1]
    scene.end(first)
    assert scene.take() == []
    assert scene.lanes.figures([scene.lanes.lane(1)]) == [(1, 1, 0)]
    for key in (2, 3):
        scene.wait(key)
    assert scene.take() == [2]


def test_what_has_waited_for_another_is_bound_by_the_share_of_now() -> None:
    scene = Scene()
    first, followers = scene.wait(1), [scene.expect(2), scene.expect(3)]
    assert scene.take() == [1]
    scene.end(first)
    assert scene.take() == []
    scene.lanes.share(1, 1)
    assert scene.lanes.figures([attempt.lane for attempt in followers if attempt.lane]) == [
        (1, 1, 0)
    ]
    for attempt in followers:
        scene.lanes.put_follower(attempt)
    assert scene.take() == [2]
    assert followers[0].lane is followers[1].lane


def test_what_is_withdrawn_leaves_its_lane_to_others() -> None:
    scene = Scene()
    first, second = scene.wait(1, limit=1), scene.wait(2, limit=1)
    assert scene.take() == [1]
    assert scene.lanes.waiting == 1
    second.state = OVER
    scene.lanes.withdraw([second])
    assert scene.lanes.waiting == 0
    scene.wait(3, limit=1)
    scene.end(first)
    assert scene.take() == [3]


def test_a_lane_from_which_all_is_withdrawn_is_forgotten() -> None:
    scene = Scene()
    scene.lanes.share(1, 0)
    only = scene.wait(1)
    lane = only.lane
    assert scene.take() == []
    only.state = OVER
    scene.lanes.withdraw([only])
    scene.take()
    assert scene.lanes.lane(1) is not lane


def test_the_figures_are_of_the_lane_that_is_there_now() -> None:
    scene = Scene()
    first, follower = scene.wait(1), scene.expect(2)
    assert scene.take() == [1]
    scene.end(first)
    assert scene.take() == []
    third = scene.wait(3, limit=2)
    assert scene.take() == [3]
    assert follower.lane is not None
    assert follower.lane is not third.lane
    assert scene.lanes.figures([follower.lane]) == [(1, 2, 1)]
