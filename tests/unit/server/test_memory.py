"""What sessions hold together: bounded, given back, and no concern of those who hold little."""

import asyncio

import anyio
import pytest

from torcd.server import memory
from torcd.server.memory import LEAST_MOVED_BYTES, LITTLE_BYTES, MAX_SHARED_BYTES, Memory, Share

HALF = MAX_SHARED_BYTES // 2


class Client:
    """Of a share of its own."""

    def __init__(self, budget: Memory, peer_pid: int = 1) -> None:
        self.peer_pid = peer_pid
        self.share = Share(budget, self)
        self.moved: int | None = 0
        self.times_given = 0
        self.was_given = asyncio.Event()
        self.problems: list[str] = []

    def hold(self, size_bytes: int) -> bool:
        return self.share.hold(size_bytes)

    def room_given(self) -> None:
        self.times_given += 1
        self.was_given.set()

    def moved_bytes(self) -> int | None:
        return self.moved

    def cut_off(self, problem: str) -> None:
        self.problems.append(problem)
        self.share.give_back()


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Looks when a test says so, and no sooner."""
    monkeypatch.setattr(memory, "PATIENCE_SECONDS", 1e6)
    return Memory()


def full(budget: Memory) -> tuple[Client, Client, Client]:
    """Two who share all there is, and the elder."""
    first, second, elder = (Client(budget) for _ in range(3))
    assert first.hold(HALF)
    assert second.hold(HALF)
    assert elder.hold(HALF)
    return first, second, elder


def looked(budget: Memory, times: int = 3) -> None:
    for _ in range(times):
        budget._cut_off_idlers()


async def test_who_finds_no_room_waits_until_there_is(budget: Memory) -> None:
    first, _, _ = full(budget)
    late = Client(budget)
    assert not late.hold(HALF)
    assert not late.times_given
    first.share.give_back()
    assert late.times_given == 1


async def test_the_whole_is_bounded_but_for_one(budget: Memory) -> None:
    _, _, elder = full(budget)
    crowd = [Client(budget) for _ in range(100)]
    assert not any(client.hold(LITTLE_BYTES + 1) for client in crowd)
    assert elder.hold(10 * MAX_SHARED_BYTES)
    assert not any(client.hold(LITTLE_BYTES + 1) for client in crowd)


async def test_who_is_first_in_the_line_is_the_next_elder_whatever_it_wants(
    budget: Memory,
) -> None:
    _, _, elder = full(budget)
    first, second = Client(budget), Client(budget)
    assert not first.hold(10 * MAX_SHARED_BYTES)
    assert not second.hold(10 * MAX_SHARED_BYTES)
    elder.hold(0)
    assert (first.times_given, second.times_given) == (1, 0)
    first.hold(0)
    assert second.times_given == 1


async def test_processes_take_turns_however_many_connections_one_has(budget: Memory) -> None:
    _, _, elder = full(budget)
    crowd = [Client(budget, peer_pid=1) for _ in range(50)]
    for client in crowd:
        assert not client.hold(MAX_SHARED_BYTES)
    other = Client(budget, peer_pid=2)
    assert not other.hold(MAX_SHARED_BYTES)
    elder.hold(0)
    assert other.times_given == 1
    other.hold(0)
    assert [client.times_given for client in crowd] == [1] + [0] * 49


async def test_all_who_hold_half_of_what_they_want_come_to_their_end_in_turn(
    budget: Memory,
) -> None:
    crowd = [Client(budget) for _ in range(20)]
    begun = [client for client in crowd if client.hold(MAX_SHARED_BYTES // 10)]
    waiting = [client for client in crowd if not client.hold(MAX_SHARED_BYTES)]
    assert len(begun) > 5
    for _ in crowd:
        for client in crowd:
            if client not in waiting or client.times_given:
                client.hold(0)
    assert all(client.times_given for client in waiting)


async def test_small_ones_are_served_before_a_large_one_that_does_not_fit(budget: Memory) -> None:
    first, _, _ = full(budget)
    large, small = Client(budget), Client(budget)
    assert not large.hold(MAX_SHARED_BYTES)
    assert not small.hold(HALF)
    first.hold(0)
    assert (large.times_given, small.times_given) == (0, 1)


async def test_who_holds_little_is_never_kept_waiting(budget: Memory) -> None:
    full(budget)
    assert all(Client(budget).hold(LITTLE_BYTES) for _ in range(100))


async def test_what_is_given_back_is_not_held_again(budget: Memory) -> None:
    gone = Client(budget)
    gone.share.give_back()
    assert gone.hold(MAX_SHARED_BYTES)
    full(budget)


async def test_who_does_not_move_is_cut_off_when_others_wait(budget: Memory) -> None:
    first, second, elder = full(budget)
    late = Client(budget)
    assert not late.hold(HALF)
    assert not first.problems + second.problems + elder.problems
    looked(budget)
    assert len(first.problems) == len(second.problems) == len(elder.problems) == 1
    assert late.times_given == 1
    assert not late.problems


async def test_nobody_is_cut_off_while_there_is_room(budget: Memory) -> None:
    first, second, elder = full(budget)
    looked(budget)
    assert not first.problems + second.problems + elder.problems


async def test_who_moves_or_is_kept_waiting_by_the_daemon_is_not_cut_off(budget: Memory) -> None:
    quick, served, idle = full(budget)
    served.moved = None
    late, later = Client(budget), Client(budget)
    assert not late.hold(HALF)
    assert not later.hold(MAX_SHARED_BYTES)
    for _ in range(20):
        assert quick.moved is not None
        quick.moved += LEAST_MOVED_BYTES
        late.moved = quick.moved
        looked(budget, 1)
    assert not quick.problems + served.problems + late.problems + later.problems
    assert idle.problems
    assert late.times_given == 1


async def test_it_looks_by_itself_when_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PATIENCE_SECONDS", 0.001)
    budget = Memory()
    first, second, elder = full(budget)
    late = Client(budget)
    assert not late.hold(HALF)
    with anyio.fail_after(5):
        await late.was_given.wait()
    assert first.problems + second.problems + elder.problems


async def test_when_nobody_holds_anything_any_more_it_is_told_if_it_was_much() -> None:
    told: list[None] = []
    budget = Memory(lambda: told.append(None))
    first, second = Client(budget), Client(budget)
    assert first.hold(memory.MUCH_BYTES - 1)
    first.hold(0)
    assert not told
    assert first.hold(memory.MUCH_BYTES // 2)
    assert second.hold(memory.MUCH_BYTES // 2)
    first.hold(0)
    assert not told
    second.share.give_back()
    assert len(told) == 1
