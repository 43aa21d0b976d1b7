"""Who is alone with a Store is answered in the turn in which it comes in."""

import errno
import json
import sqlite3
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.unit.server.test_cost_of_a_value import calls
from tests.unit.server.test_quick import ROOT, World, world
from torcd.errors import Denied, StoreError
from torcd.model import AttemptKey, WorkflowKey
from torcd.scheduler import events as e
from torcd.store import commits, pace, writing


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is that runs the tests."""
    monkeypatch.setattr(pace, "QUICK_SECONDS", 1e9)


class Asker:
    """One connection, which asks again when it has been answered."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.answers: list[Any] = []

    def take(self, answer: bytes) -> None:
        self.answers.append(json.loads(answer[:-1]))

    def store(self, data: Any, **more: Any) -> bool:
        """Whether the answer is there at once."""
        before = len(self.answers)
        message = self.here.call("Store", name="out", data=data, **more)
        assert self.here.quick.answer(message, ROOT, self.take) == "later"
        return len(self.answers) > before

    async def answered(self, count: int) -> None:
        while len(self.answers) < count:
            await anyio.lowlevel.checkpoint()
        await self.here.at_rest()


async def with_one_that_waits(here: World) -> str:
    """Another workflow, with a job that waits for what the first one stores. That one's token."""
    await here.life.submit(
        b'{"user_data": [{"name": "out", "available": "on_store"}], "jobs": ['
        b'{"command": "true", "output_user_data": ["out"]},'
        b'{"command": "true", "input_user_data": ["out"]}]}'
    )
    await here.at_rest()
    return here.life.executor.ordered[-1].environment["TORC_TOKEN"]


