"""`torcctl status`: how a workflow stands."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.standing import workflow_text
from torcd.protocol import manager as m


@click.command(
    "status",
    cls=Command,
    short_help="Show how a workflow stands.",
    example="torcctl status\ntorcctl -k 12 status --json",
)
@pass_invocation
def command(invocation: Invocation) -> None:
    """Show how a workflow stands: its state, and how many of its jobs are in which."""
    info = invocation.call(m.GetWorkflow(workflow_key=invocation.workflow_key)).workflow
    invocation.print_object(info, lambda: workflow_text(info))
