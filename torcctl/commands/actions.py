"""`torcctl actions`: the actions of a workflow."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.columns import COMMANDS
from torcd.protocol import manager as m


@click.command(
    "actions",
    cls=Command,
    short_help="List the actions of a workflow.",
    example="torcctl actions\ntorcctl actions --json",
)
@pass_invocation
def command(invocation: Invocation) -> None:
    """List the actions of a workflow, and what became of each of their commands.

    `torcctl logs --action N` prints what they wrote; with -F json, each has the paths of it.
    """
    reply = invocation.call(m.ListActions(workflow_key=invocation.workflow_key))
    commands = [(action, command) for action in reply.items for command in action.commands]
    invocation.print_list(reply, COMMANDS, commands, empty="the workflow has no actions")
