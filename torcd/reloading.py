"""The configuration while the daemon runs: read again, and what may change changes.

What is taken over is what nobody holds a copy of; the rest is named to whoever asked, and keeps its
value until the daemon is started again, which no job notices.
"""

import time
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
from anyio import to_thread

from torcd import errors, log
from torcd.config import Config, in_force
from torcd.controller import Controller
from torcd.notify import notify
from torcd.protocol import manager as m

CHANGEABLE = frozenset(
    {
        "max_parallel_jobs",
        "termination_grace_seconds",
        "retention_days",
        "keep_runs",
        "environment_denylist",
        "log_level",
    }
)


class Configuration:
    """What is in force now."""

    def __init__(self, config: Config, read: Callable[[], Config], logger: Any) -> None:
        """`read` reads it again, as it was read at the start. Raises ConfigError."""
        self._config = config
        self._parallel_jobs = in_force(config).max_parallel_jobs or 1
        self._read = read
        self._log = logger
        self._one = anyio.Lock()

    def default_parallel_jobs(self) -> int:
        return self._parallel_jobs

    def denied_variables(self) -> tuple[str, ...]:
        return self._config.environment_denylist

    async def reload(self, controller: Controller) -> m.Reloaded:
        """Raises ConfigError, and then nothing has changed."""
        async with self._one:
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                reloaded = await self._take_over(await to_thread.run_sync(self._read))
            except errors.ConfigError as error:
                self._log.error("configuration refused", problem=str(error))
                raise
            finally:
                notify("READY=1")
            log.set_level(self._config.log_level)
            controller.adopt(
                termination_grace_seconds=self._config.termination_grace_seconds,
                retention_days=self._config.retention_days,
                keep_runs=self._config.keep_runs,
            )
            self._log.info("configuration read", **msgspec.to_builtins(reloaded))
            return reloaded

    async def _take_over(self, found: Config) -> m.Reloaded:
        names = [
            n for n in Config.__struct_fields__ if getattr(found, n) != getattr(self._config, n)
        ]
        changed = {name: getattr(found, name) for name in names if name in CHANGEABLE}
        config = msgspec.structs.replace(self._config, **changed)
        parallel_jobs = (await to_thread.run_sync(in_force, config)).max_parallel_jobs or 1
        self._config, self._parallel_jobs = config, parallel_jobs
        return m.Reloaded(
            changed=list(changed),
            needs_restart=[name for name in names if name not in CHANGEABLE],
        )
