"""The daemon itself."""

from typing import Literal

import msgspec

from torcd.protocol.request import Request


class Nothing(msgspec.Struct, frozen=True):
    """An answer that says only: done."""


class GetStatus(Request["DaemonStatus"], frozen=True, forbid_unknown_fields=True):
    """Who is there."""


class DaemonStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`workflows` counts those that are running or paused, `jobs` the processes of jobs that run
    now. `warden_pid` is null until the first job needs one. `held_up` says why nothing can be
    started, and names the disk, while one is full."""

    pid: int
    warden_pid: int | None
    version: str
    socket: str
    state_dir: str
    started_at: str
    workflows: int
    jobs: int
    cgroups: str | None = None
    """Where jobs get cgroups of their own; null: they don't."""
    held_up: str | None = None


class Reload(Request["Reloaded"], frozen=True, forbid_unknown_fields=True):
    """Read the configuration again. A wrong one is refused, and the old one stays in force."""


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """Names of keys: `changed` are in force with a new value from now on; `needs_restart` have
    another value in the file than in the daemon, which keeps its own until it is started again."""

    changed: list[str] = []
    needs_restart: list[str] = []


class Stop(Request[Nothing], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End the daemon. `leave`: jobs run on and the next daemon finds them. `terminate`: they are
    canceled first. `wait`: nothing new starts, and it ends when the last of them has. Answers
    when that is under way; the connection closes when it is done."""

    jobs: Literal["leave", "terminate", "wait"] | None = None
