"""The daemon: puts the parts together, and takes them apart in the reverse order.

The indentation of `serve` is the order of the end: the door closes first, so that nothing new
comes in; then the controller finishes what was decided; the executor lets go of the warden, whose
jobs run on; and the store closes last.
"""

import os
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from torcd import __version__, errors
from torcd.accounts import Accounts
from torcd.config import Config, capacity, users_group
from torcd.controller import Controller, Settings
from torcd.executors.local import MOST_WARDENS, LocalExecutor
from torcd.executors.local.delegation import place
from torcd.executors.local.launching import read_boot_id, warden_directory, wardens
from torcd.feed import Feed
from torcd.impersonation import check_possible
from torcd.machine import usable_cpus
from torcd.model import WorkflowKey
from torcd.notify import notify, watchdog_seconds
from torcd.ownership import PASSABLE, PRIVATE, check_directory, check_files, check_way
from torcd.reloading import Configuration
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.server.calls import Dispatcher
from torcd.server.context import Context, StopMode
from torcd.server.handlers import HANDLERS
from torcd.server.listener import Door, bind, unlink
from torcd.server.quick import Quick
from torcd.store import Migrated, Store
from torcd.store.durable import BESIDE
from torcd.store.value_files import directory_of
from torcd.supervision import feed_watchdog, tell_status


async def serve(
    config: Config, read_config: Callable[[], Config], passed: socket.socket | None, log: Any
) -> None:
    """Run until told to stop. `read_config` reads the configuration again; `passed` listens
    already, and its name stays. Raises TorcError when it cannot."""
    end = End()
    group = users_group(config)
    if group:
        check_possible()
    accounts = Accounts(group, config.admin_group, log)
    mode = PASSABLE if group else PRIVATE
    _check_state(Path(config.state_dir), mode)
    async with Store.open(Path(config.state_dir) / "torcd.db") as store:
        _tell_migration(store.migrated, log)
        _tell_losses(store.lost_files, config, log)
        listener = passed or bind(config.socket, group)
        inode = os.stat(config.socket).st_ino
        try:
            executor = LocalExecutor(
                Path(config.state_dir),
                log=log,
                leave_children=config.leave_children,
                cgroups=place(config.cgroups),
                ordered_before=store.active_attempts,
                mode=mode,
                wardens=min(MOST_WARDENS, usable_cpus()),
            )
            counters = store.counters()
            scheduler = Scheduler(
                next_key=counters.next_key,
                next_attempt_key=counters.next_attempt_key,
                next_happening=counters.next_happening,
                capacity=capacity(config),
                is_loading=True,
            )
            controller = Controller(
                _settings(config), scheduler, store, executor, Feed(), log, accounts
            )
            async with anyio.create_task_group() as core:
                await core.start(controller.run)
                configuration = Configuration(config, read_config, log)
                await _serve_clients(
                    config, configuration, controller, executor, listener, end, log
                )
                await controller.settled()
                core.cancel_scope.cancel()
        finally:
            if passed is None:
                unlink(config.socket, inode)
    log.info("stopped")


def _check_state(directory: Path, mode: int) -> None:
    """That all of it is ours alone; of mode PASSABLE, that others may pass to what is theirs in it.
    Raises ConfigError."""
    check_way(str(directory))
    attempts = directory / "attempts"
    for own in (directory, directory / "logs", attempts):
        if mode == PASSABLE and not os.path.lexists(own):
            own.mkdir(mode, parents=True)
        check_directory(str(own), mode)
    database = [f"torcd.db{suffix}" for suffix in ("", *BESIDE)]
    check_files(str(directory / name) for name in database)
    check_directory(str(directory_of(directory / "torcd.db")))
    check_files(str(attempts / name) for name in ("state_id", "wardens"))
    for number in range(wardens(attempts)):
        own = warden_directory(attempts, number)
        if number:
            check_directory(str(own))
        check_files(str(own / f"warden.{name}") for name in ("lock", "journal", "log"))


def _tell_migration(migrated: Migrated, log: Any) -> None:
    if migrated.former is not None:
        log.warning(
            "migrated",
            from_version=migrated.from_version,
            to_version=migrated.to_version,
            former=str(migrated.former),
        )


def _tell_losses(files: Collection[str], config: Config, log: Any) -> None:
    if files:
        directory = directory_of(Path(config.state_dir) / "torcd.db")
        log.error(
            "large values are lost",
            problem=f"{len(files)} files are not in {directory}, such as {min(files)}; put them "
            "back, or see whose they are with torcd check-db",
        )


