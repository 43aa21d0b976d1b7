"""Old runs go with their logs, and whatever cuts that short is made good by the next daemon."""

import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.unit.store.test_pruning import RUNS, VALUE, W, lived, problems
from torcd.controller.layout import Layout
from torcd.controller.pruning import Pruner
from torcd.model import JobKey, WorkflowKey
from torcd.store import Store, pruning


class Killed(BaseException):
    """The daemon was."""


class MortalStore(Store):
    """Does so many steps more, and is killed then: before the step, or after it."""

    steps_left = 1_000
    is_after = False

    async def _remove(self, step: Any) -> Any:
        self.steps_left -= 1
        if self.steps_left < 0 and not self.is_after:
            raise Killed
        done = await super()._remove(step)
        if self.steps_left < 0:
            raise Killed
        return done


class Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []
        self.told = anyio.Event()

    def info(self, event: str, **facts: object) -> None:
        self.lines.append({"event": event, **facts})
        self.told.set()


def logs(directory: Path) -> Layout:
    """Of all attempts, of a recovery script and of a command of an action in each run."""
    layout = Layout(str(directory))
    Path(layout.log_dir(W)).mkdir(parents=True)
    for run in range(1, RUNS + 1):
        for job, attempt in [(2, 1), (2, 2), (3, 1), (4, 1)]:
            for path in layout.log_paths(W, JobKey(job), run, attempt, "separate"):
                assert path is not None
                Path(path).touch()
    return layout


async def until_told(pruner: Pruner, log: Log) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pruner.run)
        await log.told.wait()
        tasks.cancel_scope.cancel()


def runs_with_logs(directory: Path, job: int) -> set[int]:
    names = [path.name.split(".") for path in (directory / "logs" / str(W)).iterdir()]
    return {int(run) for of, run, *_ in names if of == str(job)}


async def test_logs_go_with_what_they_are_of(tmp_path: Path) -> None:
    layout, log = logs(tmp_path), Log()
    other = tmp_path / "logs" / "77"
    other.mkdir()
    (other / "2.1.1.out").touch()
    async with Store.open(tmp_path / "torcd.db") as store:
        await lived(store)
        await until_told(Pruner(store, layout, log, keep_runs=2), log)
    assert log.lines == [{"event": "runs_removed", "workflow": "1", "up_to_run": 2, "attempts": 4}]
    assert runs_with_logs(tmp_path, 2) == {3, 4}
    assert 1 in runs_with_logs(tmp_path, 3)
    assert [path.name for path in other.iterdir()] == ["2.1.1.out"]


@pytest.mark.parametrize("is_after", [False, True])
async def test_killed_at_any_step_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_after: bool
) -> None:
    monkeypatch.setattr(pruning, "ROWS_IN_A_STEP", 2)
    monkeypatch.setattr(pruning, "EVENT_ROWS_IN_A_STEP", 1)
    async with Store.open(tmp_path / "lived" / "torcd.db") as store:
        await lived(store)
    states = set()
    for steps in range(100):
        directory = tmp_path / str(steps)
        shutil.copytree(tmp_path / "lived", directory)
        layout, log = logs(directory), Log()
        path = directory / "torcd.db"
        async with MortalStore.open(path) as store:
            assert isinstance(store, MortalStore)
            values = await store.revisions(VALUE)
            loaded = await store.load(W)
            store.steps_left, store.is_after = steps, is_after
            try:
                await until_told(Pruner(store, layout, log, keep_runs=2), log)
            except BaseExceptionGroup:
                pass
            else:
                assert not store.steps_left < 0
            survived = bool(log.lines)
        assert await problems(path) == []
        async with Store.open(path) as store:
            states.add(len(await store.attempts(W)))
            log = Log()
            pruner = Pruner(store, layout, log, keep_runs=2)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pruner.run)
                await anyio.lowlevel.checkpoint()
                while pruner.is_at_work:
                    await store.counters_now()  # behind what it asked for
                tasks.cancel_scope.cancel()
            assert len(await store.attempts(W)) == 7
            assert await store.revisions(VALUE) == values
            again = await store.load(W)
            assert again is not None
            assert loaded is not None
            assert again.event.jobs == loaded.event.jobs
            assert (await store.happenings(1))[0].run_id == 3
        assert runs_with_logs(directory, 2) == {3, 4}
        assert await problems(path) == []
        if survived:
            break
    else:
        raise AssertionError("it never came to an end")
    assert steps > 5
    assert states == {11, 7}  # all of it, or what is kept


async def test_it_is_due_when_a_run_is_one_too_many(tmp_path: Path) -> None:
    layout, log = logs(tmp_path), Log()
    async with Store.open(tmp_path / "torcd.db") as store:
        await lived(store)
        pruner = Pruner(store, layout, log, keep_runs=RUNS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pruner.run)
            pruner.run_changed(W, RUNS)
            pruner.run_changed(WorkflowKey(77), RUNS + 1)  # deleted meanwhile
            await anyio.wait_all_tasks_blocked()
            assert log.lines == []
            pruner.set_keep_runs(RUNS - 1)
            await log.told.wait()
            tasks.cancel_scope.cancel()
    assert log.lines[0]["up_to_run"] == 1
