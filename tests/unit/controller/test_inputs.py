"""Paths that people wait for: no path ends the watcher, and none is watched in vain."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest
from asyncinotify import Inotify
from structlog.testing import CapturingLogger

from torcd.controller.inputs import InputWatcher
from torcd.model import FileKey, WorkflowKey

WORKFLOW = WorkflowKey(1)


class Appearances:
    def __init__(self) -> None:
        self.keys: list[int] = []
        self.arrived = anyio.Event()

    def __call__(self, workflow_key: WorkflowKey, file_key: FileKey) -> None:
        self.keys.append(file_key)
        self.arrived.set()

    async def next(self) -> None:
        await self.arrived.wait()
        self.arrived = anyio.Event()


@asynccontextmanager
async def watching() -> AsyncIterator[tuple[InputWatcher, Appearances, CapturingLogger]]:
    appeared, log = Appearances(), CapturingLogger()
    watcher = InputWatcher(appeared, log)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watcher.run)
            while watcher._inotify is None:
                await anyio.lowlevel.checkpoint()
            yield watcher, appeared, log
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "path",
    [
        "/proc/1/root/x/f",
        "/" + "n" * 300 + "/f",
        pytest.param("/tmp/" + "x/" * 3_000 + "f", id="a path of 6 000 characters"),
        "/etc/passwd/x/f",
        "/dev/null/f",
        "/proc/self/fd/9999/f",
        "/",
    ],
)
async def test_a_path_that_can_never_be_there_is_waited_for_all_the_same(path: str) -> None:
    async with watching() as (watcher, appeared, _):
        watcher.watch(WORKFLOW, FileKey(1), path)
        watcher.forget(WORKFLOW)
    assert appeared.keys == ([1] if path == "/" else [])


async def test_a_path_that_goes_round_in_circles_is_waited_for_all_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    async with watching() as (watcher, appeared, _):
        watcher.watch(WORKFLOW, FileKey(1), str(tmp_path / "loop" / "f"))
        (tmp_path / "loop").unlink()
        (tmp_path / "loop").mkdir()
        (tmp_path / "loop" / "f").touch()
        await appeared.next()


@contextmanager
def nothing_below_can_be_watched(
    monkeypatch: pytest.MonkeyPatch, directory: Path, number: int
) -> Iterator[None]:
    add_watch: Callable[..., object] = Inotify.add_watch

    def refuse(self: Inotify, path: str, mask: object) -> object:
        if Path(path).is_relative_to(directory):
            raise OSError(number, os.strerror(number), path)
        return add_watch(self, path, mask)

    with monkeypatch.context() as patch:
        patch.setattr(Inotify, "add_watch", refuse)
        yield


@pytest.mark.parametrize("number", [13, 28])  # EACCES, ENOSPC
async def test_a_directory_that_cannot_be_watched_is_told_once_and_hangs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async with watching() as (watcher, appeared, log):
        with nothing_below_can_be_watched(monkeypatch, tmp_path, number):
            watcher.watch(WORKFLOW, FileKey(1), str(tmp_path / "f"))
            watcher.watch(WORKFLOW, FileKey(2), str(tmp_path / "g"))
            assert [call.kwargs["directory"] for call in log.calls] == [str(tmp_path)]
            (tmp_path / "g").touch()
        watcher.watch(WORKFLOW, FileKey(3), str(tmp_path / "h"))
        (tmp_path / "f").touch()
        await appeared.next()
        assert 1 in appeared.keys


async def test_no_watch_at_all_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching() as (watcher, _, log):
        with nothing_below_can_be_watched(monkeypatch, Path("/"), 28):
            watcher.watch(WORKFLOW, FileKey(1), "/nowhere/f")
        assert len(log.calls) == 2  # for /nowhere, and for /


async def test_a_directory_that_has_two_names_is_seen_under_both(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    async with watching() as (watcher, appeared, _):
        watcher.watch(WORKFLOW, FileKey(1), str(real / "f"))
        watcher.watch(WorkflowKey(2), FileKey(2), str(link / "g"))
        link.symlink_to(real)
        (tmp_path / "another").touch()
        (real / "g").touch()
        await appeared.next()
        assert appeared.keys == [2]
        watcher.forget(WorkflowKey(2))
        (real / "f").touch()
        await appeared.next()
        assert appeared.keys == [2, 1]