async def _serve_clients(
    config: Config,
    configuration: Configuration,
    controller: Controller,
    executor: LocalExecutor,
    listener: socket.socket,
    end: "End",
    log: Any,
) -> None:
    quick = Quick(controller)
    context = Context(
        controller=controller,
        socket=config.socket,
        state_dir=config.state_dir,
        started_at=controller.now(),
        version=__version__,
        default_parallel_jobs=configuration.default_parallel_jobs,
        denied_variables=configuration.denied_variables,
        warden_pid=lambda: executor.warden_pid,
        cgroups=lambda: executor.cgroups,
        stop=end.request,
        reload=partial(configuration.reload, controller),
        log=log,
        keep=quick.keep,
    )
    dispatcher = Dispatcher(HANDLERS, context, quick.answer)
    door = Door(dispatcher, config.max_value_bytes, log, controller.accounts)
    async with door.open(listener), anyio.create_task_group() as tasks:
        await tasks.start(_watch_signals, end, context.reload)
        log.info("serving", socket=config.socket, state_dir=config.state_dir, pid=os.getpid())
        notify("READY=1")
        tasks.start_soon(tell_status, controller)
        seconds = watchdog_seconds()
        if seconds is not None:
            tasks.start_soon(feed_watchdog, controller, seconds)
        mode = await end.wait()
        while True:
            log.info("stopping", jobs=mode)
            if mode == "leave":
                break
            with end.until_more_is_asked():
                await _end_jobs(controller, mode)
                break
            mode = await end.wait()
        # Not before: from here on systemd waits only for so long.
        notify("STOPPING=1", "STATUS=stopping")
        tasks.cancel_scope.cancel()


def be_ended_by_interrupts() -> None:
    """While nobody listens to signals, at the start and at the end, Ctrl-C does at once what
    SIGTERM does. As Python's KeyboardInterrupt it would come in the middle of anything, and leave
    threads behind that keep the process from ending."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


_URGENCY: dict[StopMode, int] = {"wait": 0, "terminate": 1, "leave": 2}
"""How soon each way ends the daemon."""


class End:
    """That the daemon is to end, and what is to become of the jobs. Who asked for a way that takes
    time may lose patience: the most urgent request counts."""

    def __init__(self) -> None:
        self._asked = anyio.Event()
        self._mode: StopMode | None = None
        self._slower = anyio.CancelScope()

    def request(self, mode: StopMode) -> None:
        if self._mode is None or _URGENCY[mode] > _URGENCY[self._mode]:
            self._mode = mode
            self._asked.set()
            self._slower.cancel()

    async def wait(self) -> StopMode:
        await self._asked.wait()
        assert self._mode is not None
        return self._mode

    @contextmanager
    def until_more_is_asked(self) -> Iterator[None]:
        """Leave the block as soon as somebody asks for a more urgent way."""
        self._slower = anyio.CancelScope()
        with self._slower:
            yield


async def _watch_signals(
    end: End, reload: Callable[[], Awaitable[object]], *, task_status: TaskStatus[None]
) -> None:
    try:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            task_status.started()
            async for received in signals:
                if received == signal.SIGHUP:
                    with suppress(errors.ConfigError):  # the log says it
                        await reload()
                else:
                    end.request("leave")
    finally:
        be_ended_by_interrupts()


async def _end_jobs(controller: Controller, mode: StopMode) -> None:
    """Wait until no job and no action's command runs any more. Nothing new is started. What is
    frozen and not canceled does not run, and is left."""
    scheduler = controller.scheduler
    await controller.request(e.DrainRequested(controller.now()))
    if mode == "terminate":
        for key in list(scheduler.workflows):
            await _cancel(controller, key)
    with controller.feed.subscribe() as subscription:
        while any(
            node.is_at_work and node.frozen_since is None for node in scheduler.workflows.values()
        ):
            await subscription.next_batch()


async def _cancel(controller: Controller, key: WorkflowKey) -> None:
    while True:
        try:
            await controller.request(
                e.CancelRequested(workflow_key=key, jobs=None, at=controller.now())
            )
        except errors.NoSpace:
            await controller.moving()
            continue
        except errors.UserError:  # it may be over by now
            pass
        return


def _settings(config: Config) -> Settings:
    shell = shutil.which(config.shell)
    if shell is None:
        raise errors.ConfigError(
            f'there is no program "{config.shell}" to run commands with; install it, or set '
            "another as `shell` in the configuration",
            key="shell",
        )
    return Settings(
        socket=config.socket,
        state_dir=config.state_dir,
        shell=shell,
        max_value_bytes=config.max_value_bytes,
        termination_grace_seconds=config.termination_grace_seconds,
        retention_days=config.retention_days,
        keep_runs=config.keep_runs,
        max_log_bytes=config.max_log_bytes,
        boot_id=read_boot_id(),
    )
