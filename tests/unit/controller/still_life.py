"""A controller with a real store and an executor that runs nothing; a test can hold its commits."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus

from torcd.accounts import Peer
from torcd.controller import Controller, Settings
from torcd.executors.base import AttemptOrder, Report
from torcd.feed import Feed
from torcd.model import AttemptKey
from torcd.protocol import manager as m
from torcd.scheduler import Scheduler
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.server.handlers import submit
from torcd.store import Store


class IdleExecutor:
    """Takes orders and carries out none."""

    held_up: str | None = None

    def __init__(self) -> None:
        self.ordered: list[AttemptOrder] = []
        self.acknowledged: list[AttemptKey] = []
        self.stopped: list[AttemptKey] = []
        self.frozen: list[AttemptKey] = []
        self.reports_at_once: list[Report] = []
        """As a warden of an earlier daemon tells what ended meanwhile."""
        self.report: Callable[[list[Report]], None] = lambda reports: None

    async def run(
        self, report: Callable[[list[Report]], None], *, task_status: TaskStatus[None]
    ) -> None:
        self.report = report
        report(self.reports_at_once)
        task_status.started()
        await anyio.sleep_forever()

    def add_environment(self, name: str, variables: Mapping[str, str]) -> None: ...
    def remove_environment(self, name: str) -> None: ...
    def start(self, orders: Iterable[AttemptOrder]) -> None:
        self.ordered += orders

    def stop(self, attempt_key: AttemptKey, grace_seconds: float | None) -> None:
        self.stopped.append(attempt_key)

    def revoke(self, attempt_key: AttemptKey) -> None: ...
    def freeze(self, attempt_key: AttemptKey) -> None:
        self.frozen.append(attempt_key)

    def thaw(self, attempt_key: AttemptKey) -> None: ...
    def acknowledge(self, attempts: Iterable[AttemptKey]) -> None:
        self.acknowledged += attempts


class HeldStore(Store):
    """Calls `before_commit` before each commit."""

    before_commit: Callable[[], Any] | None = None
    is_urgent = False
    """Whether the commit under way is."""

    async def commit(self, *arguments: Any, **options: Any) -> None:
        self.is_urgent = options["is_urgent"]
        if self.before_commit is not None:
            await self.before_commit()
        await super().commit(*arguments, **options)


class StillLife:
    def __init__(self, controller: Controller, store: HeldStore, executor: IdleExecutor) -> None:
        self.controller = controller
        self.store = store
        self.executor = executor
        self.context = Context(
            controller=controller,
            socket="/s",
            state_dir=controller.settings.state_dir,
            started_at=controller.now(),
            version="0",
            default_parallel_jobs=lambda: 2,
            denied_variables=lambda: (),
            warden_pid=lambda: None,
            cgroups=lambda: None,
            stop=lambda mode: None,
            reload=_no_configuration,
            log=structlog.get_logger(),
        )

    async def submit(
        self, spec: bytes = b'{"jobs": [{"command": "true"}]}', max_parallel_jobs: int | None = None
    ) -> m.Submitted:
        parameters = m.Submit(
            workflow=msgspec.Raw(spec), directory="/", max_parallel_jobs=max_parallel_jobs
        )
        return await submit.submit(self.context, parameters, NO_CALL)


async def _no_configuration() -> m.Reloaded:
    return m.Reloaded()


async def _send_nothing(reply: object) -> None: ...


NO_CALL = Call("", None, False, Peer(0, is_admin=True), _send_nothing)


@asynccontextmanager
async def still_life(
    state_dir: Path,
    reports_at_once: Sequence[Report] = (),
    before_commit: Callable[[], Any] | None = None,
) -> AsyncIterator[StillLife]:
    """Again for the next daemon over the same directory."""
    async with HeldStore.open(state_dir / "torcd.db") as store:
        assert isinstance(store, HeldStore)
        store.before_commit = before_commit
        executor = IdleExecutor()
        executor.reports_at_once += reports_at_once
        counters = store.counters()
        settings = Settings(
            socket="/s",
            state_dir=str(state_dir),
            shell="/bin/sh",
            max_value_bytes=1 << 20,
            termination_grace_seconds=1.0,
            boot_id="boot",
        )
        scheduler = Scheduler(
            next_key=counters.next_key,
            next_attempt_key=counters.next_attempt_key,
            next_happening=counters.next_happening,
        )
        controller = Controller(
            settings, scheduler, store, executor, Feed(), structlog.get_logger()
        )
        async with anyio.create_task_group() as tasks:
            await tasks.start(controller.run)
            yield StillLife(controller, store, executor)
            tasks.cancel_scope.cancel()
