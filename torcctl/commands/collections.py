"""`torcctl collections`: jobs joined with what they are connected to, as torc has it."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Group, pass_invocation
from torcctl.render.columns import JOINED, JOINS
from torcd.protocol import manager as m


@click.group(
    "collections",
    cls=Group,
    short_help="Join jobs with their data, files and results.",
    example="torcctl collections join job-consumes-data -f key=$TORC_JOB_KEY",
)
def command() -> None:
    """Join jobs with their data, files and results."""


@command.command("list", short_help="List the joins there are.", example="torcctl collections list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the joins there are."""
    reply = invocation.call(m.ListJoins())
    invocation.print_list(reply, JOINS, reply.items, empty="there are no joins")


@command.command(
    "join",
    short_help="Print the pairs of a join.",
    example="torcctl -F json collections join job-stores-data -f key=12",
)
@click.argument("name", metavar="NAME")
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="key=KEY",
    help="Only pairs whose 'from' has this key.",
)
@pass_invocation
def join(invocation: Invocation, name: str, filters: tuple[str, ...]) -> None:
    """Print the pairs of a join: each has 'from' (a job) and 'to' (what it is connected to)."""
    key = None
    for text in filters:
        field, equals, value = text.partition("=")
        if field not in ("key", "_key") or not equals or not value:
            raise click.UsageError(f"-f takes key=KEY, not '{text}'.")
        if key not in (None, value):
            raise click.UsageError("-f names two different keys.")
        key = value
    reply = invocation.call(m.Join(name=name, workflow_key=invocation.workflow_key, key=key))
    invocation.print_list(reply, JOINED, reply.items, empty="nothing to join")