async def test_who_asks_again_alone_is_answered_at_once_and_it_is_on_disk(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        asker = Asker(here)
        assert not asker.store(1)
        await asker.answered(1)
        for data in (2, 3, 4):
            assert asker.store(data)
            assert not here.life.controller.is_ahead_of_disk
        assert [answer["parameters"]["record"]["revision"] for answer in asker.answers] == [
            1,
            2,
            3,
            4,
        ]
        (workflow,) = here.life.controller.scheduler.workflows.values()
        rows = await here.life.store.revisions(workflow.data_keys["out"])
        assert [row.value for row in rows] == [b"1", b"2", b"3", b"4"]


async def test_what_is_told_of_a_lone_value_is_on_disk_and_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        asker = Asker(here)
        asker.store(1)
        await asker.answered(1)
        controller = here.life.controller
        with controller.feed.subscribe() as subscription:
            for data in (2, 3):
                assert asker.store(data)
            told = await subscription.next_batch()
        assert [each.revision for each in told] == [2, 3]
        assert [each.kind for each in told] == ["value_stored"] * 2
        assert told == await here.life.store.happenings(told[0].number)


async def test_what_waits_for_a_lone_value_is_started_in_the_same_turn(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        asker = Asker(here)
        asker.store(1)
        await asker.answered(1)
        token = await with_one_that_waits(here)
        asker.store(2)
        await asker.answered(2)  # it is who was answered last again
        scheduler = here.life.controller.scheduler
        before = set(scheduler.active_attempts)
        assert asker.store(3, token=token)
        (started,) = set(scheduler.active_attempts) - before
        assert not here.life.controller.is_ahead_of_disk
        assert started in await here.life.store.active_attempts()


async def test_two_who_ask_share_their_commits(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        one, two = Asker(here), Asker(here)
        one.store(1)
        await one.answered(1)
        for n in range(1, 4):
            assert not two.store(n)
            assert not one.store(n), "it did not wait for the other"
            await one.answered(n + 1)
            await two.answered(n)


async def test_who_is_alone_and_has_to_be_refused_is(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        asker = Asker(here)
        asker.store(1)
        await asker.answered(1)
        controller = here.life.controller
        message = here.call("Store", name="out", data=2)
        handle = controller.scheduler.handle

        def void(event: e.Event) -> Any:
            assert isinstance(event, e.StoreRequested)
            return handle(
                e.StoreRequested(
                    workflow_key=event.workflow_key,
                    data_key=event.data_key,
                    value=event.value,
                    attempt_key=AttemptKey(1_000),
                    at=event.at,
                )
            )

        controller.scheduler.handle = void  # type: ignore[method-assign]
        assert here.quick.answer(message, ROOT, asker.take) == "later"
        assert asker.answers[-1]["error"] == "io.torcd.UserData.Denied"
        controller.scheduler.handle = handle  # type: ignore[method-assign]
        assert asker.store(3)
        assert asker.answers[-1]["parameters"]["record"]["revision"] == 2


async def test_where_there_is_no_room_for_it_all_stands_still_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here:
        asker = Asker(here)
        asker.store(1)
        await asker.answered(1)
        write, write_lone = writing.write, commits.write_lone

        def full(*_: Any) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(writing, "write", full)
        monkeypatch.setattr(commits, "write_lone", full)
        with here.life.controller.feed.subscribe() as subscription:
            assert not asker.store(2)
            while len(asker.answers) < 2:
                await anyio.lowlevel.checkpoint()
            assert not subscription._backlog
        assert asker.answers[-1]["error"].endswith(".NoSpace")
        node = here.life.controller.scheduler.workflows[WorkflowKey(1)]
        assert node.data[node.data_keys["out"]].revision == 1
        monkeypatch.setattr(writing, "write", write)
        monkeypatch.setattr(commits, "write_lone", write_lone)
        await here.life.controller.moving()
        asker.store(3)
        await asker.answered(3)
        assert asker.answers[-1]["parameters"]["record"]["revision"] == 2


async def test_a_commit_that_fails_there_ends_the_daemon_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = commits.write_lone

    def fail(*_: Any) -> Any:
        monkeypatch.setattr(commits, "write_lone", write)  # it is not tried again
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.RaisesGroup(StoreError, allow_unwrapped=True, flatten_subgroups=True):
        async with world(tmp_path) as here:
            asker = Asker(here)
            asker.store(1)
            await asker.answered(1)
            monkeypatch.setattr(commits, "write_lone", fail)
            assert not asker.store(2)
            await anyio.wait_all_tasks_blocked()
            await asker.answered(2)
    assert len(asker.answers) == 1


async def test_all_of_a_lone_store_is_less_than_a_hundred_calls(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        asker = Asker(here)
        asker.store(1)
        await asker.answered(1)
        asker.store(2)
        message = here.call("Store", name="out", data="x" * 62)
        found = calls(lambda: here.quick.answer(message, ROOT, asker.take))
        assert len(asker.answers) == 3
        assert found["Connection.execute"] == 1, found
        assert not [name for name in found if "executemany" in name or "fetch" in name]
        assert found["stat"] == 1, found
        assert found["pwrite"] == 1, found  # the mark; SQLite's own are not seen
        assert found["fstat"] == found["pread"] == 0, found
        assert not [name for name in found if "Event" in name or "call_soon" in name]
        assert found.total() <= 95, found


async def test_a_lone_value_for_which_something_waits_is_committed_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        asker, other = Asker(here), Asker(here)
        token = await with_one_that_waits(here)
        asker.store(1)
        await asker.answered(1)
        assert asker.store(2, token=token)
        other.store(3, token=token)
        await other.answered(1)
        assert (len(asker.answers), len(other.answers)) == (2, 1)
        key = int(other.answers[0]["parameters"]["record"]["key"])
        assert [row.revision for row in await here.life.store.revisions(key)] == [1, 2]


@pytest.mark.parametrize("is_refused", [False, True])
async def test_what_is_asked_within_an_answer_to_a_lone_store_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    async with world(tmp_path) as here:
        asker, other = Asker(here), Asker(here)
        asker.store(1)
        await asker.answered(1)

        def take_and_have_another_ask(answer: bytes) -> None:
            Asker.take(asker, answer)
            other.store(3)

        # The same asker: who is alone is told by what is called with the answer.
        monkeypatch.setattr(here.life.controller, "_lone_asker", take_and_have_another_ask)
        monkeypatch.setattr(asker, "take", take_and_have_another_ask)
        if is_refused:
            scheduler = here.life.controller.scheduler
            handle = scheduler.handle

            def refuse_once(event: e.Event) -> Any:
                monkeypatch.setattr(scheduler, "handle", handle)
                raise Denied("it is not yours")

            monkeypatch.setattr(scheduler, "handle", refuse_once)
        assert asker.store(2)
        await other.answered(1)
        assert other.answers[0]["parameters"]["record"]["revision"] == (2 if is_refused else 3)
