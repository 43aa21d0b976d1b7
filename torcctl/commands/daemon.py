"""`torcctl daemon`: start it, stop it, look at it."""

import os
from collections.abc import Callable
from typing import Any, Literal, cast

import click

from torcctl import daemon_process, service
from torcctl.invocation import Invocation
from torcctl.options import Group, pass_invocation
from torcctl.render.service import done_text
from torcctl.render.workflow import daemon_text, reloaded_text
from torcctl.units import Scope
from torcd.protocol import manager as m


@click.group(
    "daemon",
    cls=Group,
    short_help="Start, stop and look at the daemon.",
    example="torcctl daemon status",
)
def command() -> None:
    """Start, stop and look at the daemon."""


@command.command("start", short_help="Start a daemon of your own.", example="torcctl daemon start")
@pass_invocation
def start(invocation: Invocation) -> None:
    """Start a daemon of your own, in the background.

    Returns when it serves, or says within 10 seconds why it does not. One that runs already is as
    good. What it has to say goes to torcd.log in its state directory.
    """
    socket = daemon_process.own_socket(invocation.socket_option)
    started = daemon_process.start(socket)
    # From here on its own socket is meant, also where the system's would be looked at first.
    invocation.socket_option = socket
    status = invocation.call(m.GetStatus())
    how = "runs already" if started.pid is None else "serves"
    invocation.print_object(
        status, lambda: f"torcd {how}: pid {status.pid}, socket {status.socket}", said=True
    )


@command.command("stop", short_help="End the daemon.", example="torcctl daemon stop --jobs wait")
@click.option(
    "--jobs",
    type=click.Choice(["leave", "terminate", "wait"]),
    default="leave",
    show_default=True,
    help="leave: jobs run on, and the next daemon finds them. terminate: they are canceled first. "
    "wait: nothing new starts, and the daemon ends after the last of them.",
)
@pass_invocation
def stop(invocation: Invocation, jobs: str) -> None:
    """End the daemon, and return when it is gone."""
    status = invocation.call(m.GetStatus())
    process = daemon_process.Watched(status.pid)
    choice = cast('Literal["leave", "terminate", "wait"]', jobs)
    invocation.call(m.Stop(jobs=choice))
    process.wait_until_gone()
    invocation.print_object(
        {"pid": status.pid}, lambda: f"torcd (pid {status.pid}) has ended", said=True
    )


@command.command(
    "reload", short_help="Read the configuration again.", example="torcctl daemon reload"
)
@pass_invocation
def reload(invocation: Invocation) -> None:
    """Have the daemon read its configuration again.

    A wrong one is refused, and the old one stays in force. Says which keys have a new value now,
    and which get theirs only when the daemon is started again.
    """
    reloaded = invocation.call(m.Reload())
    invocation.print_object(reloaded, lambda: reloaded_text(reloaded), said=True)


@command.command("status", short_help="Show the daemon.", example="torcctl daemon status --json")
@pass_invocation
def status(invocation: Invocation) -> None:
    """Show the daemon: where it is, since when, and what it has to do. Exits with 3 without one."""
    reply = invocation.call(m.GetStatus())
    invocation.print_object(reply, lambda: daemon_text(reply))


def _service_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        click.option(
            "--system", "scope", flag_value="system", help="The machine's (default of root)."
        ),
        click.option("--user", "scope", flag_value="user", help="Your own (default of others)."),
    ):
        function = decorate(function)
    return function


def _scope(chosen: str | None) -> Scope:
    return cast("Scope", chosen or ("system" if os.geteuid() == 0 else "user"))


@command.command(
    "install",
    short_help="Have systemd run the daemon.",
    example="torcctl daemon install --user --dry-run",
)
@_service_options
@pass_invocation
def install(invocation: Invocation, scope: str | None, dry_run: bool) -> None:
    """Have systemd run the daemon: write its units, enable and start them.

    The units name the program as it is installed here, so do it again when that has moved. What
    they say is changed by drop-ins: systemctl edit torcd.
    """
    done = service.install(_scope(scope), dry_run=dry_run)
    invocation.print_object(done, lambda: done_text(done, dry_run=dry_run), said=not dry_run)


@command.command(
    "uninstall",
    short_help="Undo install.",
    example="torcctl daemon uninstall --user --dry-run",
)
@_service_options
@pass_invocation
def uninstall(invocation: Invocation, scope: str | None, dry_run: bool) -> None:
    """Stop the daemon's units, and remove them.

    Jobs run on, and what the daemon keeps stays where it is.
    """
    done = service.uninstall(_scope(scope), dry_run=dry_run)
    invocation.print_object(done, lambda: done_text(done, dry_run=dry_run), said=not dry_run)
