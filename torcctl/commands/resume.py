"""`torcctl resume`."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcd.protocol import manager as m


@click.command(
    "resume",
    cls=Command,
    short_help="Start the jobs of a paused workflow again.",
    example="torcctl resume",
)
@pass_invocation
def command(invocation: Invocation) -> None:
    """Start the jobs of a paused workflow again; what 'torcctl pause --stop' froze goes on."""
    info = invocation.call(m.Resume(workflow_key=invocation.workflow_key)).workflow
    invocation.print_object(info, lambda: f"workflow {info.key} {info.name} resumed", said=True)
