"""Answers that are put together from memory and disk, while both go on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest

from tests.unit.controller.still_life import NO_CALL, StillLife, still_life
from torcd import errors
from torcd.executors.base import Exited, Started
from torcd.model import AttemptKey, File, FileKey, JobStatus, Timestamp, WorkflowKey
from torcd.protocol import manager as m
from torcd.protocol import user_data as u
from torcd.server.handlers import collections, data, events, files, records
from torcd.server.handlers.results import list_results
from torcd.server.handlers.workflows import describe, list_workflows


def ends(world: StillLife) -> None:
    world.executor.report([Exited(AttemptKey(1), 0, Timestamp(3), None, None)])


async def running(world: StillLife) -> WorkflowKey:
    key = WorkflowKey(int((await world.submit()).key))
    world.executor.report([Started(AttemptKey(1), 1, Timestamp(2))])
    await world.controller.settled()
    return key


def meanwhile(world: StillLife, name: str, happens: Any) -> None:
    """Once the store has read something, and before it is told, something happens."""
    read = getattr(world.store, name)

    async def read_and_let_it_happen(*arguments: Any, **options: Any) -> Any:
        setattr(world.store, name, read)
        found = await read(*arguments, **options)
        await happens()
        return found

    setattr(world.store, name, read_and_let_it_happen)


async def test_an_attempt_that_ends_while_results_are_read_is_among_them(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        await running(world)

        async def it_ends() -> None:
            ends(world)
            await world.controller.settled()

        meanwhile(world, "attempts", it_ends)
        (result,) = (await list_results(world.context, m.ListResults(), NO_CALL)).items
        assert (result.status, result.ended_at) == (JobStatus.RUNNING, None)
        (result,) = (await list_results(world.context, m.ListResults(), NO_CALL)).items
        assert result.status is JobStatus.COMPLETED


@pytest.mark.parametrize("reader", ["workflow", "workflows"])
async def test_no_end_is_told_that_is_not_on_disk(tmp_path: Path, reader: str) -> None:
    async with still_life(tmp_path) as world:
        key = await running(world)
        go_on, is_decided = anyio.Event(), anyio.Event()
        told: list[str] = []

        async def hold() -> None:
            is_decided.set()
            await go_on.wait()

        async def it_is_decided() -> None:
            world.store.before_commit = hold
            ends(world)
            await is_decided.wait()

        async def ask() -> None:
            if reader == "workflow":
                told.append((await describe(world.context, key)).workflow.status.value)
            else:
                reply = await list_workflows(world.context, m.ListWorkflows(), NO_CALL)
                told.append(reply.items[0].status.value)

        meanwhile(world, reader, it_is_decided)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await is_decided.wait()
            await anyio.wait_all_tasks_blocked()
            assert told == []
            go_on.set()
        assert told == ["completed"]


async def test_a_workflow_that_ends_and_is_let_go_while_it_is_listed_is_told_as_it_ended(
    tmp_path: Path,
) -> None:
    async with still_life(tmp_path) as world:
        key = await running(world)

        async def it_is_gone() -> None:
            ends(world)
            await world.controller.settled()
            world.controller.scheduler.forget(key)

        meanwhile(world, "workflows", it_is_gone)
        reply = await list_workflows(world.context, m.ListWorkflows(), NO_CALL)
        assert reply.items[0].status.value == "completed"
        assert reply.items[0].jobs["completed"] == 1


async def test_all_events_are_listed_however_many_are_read_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PAGE", 3)
    async with still_life(tmp_path) as world:
        for _ in range(4):
            await world.submit()
        last = (await world.store.happenings(1))[-1].number
        assert last > 2 * events.PAGE
        for since in (None, -5, 0, 1, 2, 7, 100, 1 << 63):
            asked = m.ListEvents(since=since)
            found = (await events.list_events(world.context, asked, NO_CALL)).items
            first = max(since or 1, 1)
            assert [e.number for e in found] == list(range(first, last + 1)), since


def test_a_file_of_a_time_that_no_calendar_has_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = SimpleNamespace(st_size=1, st_mtime_ns=(1 << 63) * 1000)
    monkeypatch.setattr(files, "os", SimpleNamespace(stat=lambda path: facts))
    info = files._info(File(key=FileKey(1), name="f", path="/f"), [], [])
    assert (info.exists, info.modified_at) == (True, None)


async def test_values_that_are_too_much_for_one_answer_are_refused_and_can_be_had_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_VALUES_BYTES", 10)
    monkeypatch.setattr(collections, "MAX_VALUES_BYTES", 10)
    async with still_life(tmp_path) as world:
        await world.submit(
            b'{"user_data": [{"name": "a", "data": "1234"}, {"name": "b", "data": "1234"}],'
            b' "jobs": [{"command": "true", "input_user_data": ["a"]},'
            b' {"command": "true", "input_user_data": ["a"]}]}'
        )
        context = world.context
        with pytest.raises(errors.TooLarge, match="fetch them one by one"):
            await data.list_records(context, u.List(), NO_CALL)
        with pytest.raises(errors.TooLarge, match="fetch them one by one"):
            await collections.join(context, m.Join(name="job-consumes-data"), NO_CALL)
        assert len((await data.history(context, u.History(name="a"), NO_CALL)).items) == 1
        await data.store(context, u.Store(data=msgspec.Raw(b'"5678"'), name="a"), NO_CALL)
        with pytest.raises(errors.TooLarge, match="fetch them one by one"):
            await data.history(context, u.History(name="a"), NO_CALL)
        fetched = await data.fetch(context, u.Fetch(name="a", revision=1), NO_CALL)
        assert fetched.record.data == msgspec.Raw(b'"1234"')


async def test_more_pairs_than_fit_into_an_answer_are_had_job_by_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collections, "MAX_PAIRS", 3)
    async with still_life(tmp_path) as world:
        await world.submit(
            b'{"jobs": [{"name": "a", "command": "true"}, {"name": "b", "command": "true"},'
            b' {"name": "c", "command": "true", "depends_on": ["a", "b"]},'
            b' {"name": "d", "command": "true", "depends_on": ["a", "b"]}]}'
        )
        with pytest.raises(errors.InvalidParameter, match="give the key of one job"):
            await collections.join(world.context, m.Join(name="job-blocks"), NO_CALL)
        asked = m.Join(name="job-blocks", key="2")
        reply = await collections.join(world.context, asked, NO_CALL)
        assert [(pair.source.name, pair.target.name) for pair in reply.items] == [
            ("a", "c"),
            ("a", "d"),
        ]


async def test_who_waits_for_a_set_is_told_for_each_of_it(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        makers = ", ".join(f'{{"name": "m{n}", "command": "true"}}' for n in range(50))
        ends = ", ".join(
            f'{{"name": "e{n}", "command": "true", "depends_on_regexes": ["^m"]}}' for n in range(2)
        )
        await world.submit(f'{{"jobs": [{makers}, {ends}]}}'.encode())
        reply = await collections.join(world.context, m.Join(name="job-blocks"), NO_CALL)
        assert len(reply.items) == 100
