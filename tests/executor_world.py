"""Drive an executor in a test: give orders, wait for reports, and for what its jobs do.

Nothing here sleeps. Jobs and tests meet at FIFOs: a job that opens one waits until the test opens
the other end. A pidfd tells when a process is gone.
"""

import os
import select
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import to_thread

from torcd.accounts import Account
from torcd.executors.base import (
    After,
    AttemptOrder,
    Executor,
    Exited,
    Lost,
    NotStarted,
    Report,
    Started,
)
from torcd.model import AttemptKey

PATIENCE_SECONDS = 20


class SilentLog:
    def info(self, event: str, **facts: object) -> None: ...
    def warning(self, event: str, **facts: object) -> None: ...
    def error(self, event: str, **facts: object) -> None: ...


class World:
    """Orders and reports of one directory, over any number of executors."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.user: Account | None = None
        """Whom attempts run as, if not us."""
        self.place = ""
        """A directory for cgroups, where that is wanted."""
        self.executor: Executor
        self.started: dict[int, Started] = {}
        self.finals: dict[int, list[Exited | NotStarted | Lost]] = {}
        self.history: list[Report] = []
        self._changed = anyio.Event()

    @asynccontextmanager
    async def running(self, executor: Executor) -> AsyncIterator[Executor]:
        self.executor = executor
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._serve)
            executor.add_environment("base", dict(os.environ))
            try:
                yield executor
            finally:
                tasks.cancel_scope.cancel()

    async def _serve(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        await self.executor.run(self.take, task_status=task_status)

    def take(self, reports: list[Report]) -> None:
        for report in reports:
            self.history.append(report)
            if isinstance(report, Started):
                self.started[report.attempt_key] = report
            else:
                self.finals.setdefault(report.attempt_key, []).append(report)
        self._changed.set()

    def clean(self) -> None:
        """Leave no process of a test that failed; the warden ends when it has none."""
        for key, started in self.started.items():
            if key not in self.finals and alive(started.pid):
                os.killpg(started.pid, signal.SIGKILL)

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            while not condition():
                self._changed = anyio.Event()
                await self._changed.wait()

    async def start_of(self, key: int) -> Started:
        await self.until(lambda: key in self.started)
        return self.started[key]

    async def end_of(self, key: int) -> Exited | NotStarted | Lost:
        await self.until(lambda: key in self.finals)
        return self.finals[key][0]

    async def code_of(self, key: int) -> int:
        end = await self.end_of(key)
        assert isinstance(end, Exited), end
        return end.return_code

    # Orders

    def order(
        self,
        key: int,
        command: str | list[str],
        *,
        lane: int = 1,
        limit: int = 8,
        environment: dict[str, str] | None = None,
        cwd: str | None = None,
        stdio: str = "separate",
        base: str = "base",
        after: int | None = None,
    ) -> AttemptOrder:
        out = str(self.directory / f"{key}.out")
        return AttemptOrder(
            attempt_key=AttemptKey(key),
            lane=lane,
            lane_limit=limit,
            argv=("bash", "-c", command) if isinstance(command, str) else tuple(command),
            base_environment=base,
            environment=environment or {},
            cwd=cwd or str(self.directory),
            stdout=None if stdio == "none" else out,
            stderr=None
            if stdio == "none"
            else out
            if stdio == "combined"
            else str(self.directory / f"{key}.err"),
            user=self.user,
            after=None if after is None else After(AttemptKey(after), self.left_by(after)),
        )

    def left_by(self, key: int) -> str:
        """A file after which no other attempt comes after this one."""
        return str(self.directory / f"{key}.left")

    def start(self, key: int, command: str | list[str], **options: object) -> AttemptKey:
        self.executor.start([self.order(key, command, **options)])  # type: ignore[arg-type]
        return AttemptKey(key)

    def stdout(self, key: int) -> str:
        return (self.directory / f"{key}.out").read_text()

    def stderr(self, key: int) -> str:
        return (self.directory / f"{key}.err").read_text()

    def log_of(self, name: str) -> list[str]:
        """The lines that jobs have appended to a file."""
        file = self.directory / name
        return file.read_text().split() if file.exists() else []

    # Meeting points

    def gate(self, name: str) -> "Gate":
        return Gate(self.directory / name)


class Gate:
    """A FIFO at which jobs and the test meet, in shell words: `echo x > $gate` tells the test,
    `read < $gate` waits for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            os.mkfifo(path)

    def __str__(self) -> str:
        return str(self.path)

    async def hear(self) -> str:
        """The next thing that is said."""
        with anyio.fail_after(PATIENCE_SECONDS):
            return await to_thread.run_sync(self.path.read_text, abandon_on_cancel=True)

    async def say(self, text: str = "go\n") -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            await to_thread.run_sync(self.path.write_text, text, abandon_on_cancel=True)


async def gone(pid: int) -> None:
    """Wait until the process has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with anyio.fail_after(PATIENCE_SECONDS):
            await anyio.wait_readable(pidfd)
    finally:
        os.close(pidfd)


def alive(pid: int) -> bool:
    """Whether it runs: neither gone nor a zombie."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    try:
        return not poll.poll(0)
    finally:
        os.close(pidfd)
