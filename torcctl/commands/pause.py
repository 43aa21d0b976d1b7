"""`torcctl pause`."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcd.protocol import manager as m


@click.command(
    "pause", cls=Command, short_help="Start no more jobs of a workflow.", example="torcctl pause"
)
@pass_invocation
def command(invocation: Invocation) -> None:
    """Start no more jobs of a workflow. What runs, runs on; 'torcctl resume' starts more again."""
    info = invocation.call(m.Pause(workflow_key=invocation.workflow_key)).workflow
    invocation.print_object(info, lambda: f"workflow {info.key} {info.name} paused", said=True)
