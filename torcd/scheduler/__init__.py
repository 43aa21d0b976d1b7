"""The decisions. `Scheduler.handle(event) -> [command]` is the only way to change state."""

from torcd.scheduler.machine import Scheduler

__all__ = ["Scheduler"]
