"""torcd as a service of systemd: put in place, and taken away."""

import getpass
import os
import shlex
import subprocess
from pathlib import Path

import msgspec

from torcctl import daemon_process, units
from torcctl.units import CannotInstall, Scope, UnitFile
from torcd import locations

SYSTEMCTL_SECONDS = 660
"""A start may take as long as the unit allows it."""


class Done(msgspec.Struct, frozen=True):
    """What was done, or is to be done in a dry run: files, commands, and what to know besides."""

    written: list[str]
    removed: list[str]
    commands: list[str]
    notes: list[str]


def install(scope: Scope, *, dry_run: bool) -> Done:
    """Write the units, have them started now and with the machine (or with the user's first
    login). Again: bring them up to date. Raises CannotInstall."""
    files = units.files(scope)
    stale = [file for file in files if not file.is_there()]
    commands: list[list[str]] = []
    if scope == "system":
        # The group must be there before the socket.
        commands += [[f"systemd-{kind}", *words] for kind, *words in _SNIPPETS]
    commands += [
        _systemctl(scope, "daemon-reload"),
        _systemctl(scope, "enable", *units.UNITS),
        _systemctl(scope, "start", "torcd.socket"),
        # Jobs run on, and those who wait go on waiting.
        _systemctl(scope, "restart", "torcd.service"),
    ]
    if not dry_run:
        _require_systemd(scope)
        _require_no_other_daemon(scope)
        for file in stale:
            _write(file)
        for command in commands:
            _run(command)
    return Done(
        written=[file.path for file in stale],
        removed=[],
        commands=[shlex.join(command) for command in commands],
        notes=_notes(scope),
    )


_SNIPPETS = (
    ("sysusers", "/etc/sysusers.d/torcd.conf"),
    ("tmpfiles", "--create", "/etc/tmpfiles.d/torcd.conf"),
)


def uninstall(scope: Scope, *, dry_run: bool) -> Done:
    """Stop and disable the units and remove them. Jobs run on, and the state stays. Raises
    CannotInstall."""
    there = [file for file in units.files(scope) if os.path.lexists(file.path)]
    for file in there:
        file.is_there()  # not somebody else's
    commands = [
        _systemctl(scope, "disable", "--now", *units.UNITS),
        _systemctl(scope, "daemon-reload"),
    ]
    if not there:
        return Done(written=[], removed=[], commands=[], notes=["torcd is not installed"])
    if not dry_run:
        _require_systemd(scope)
        _run(commands[0])
        for file in there:
            _remove(file)
        _run(commands[1])
    state = "/var/lib/torcd" if scope == "system" else locations.state_dir()
    return Done(
        written=[],
        removed=[file.path for file in there],
        commands=[shlex.join(command) for command in commands],
        notes=[f"the workflows stay in {state}, and jobs that run go on"],
    )


def _systemctl(scope: Scope, *words: str) -> list[str]:
    return ["systemctl", *(["--user"] if scope == "user" else []), *words]


def _run(command: list[str]) -> str:
    """What it printed. Raises CannotInstall."""
    shown = shlex.join(command)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SYSTEMCTL_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise CannotInstall(
            f"there is no {command[0]}: without systemd, start torcd with torcctl daemon start",
            path=command[0],
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(f"{shown}: {error}", path=command[0]) from None
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise CannotInstall(f"{shown} failed: {said}", path=command[0])
    return done.stdout


def _require_systemd(scope: Scope) -> None:
    if scope == "system" and os.geteuid() != 0:
        raise CannotInstall(
            "only root can install torcd for the system; use sudo, or --user for a daemon of "
            "your own",
            path=str(units.units_directory(scope)),
        )
    try:
        _run(_systemctl(scope, "show", "--property=Version"))
    except CannotInstall as error:
        if scope == "user":
            error.message += (
                "; a systemd of your own comes with a login (not with su or sudo), or with "
                f"loginctl enable-linger {shlex.quote(getpass.getuser())}"
            )
        raise


def _require_no_other_daemon(scope: Scope) -> None:
    path = units.socket_path(scope)
    done = subprocess.run(
        _systemctl(scope, "is-active", "torcd.socket"), capture_output=True, check=False
    )
    if done.returncode != 0 and daemon_process.answers(path):
        raise CannotInstall(
            f"a daemon that systemd did not start answers at {path}; end it first with torcctl "
            f"--socket {shlex.quote(path)} daemon stop (jobs run on)",
            path=path,
        )


_VARIABLES = ("TORC_SOCKET", "TORCD_STATE_DIR", "TORCD_CONFIG", "XDG_STATE_HOME", "XDG_CONFIG_HOME")
"""They say where a daemon's things are, and a systemd of the user's own may not know them."""


def _notes(scope: Scope) -> list[str]:
    if scope == "system":
        return []
    return [*_unknown_variables(), *_lingering()]


def _unknown_variables() -> list[str]:
    return [
        f"{name} is set here, and a service does not see your shell's variables: "
        "systemctl --user edit torcd, with Environment=, if it is to hold for torcd"
        for name in _VARIABLES
        if os.environ.get(name)
    ]


def _lingering() -> list[str]:
    name = getpass.getuser()
    try:
        found = subprocess.run(
            ["loginctl", "show-user", name, "--property=Linger", "--value"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
    except OSError:
        found = ""
    if found == "yes":
        return []
    return [
        "torcd and its jobs end when you log out, and start when you log in; to have them run "
        f"without: loginctl enable-linger {shlex.quote(name)}"
    ]


def _write(file: UnitFile) -> None:
    path = Path(file.path)
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(file.text)
        fresh.chmod(0o644)
        fresh.replace(path)
    except OSError as error:
        raise CannotInstall(f"cannot write {path}: {error.strerror}", path=file.path) from None


def _remove(file: UnitFile) -> None:
    try:
        os.unlink(file.path)
    except OSError as error:
        raise CannotInstall(
            f"cannot remove {file.path}: {error.strerror}", path=file.path
        ) from None
