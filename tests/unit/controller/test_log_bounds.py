"""Logs that are cut while they are written."""

from pathlib import Path

import anyio
import anyio.from_thread
import pytest
import structlog

from torcd.controller.log_bounds import LogBounds, cut
from torcd.executors.base import AttemptOrder
from torcd.model import AttemptKey

MAX = 4096


def order(path: Path, key: int = 1) -> AttemptOrder:
    return AttemptOrder(
        attempt_key=AttemptKey(key),
        lane=1,
        lane_limit=1,
        argv=("true",),
        base_environment="w1",
        environment={},
        cwd="/",
        stdout=str(path),
        stderr=str(path),
    )


class Bounds(LogBounds):
    """Tells when it has looked."""

    def __init__(self) -> None:
        super().__init__(MAX, structlog.get_logger())
        self.looked = anyio.Event()

    def _cut(self, paths: list[str], max_bytes: int) -> None:
        super()._cut(paths, max_bytes)
        anyio.from_thread.run_sync(self.looked.set)

    async def smaller(self, log: Path) -> None:
        """Wait until it is within the bound."""
        with anyio.fail_after(10):
            while size(log) > MAX:
                await self.looked.wait()
                self.looked = anyio.Event()


def size(log: Path) -> int:
    return log.stat().st_size


def lines(count: int, word: str = "line") -> bytes:
    return b"".join(f"{word} {n}\n".encode() for n in range(count))


def test_the_beginning_and_the_end_stay_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    whole = lines(10_000)
    log.write_bytes(whole)
    cut(str(log), MAX)
    left = log.read_bytes()
    assert len(left) <= MAX
    head, tail = whole[: MAX // 4], whole[-MAX // 2 :]
    between = f"\n[torcd: {len(whole) - len(head) - len(tail)} bytes left out here]\n"
    assert left == head + between.encode() + tail


def test_what_is_not_too_large_or_no_file_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * MAX)
    cut(str(log), MAX)
    assert log.read_bytes() == b"x" * MAX
    cut(str(tmp_path / "absent"), MAX)
    (tmp_path / "link").symlink_to(log)
    log.write_bytes(b"x" * 2 * MAX)
    with pytest.raises(OSError, match="symbolic"):
        cut(str(tmp_path / "link"), MAX)
    assert log.stat().st_size == 2 * MAX


def test_who_appends_goes_on_at_the_new_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab", buffering=0) as writer:
        writer.write(lines(10_000))
        cut(str(log), MAX)
        writer.write(b"the end\n")
    assert log.read_bytes().endswith(b"line 9999\nthe end\n")
    assert b"\0" not in log.read_bytes()


async def test_a_log_is_cut_as_it_grows_and_a_last_time_when_the_job_has_ended(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    bounds = Bounds()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bounds.run)
        bounds.watch(order(log))
        with log.open("ab", buffering=0) as writer:
            await anyio.wait_all_tasks_blocked()
            writer.write(lines(10_000))
            await bounds.smaller(log)
            writer.write(lines(10_000))
        bounds.forget([AttemptKey(1)])
        await bounds.smaller(log)
        tasks.cancel_scope.cancel()
    assert log.read_bytes().startswith(b"line 0\n")
    assert log.read_bytes().endswith(b"line 9999\n")


async def test_what_grew_while_nobody_looked_is_cut_when_it_is_watched_again(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    log.write_bytes(lines(10_000))
    bounds = Bounds()
    bounds.watch(order(log))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bounds.run)
        await bounds.smaller(log)
        tasks.cancel_scope.cancel()
