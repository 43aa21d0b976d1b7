"""The daemon's program: `torcd run|check-config|migrate|check-db|backup|restore`."""

import argparse
import errno
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from torcd import __version__, errors, heap, time_slice
from torcd.config import Config, capacity, in_force, load

if TYPE_CHECKING:
    from torcd.store.agreement import Problem


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 refused or failed, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        config = _load(options)
        code = int(_COMMANDS[options.command](config, options))
        if sys.stdout is not None:  # else it is closed
            sys.stdout.flush()
        return code
    except errors.TorcError as error:
        print(f"torcd: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        if not isinstance(error, BrokenPipeError):
            print(f"torcd: cannot write the output: {error.strerror}", file=sys.stderr)
        # What is left in the buffer can go nowhere; Python would complain about that at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _load(options: argparse.Namespace) -> Config:
    return load(options.config, socket=options.socket, state_dir=options.state_dir)


def _run(config: Config, options: argparse.Namespace) -> int:
    import gc

    import anyio

    from torcd import log
    from torcd.daemon import be_ended_by_interrupts, serve
    from torcd.server.activation import passed_socket

    listener = passed_socket()
    if listener is not None:
        options.socket = listener.getsockname()
        config = _load(options)
    be_ended_by_interrupts()
    logger = log.set_up(config.log_level, config.log_format)
    heap.keep_no_large_blocks()
    gc.freeze()  # what is loaded now stays: no use looking through it ever again
    # Nearly all that a busy daemon makes is gone again by itself; looking for cycles costs more.
    gc.set_threshold(100_000, 50, 100)
    time_slice.ask_for_a_short_one()
    try:
        anyio.run(serve, config, partial(_load, options), listener, logger)
    except BaseExceptionGroup as group:
        refused, rest = group.split(errors.TorcError)
        if refused is None or rest is not None:
            raise
        raise _first(refused) from None
    return 0


def _check_config(config: Config, _: argparse.Namespace) -> int:
    print(msgspec.toml.encode(in_force(config)).decode(), end="")
    return 0


def _database(config: Config) -> Path:
    return Path(config.state_dir) / "torcd.db"


def _migrate(config: Config, _: argparse.Namespace) -> int:
    import anyio

    from torcd.store import migrate

    path = _database(config)
    found = anyio.run(migrate, path)
    if found.from_version == found.to_version:
        print(f"{path} is up to date (version {found.to_version})")
    else:
        print(f"{path} is now at version {found.to_version} (it was at {found.from_version})")
    if found.former is not None:
        print(f"as it was before, it is kept as {found.former}")
    return 0


def _check_db(config: Config, options: argparse.Namespace) -> int:
    from torcd.store import check

    checked = check(options.file or _database(config), capacity(config))
    if options.json:
        print(msgspec.json.encode(checked).decode())
    elif checked.is_sound:
        counts = ", ".join(f"{name}: {count}" for name, count in checked.counts.items())
        print(f"{checked.path} is sound (version {checked.version}; {counts})")
    else:
        widths = [
            max(len(title), *(len(cells[n]) for cells in map(_cells, checked.items)))
            for n, title in enumerate(_TITLES[:-1])
        ]
        for cells in [_TITLES, *map(_cells, checked.items)]:
            print(f"{cells[0]:{widths[0]}}  {cells[1]:{widths[1]}}  {cells[2]}")
    if checked.is_sound:
        return 0
    print(f"torcd: {checked.path} has problems: {len(checked.items)}", file=sys.stderr)
    return 1


_TITLES = ("CHECK", "SUBJECT", "PROBLEM")


def _cells(problem: "Problem") -> tuple[str, str, str]:
    return problem.check, problem.subject, problem.message


def _back_up(config: Config, options: argparse.Namespace) -> int:
    from torcd.store import back_up

    made = back_up(_database(config), options.file, overwrite=options.force)
    print(f"{options.file}: {made.size_bytes} bytes, whole and on disk")
    if made.lost_values:
        lost = f"large values that are not in it, for their files are gone: {made.lost_values}"
        print(f"torcd: {lost}; torcd check-db tells whose they are", file=sys.stderr)
    return 0


def _restore(config: Config, options: argparse.Namespace) -> int:
    from torcd.executors.local.launching import newest_attempt
    from torcd.store import restore

    path = _database(config)
    attempts = Path(config.state_dir) / "attempts"
    restored = restore(options.file, path, newest_attempt=lambda: newest_attempt(attempts))
    print(f"{path} is now what {options.file} was")
    if restored.replaced is not None:
        print(f"what was there is kept as {restored.replaced}")
    if restored.lost:
        print(f"attempts that were active then, and count as lost: {restored.lost}")
    for key in restored.paused:
        print(f"workflow {key} is paused; to let it go on: torcctl -k {key} resume")
    return 0


def _first(group: BaseExceptionGroup[errors.TorcError]) -> errors.TorcError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, errors.TorcError)
    return error


_COMMANDS = {
    "run": _run,
    "check-config": _check_config,
    "migrate": _migrate,
    "check-db": _check_db,
    "backup": _back_up,
    "restore": _restore,
}


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
        "check-db": "look whether the database is whole; exits with 1 if it is not",
        "backup": "copy the database, also while the daemon works",
        "restore": "put a backup in the place of the database, while no daemon works",
    }.items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        # The same flags after the command: where people type them.
        for flag in ("--config", "--socket", "--state-dir"):
            command.add_argument(flag, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        _add_arguments(name, command)
    return parser


def _add_arguments(name: str, command: argparse.ArgumentParser) -> None:
    if name == "check-db":
        text = "the database, or a backup (default: the one in the state directory)"
        command.add_argument("file", nargs="?", type=Path, metavar="FILE", help=text)
        command.add_argument("--json", action="store_true", help="print JSON")
    elif name == "backup":
        command.add_argument("file", type=Path, metavar="FILE", help="where to")
        text = "replace a file that is there"
        command.add_argument("--force", action="store_true", help=text)
    elif name == "restore":
        command.add_argument("file", type=Path, metavar="FILE", help="the backup")


if __name__ == "__main__":
    sys.exit(main())
