"""`torcctl ls`: all workflows."""

import os
import pwd

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.columns import workflow_columns
from torcd.protocol import manager as m


@click.command("ls", cls=Command, short_help="List workflows.", example="torcctl ls --archived")
@click.option("--archived", is_flag=True, help="Those that are archived as well.")
@pass_invocation
def command(invocation: Invocation, archived: bool) -> None:
    """List workflows, oldest first. Of a daemon that serves several users you see your own; root
    and the members of the admin group see all, with their owners."""
    reply = invocation.call(m.ListWorkflows(archived=archived or None))
    invocation.print_list(
        reply,
        workflow_columns(reply.items, _me()),
        reply.items,
        empty="no workflow yet; 'torcctl run SPEC' makes one",
    )


def _me() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
