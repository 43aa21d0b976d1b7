"""`torcctl unarchive`."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcd.protocol import manager as m


@click.command(
    "unarchive",
    cls=Command,
    short_help="Put an archived workflow back.",
    example="torcctl unarchive -k 3",
)
@pass_invocation
def command(invocation: Invocation) -> None:
    """Put an archived workflow back; say which with -k."""
    if invocation.workflow_key is None:
        raise click.UsageError("say which workflow with -k; 'torcctl ls --archived' shows them")
    info = invocation.call(m.Unarchive(workflow_key=invocation.workflow_key)).workflow
    invocation.print_object(info, lambda: f"workflow {info.key} {info.name} is back", said=True)
