"""A local executor in a process of its own, which can be killed as a daemon can.

Both ends are here: `RemoteExecutor` in the test, and what it starts, `python -m` of this module.
They speak JSON lines over a socket, which is the process's standard input.
"""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path

import anyio
import msgspec
from anyio.abc import TaskStatus

from tests.executor_world import PATIENCE_SECONDS, gone
from torcd.executors.base import AttemptOrder, Exited, Lost, NotStarted, Report, Started
from torcd.executors.local import LocalExecutor
from torcd.model import AttemptKey

ROOT = Path(__file__).parent.parent


class Told(msgspec.Struct, omit_defaults=True):
    """What the process says."""

    started: list[Started] = []
    exited: list[Exited] = []
    not_started: list[NotStarted] = []
    lost: list[Lost] = []
    ready: bool = False
    warden_pid: int | None = None


class Asked(msgspec.Struct, omit_defaults=True):
    """What it is asked."""

    environment: tuple[str, dict[str, str]] | None = None
    forget_environment: str | None = None
    start: list[AttemptOrder] = []
    stop: list[tuple[AttemptKey, float | None]] = []
    revoke: list[AttemptKey] = []
    freeze: list[AttemptKey] = []
    thaw: list[AttemptKey] = []
    acknowledge: list[AttemptKey] = []


async def lines(connection: socket.socket) -> AsyncIterator[bytes]:
    """Until the other end is closed."""
    connection.setblocking(False)
    rest = b""
    while True:
        await anyio.wait_readable(connection)
        try:
            data = connection.recv(1 << 20)
        except ConnectionResetError:
            return
        if not data:
            return
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line


def _send(connection: socket.socket, line: bytes) -> None:
    connection.setblocking(True)
    connection.sendall(line + b"\n")
    connection.setblocking(False)


class RemoteExecutor:
    """An `Executor` whose daemon can be killed."""

    held_up: str | None = None

    def __init__(
        self,
        directory: Path,
        *,
        leave_children: bool = False,
        boot_id: str = "",
        cgroups: str = "",
        wardens: int = 1,
        ordered_before: Iterable[int] = (),
    ) -> None:
        self._arguments = [
            str(directory),
            str(int(leave_children)),
            boot_id,
            cgroups,
            str(wardens),
            ",".join(map(str, ordered_before)),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self.wardens: list[int] = []
        """The pids of all it has had, newest last."""
        self._changed = anyio.Event()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def warden(self, number: int = 1) -> int:
        """The pid of its so manieth warden, once it is there."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(self.wardens) < number:
                await self._changed.wait()
        return self.wardens[number - 1]

    async def run(
        self, report: Callable[[list[Report]], None], *, task_status: TaskStatus[None]
    ) -> None:
        connection, process = self._open()
        with connection:
            try:
                async for line in lines(connection):
                    told = msgspec.json.decode(line, type=Told)
                    if told.warden_pid is not None:
                        self.wardens.append(told.warden_pid)
                        self._changed.set()
                        self._changed = anyio.Event()
                    if told.ready:
                        task_status.started()
                    report([*told.started, *told.not_started, *told.exited, *told.lost])
            finally:
                process.kill()
                process.wait(PATIENCE_SECONDS)

    def _open(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        self._connection, theirs = socket.socketpair()
        command = [sys.executable, "-m", __name__, *self._arguments]
        with theirs:
            self._process = subprocess.Popen(command, stdin=theirs, cwd=ROOT)
        return self._connection, self._process

    async def kill(self) -> None:
        """As if by the kernel: at once and without a word. `run` returns."""
        assert self._process is not None
        self._process.kill()
        await gone(self._process.pid)

    def _ask(self, asked: Asked) -> None:
        assert self._connection is not None
        _send(self._connection, msgspec.json.encode(asked))

    def add_environment(self, name: str, variables: Mapping[str, str]) -> None:
        self._ask(Asked(environment=(name, dict(variables))))

    def remove_environment(self, name: str) -> None:
        self._ask(Asked(forget_environment=name))

    def start(self, orders: Iterable[AttemptOrder]) -> None:
        self._ask(Asked(start=list(orders)))

    def stop(self, attempt_key: AttemptKey, grace_seconds: float | None) -> None:
        self._ask(Asked(stop=[(attempt_key, grace_seconds)]))

    def revoke(self, attempt_key: AttemptKey) -> None:
        self._ask(Asked(revoke=[attempt_key]))

    def freeze(self, attempt_key: AttemptKey) -> None:
        self._ask(Asked(freeze=[attempt_key]))

    def thaw(self, attempt_key: AttemptKey) -> None:
        self._ask(Asked(thaw=[attempt_key]))

    def acknowledge(self, attempts: Iterable[AttemptKey]) -> None:
        self._ask(Asked(acknowledge=list(attempts)))


class _Teller:
    """The process's end: also the log of its executor, from which it learns of its wardens."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def info(self, event: str, **facts: object) -> None:
        if event == "warden_ready":
            pid = facts["pid"]
            assert isinstance(pid, int)
            self.tell(Told(warden_pid=pid))

    def warning(self, event: str, **facts: object) -> None: ...

    def error(self, event: str, **facts: object) -> None: ...

    def tell(self, told: Told) -> None:
        _send(self._connection, msgspec.json.encode(told))

    def report(self, reports: list[Report]) -> None:
        told = Told()
        for report in reports:
            match report:
                case Started():
                    told.started.append(report)
                case Exited():
                    told.exited.append(report)
                case NotStarted():
                    told.not_started.append(report)
                case Lost():
                    told.lost.append(report)
        self.tell(told)


async def _main(
    directory: str,
    leave_children: str,
    boot_id: str,
    cgroups: str,
    wardens: str,
    ordered_before: str,
) -> None:
    connection = socket.socket(fileno=0)
    teller = _Teller(connection)

    async def before() -> list[AttemptKey]:
        return [AttemptKey(int(key)) for key in ordered_before.split(",") if key]

    executor = LocalExecutor(
        Path(directory),
        log=teller,
        leave_children=leave_children == "1",
        boot_id=boot_id or None,
        cgroups=cgroups,
        wardens=int(wardens),
        ordered_before=before,
    )

    async def serve(*, task_status: TaskStatus[None]) -> None:
        await executor.run(teller.report, task_status=task_status)

    async with anyio.create_task_group() as tasks:
        await tasks.start(serve)
        teller.tell(Told(ready=True))
        async for line in lines(connection):
            asked = msgspec.json.decode(line, type=Asked)
            if asked.environment is not None:
                executor.add_environment(*asked.environment)
            if asked.forget_environment is not None:
                executor.remove_environment(asked.forget_environment)
            executor.start(asked.start)
            for key, grace_seconds in asked.stop:
                executor.stop(key, grace_seconds)
            for key in asked.revoke:
                executor.revoke(key)
            for key in asked.freeze:
                executor.freeze(key)
            for key in asked.thaw:
                executor.thaw(key)
            executor.acknowledge(asked.acknowledge)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(_main, *sys.argv[1:])
