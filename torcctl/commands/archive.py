"""`torcctl archive`."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcd.protocol import manager as m


@click.command(
    "archive",
    cls=Command,
    short_help="Put a workflow that is over out of sight.",
    example="torcctl archive -k 3",
)
@pass_invocation
def command(invocation: Invocation) -> None:
    """Put a workflow that is over out of sight. 'torcctl ls --archived' shows it; it refuses to run
    until 'torcctl unarchive' puts it back, and is not deleted by age."""
    info = invocation.call(m.Archive(workflow_key=invocation.workflow_key)).workflow
    invocation.print_object(info, lambda: f"workflow {info.key} {info.name} archived", said=True)
