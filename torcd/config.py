"""The daemon's configuration: read whole, checked whole, then only a struct.

Every key has a default. Flags override the environment, which overrides the file. Nothing else in
torcd reads the environment or the file.
"""

import difflib
import os
import tomllib
from typing import Annotated, Literal

import msgspec

from torcd import amount, errors, locations, machine, value
from torcd.model import Capacity

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of torcd.toml; `configs/torcd.toml` explains each."""

    socket: str = ""
    """Where it listens; empty: the user's runtime directory."""
    state_dir: str = ""
    """Where the database, the logs and the files of attempts are; empty: the user's."""
    max_parallel_jobs: Positive | None = None
    """Jobs of one workflow that run at once where its submitter does not say; absent: as many as
    CPUs that there are for jobs."""
    cpus: Positive | None = None
    """CPUs that there are for the jobs that ask, of all workflows together; absent: those that the
    daemon may use."""
    memory: str | None = None
    """Memory for them, such as 16g; absent: what the machine has."""
    gpus: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """GPUs for them, numbered from 0; absent: those that the machine has."""
    max_value_bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)] = value.MAX_VALUE_BYTES
    """The largest user_data value."""
    termination_grace_seconds: NotNegative = 10.0
    """Between SIGTERM and SIGKILL, for jobs that support termination."""
    max_log_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    """The most that a log of a job may have, about: its beginning and its end are kept; 0: it may
    grow as it likes."""
    retention_days: NotNegative = 0.0
    """Workflows that have been over for so many days are deleted, with their results and logs, but
    for those that are archived; 0: never."""
    keep_runs: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How many runs of a workflow are kept, the newest: results, logs and events of those before
    are removed, but for what the present state of a job comes from. Values are kept, and archived
    workflows left alone; 0: all."""
    cgroups: str = "auto"
    """Where attempts get cgroups of their own: `auto`, where this daemon was given some to divide;
    `off`; or a directory of a cgroup2 file system."""
    leave_children: bool = False
    """Whether processes that a job leaves behind when it ends well live on."""
    environment_denylist: tuple[str, ...] = (
        "TORC_*",
        "TORCD_*",
        "NOTIFY_SOCKET",
        "LISTEN_*",
        "WATCHDOG_*",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "_",
        "OLDPWD",
        "SHLVL",
    )
    """Patterns of variables that jobs do not inherit from where torcctl was run."""
    users_group: str | None = None
    """The group whose members may use a daemon that root runs, besides root; empty: nobody; absent:
    `torcd` where it listens at the system's socket, otherwise nobody."""
    admin_group: str = "torcd-admin"
    """The group whose members may see and do everything there; empty: root alone."""
    shell: str = "bash"
    """What runs commands that are a text, as `SHELL -c COMMAND`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is less grave is not logged."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """`auto`: readable on a terminal, with fields into systemd's journal, JSON otherwise."""


def load(
    path: str | None = None, *, socket: str | None = None, state_dir: str | None = None
) -> Config:
    """The configuration in force. Raises ConfigError.

    `path` None: where the environment says, or the default, which need not exist.
    """
    named = path is not None or bool(os.environ.get("TORCD_CONFIG"))
    config = _read(path or locations.daemon_config(), must_exist=named)
    return msgspec.structs.replace(
        config,
        socket=_absolute(
            socket or os.environ.get("TORC_SOCKET") or config.socket or locations.user_socket()
        ),
        state_dir=_absolute(
            state_dir
            or os.environ.get("TORCD_STATE_DIR")
            or config.state_dir
            or locations.state_dir()
        ),
    )


def _absolute(path: str) -> str:
    """Of a path that is text: it is told to clients, and jobs get it."""
    absolute = os.path.abspath(path)
    try:
        absolute.encode()
    except UnicodeEncodeError:
        shown = absolute.encode("utf-8", "backslashreplace").decode()
        raise errors.ConfigError(
            f"the path {shown} is not UTF-8; name another", file=shown
        ) from None
    return absolute


def users_group(config: Config) -> str:
    """Whose members are served besides the daemon's own user; empty: nobody's. Raises
    ConfigError."""
    if config.users_group is None:
        is_systems = config.socket == locations.SYSTEM_SOCKET
        return locations.SYSTEM_GROUP if is_systems and os.geteuid() == 0 else ""
    if config.users_group and os.geteuid() != 0:
        raise errors.ConfigError(
            f"users_group is {config.users_group!r}, but only a daemon that root runs can serve "
            "others; leave it out for a daemon of your own",
            key="users_group",
        )
    return config.users_group


def capacity(config: Config) -> Capacity:
    """What there is for jobs: what the machine has, where the configuration does not say."""
    found = machine.capacity()
    return Capacity(
        cpus=config.cpus or found.cpus,
        memory_bytes=(
            found.memory_bytes if config.memory is None else amount.memory_bytes(config.memory)
        ),
        gpus=found.gpus if config.gpus is None else config.gpus,
    )


def in_force(config: Config) -> Config:
    """With what is worked out at the start as it would be worked out now."""
    found = capacity(config)
    return msgspec.structs.replace(
        config,
        max_parallel_jobs=config.max_parallel_jobs or found.cpus,
        cpus=found.cpus,
        memory=str(found.memory_bytes),
        gpus=found.gpus,
        users_group=users_group(config),
    )


def _read(path: str, *, must_exist: bool) -> Config:
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except FileNotFoundError:
        if must_exist:
            raise errors.ConfigError(f"there is no configuration file {path}", file=path) from None
        return Config()
    except OSError as error:
        raise errors.ConfigError(f"cannot read {path}: {error.strerror}", file=path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.ConfigError(f"{path} is not TOML: {error}", file=path) from None
    known = Config.__struct_fields__
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f"; known: {', '.join(known)}"
            raise errors.ConfigError(f'{path}: there is no key "{key}"{hint}', file=path, key=key)
    try:
        config = msgspec.convert(found, Config)
    except msgspec.ValidationError as error:
        raise errors.ConfigError(f"{path}: {error}".replace("`$.", "`"), file=path) from None
    if config.memory is not None:
        _check_memory(path, config.memory)
    if config.cgroups not in ("auto", "off") and not os.path.isabs(config.cgroups):
        raise errors.ConfigError(
            f'{path}: `cgroups`: {config.cgroups!r} is neither "auto" nor "off" nor the absolute '
            "path of a directory",
            file=path,
            key="cgroups",
        )
    return config


def _check_memory(path: str, text: str) -> None:
    try:
        if not amount.memory_bytes(text):
            raise ValueError("is none at all: leave it out for what the machine has")
    except ValueError as error:
        shown = ascii(text[:60]).replace("'", '"')
        message = f"{path}: `memory`: {shown} {error}"
        raise errors.ConfigError(message, file=path, key="memory") from None
