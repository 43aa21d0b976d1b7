"""The daemon's program: `torcd run|check-config|migrate`."""

import argparse
import sys
from pathlib import Path

import msgspec

from torcd import __version__, errors
from torcd.config import Config, in_force, load

LARGE_BLOCK_BYTES = 1 << 20

_M_MMAP_THRESHOLD = -3
"""From <malloc.h>."""


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 refused or failed, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        config = load(options.config, socket=options.socket, state_dir=options.state_dir)
        return int(_COMMANDS[options.command](config))
    except errors.TorcError as error:
        print(f"torcd: {error}", file=sys.stderr)
        return 1


def _run(config: Config) -> int:
    import gc

    import anyio

    from torcd import log
    from torcd.daemon import serve

    logger = log.set_up(config.log_level, config.log_format)
    _give_large_memory_back()
    gc.freeze()  # what is loaded now stays: no use looking through it ever again
    # Nearly all that a busy daemon makes is gone again by itself; looking for cycles costs more.
    gc.set_threshold(100_000, 50, 100)
    try:
        anyio.run(serve, config, logger)
    except BaseExceptionGroup as group:
        refused, rest = group.split(errors.TorcError)
        if refused is None or rest is not None:
            raise
        raise _first(refused) from None
    return 0


def _give_large_memory_back() -> None:
    """Have large blocks (messages, values) returned to the system as soon as they are free.

    Left alone, glibc takes the first large block that is freed as a sign that more will come, and
    keeps them: a daemon that once served some large values would be of that size for ever.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries have none, and do not do this
        mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def _check_config(config: Config) -> int:
    print(msgspec.toml.encode(in_force(config)).decode(), end="")
    return 0


def _migrate(config: Config) -> int:
    import anyio

    from torcd.store import migrate

    path = Path(config.state_dir) / "torcd.db"
    found = anyio.run(migrate, path)
    if found.from_version == found.to_version:
        print(f"{path} is up to date (version {found.to_version})")
    else:
        print(f"{path} is now at version {found.to_version} (it was at {found.from_version})")
    return 0


def _first(group: BaseExceptionGroup[errors.TorcError]) -> errors.TorcError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, errors.TorcError)
    return error


_COMMANDS = {"run": _run, "check-config": _check_config, "migrate": _migrate}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="torcd",
        description="The daemon of torcd. People talk to it with torcctl.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"torcd {__version__}")
    parser.add_argument("--config", metavar="FILE", help="the configuration file")
    parser.add_argument("--socket", metavar="PATH", help="where to listen")
    parser.add_argument("--state-dir", metavar="DIR", help="where to keep everything")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in {
        "run": "serve until told to stop",
        "check-config": "read the configuration and print what is in force",
        "migrate": "bring the database to this version",
    }.items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        # The same flags after the command: where people type them.
        for flag in ("--config", "--socket", "--state-dir"):
            command.add_argument(flag, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
