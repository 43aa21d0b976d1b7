"""The feed: who reads gets all, who does not is cut off and told where to go on."""

import anyio
import pytest

from torcd import errors, feed
from torcd.model import Happening, Timestamp, WorkflowKey


def happenings(first: int, count: int) -> list[Happening]:
    return [
        Happening(number=n, at=Timestamp(0), kind="job_changed", workflow_key=WorkflowKey(1))
        for n in range(first, first + count)
    ]


@pytest.fixture(autouse=True)
def _small_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_BACKLOG", 3)


async def test_a_reader_that_is_not_behind_gets_whatever_is_published_at_once() -> None:
    published = feed.Feed()
    with published.subscribe() as subscription:
        published.publish(happenings(1, 10))
        assert [h.number for h in await subscription.next_batch()] == list(range(1, 11))


async def test_a_reader_that_is_behind_gets_what_it_missed_least_and_is_told_where_to_go_on() -> (
    None
):
    published = feed.Feed()
    with published.subscribe() as subscription:
        published.publish(happenings(1, 2))
        published.publish(happenings(3, 2))
        published.publish(happenings(5, 1))
        assert [h.number for h in await subscription.next_batch()] == [1, 2]
        with pytest.raises(errors.Lagged) as cut_off:
            await subscription.next_batch()
    assert cut_off.value.facts == {"next": 3}


async def test_changes_are_of_one_workflow_and_never_lag() -> None:
    published = feed.Feed()
    with published.changes(WorkflowKey(1)) as changes, published.changes(WorkflowKey(2)) as others:
        for first in range(1, 40, 10):
            published.publish(happenings(first, 10))
        with anyio.fail_after(5):
            await changes.wait()
        with anyio.move_on_after(0) as nothing:
            await others.wait()
        assert nothing.cancelled_caught


async def test_changes_of_all_workflows_are_one_thing_to_wait_for() -> None:
    published = feed.Feed()
    with published.changes() as changes:
        published.publish(happenings(1, 2))
        with anyio.fail_after(5):
            await changes.wait()
        published.publish([])
        with anyio.move_on_after(0) as nothing:
            await changes.wait()
        assert nothing.cancelled_caught
        published.touch()
        with anyio.fail_after(5):
            await changes.wait()


async def test_how_things_are_is_no_change_of_a_workflow() -> None:
    published = feed.Feed()
    with published.changes(WorkflowKey(1)) as changes:
        published.touch()
        with anyio.move_on_after(0) as nothing:
            await changes.wait()
        assert nothing.cancelled_caught


def changed(number: int, workflow: int, status: str) -> Happening:
    return Happening(
        number=number,
        at=Timestamp(0),
        kind="workflow_changed",
        workflow_key=WorkflowKey(workflow),
        status=status,
    )


async def test_a_pause_ends_when_the_workflow_is_over() -> None:
    published = feed.Feed()
    with published.changes(WorkflowKey(1)) as changes, anyio.fail_after(5):
        for of_no_matter in (changed(1, 1, "running"), changed(2, 2, "completed")):
            published.publish([of_no_matter])
            with anyio.move_on_after(0) as scope:
                await changes.pause(60)
            assert scope.cancelled_caught
        published.publish([changed(3, 1, "completed")])
        await changes.pause(60)
        with anyio.move_on_after(0) as scope:
            await changes.pause(60)
        assert scope.cancelled_caught, "it was over once"
