"""What sessions hold together: bounded, given back, and no concern of those who hold little."""

import pytest

from torcd.server import memory
from torcd.server.memory import LITTLE_BYTES, Memory, Share

LARGE = LITTLE_BYTES + 1


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setattr(memory, "MAX_HELD_BYTES", 2 * LARGE)
    return Memory(max_message_bytes=1)


def test_who_wants_more_than_there_is_does_not_get_it(budget: Memory) -> None:
    first, second, third = (Share(budget) for _ in range(3))
    assert first.hold(LARGE)
    assert second.hold(LARGE)
    assert not third.hold(LARGE)
    third.give_back()
    assert not first.hold(LARGE + 1)
    first.give_back()
    assert second.hold(LARGE + 1)


def test_who_holds_little_is_never_refused(budget: Memory) -> None:
    shares = [Share(budget) for _ in range(100)]
    assert all(share.hold(LITTLE_BYTES) for share in shares)
    assert shares[0].hold(2 * LARGE)
    assert shares[1].hold(LITTLE_BYTES)


def test_giving_some_back_is_never_refused(budget: Memory) -> None:
    share, other = Share(budget), Share(budget)
    assert share.hold(2 * LARGE)
    assert not other.hold(2 * LARGE)
    assert other.hold(LARGE)


def test_what_is_given_back_is_not_held_again(budget: Memory) -> None:
    share = Share(budget)
    share.give_back()
    assert share.hold(5 * LARGE)
    assert not budget.is_spent


def test_there_is_always_room_for_some_of_the_largest_messages() -> None:
    budget = Memory(max_message_bytes=memory.MAX_HELD_BYTES)
    assert all(Share(budget).hold(memory.MAX_HELD_BYTES) for _ in range(memory.LARGEST_MESSAGES))
    assert not Share(budget).hold(memory.MAX_HELD_BYTES)
