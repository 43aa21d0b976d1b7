"""`torcctl ls`: all workflows."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.columns import WORKFLOWS
from torcd.protocol import manager as m


@click.command("ls", cls=Command, short_help="List workflows.", example="torcctl ls --archived")
@click.option("--archived", is_flag=True, help="Those that are archived as well.")
@pass_invocation
def command(invocation: Invocation, archived: bool) -> None:
    """List workflows, oldest first."""
    reply = invocation.call(m.ListWorkflows(archived=archived or None))
    invocation.print_list(
        reply, WORKFLOWS, reply.items, empty="no workflow yet; 'torcctl run SPEC' makes one"
    )
