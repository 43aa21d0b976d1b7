"""`torcctl files`: the files of a workflow."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.columns import FILES
from torcd.protocol import manager as m


@click.command(
    "files", cls=Command, short_help="List the files of a workflow.", example="torcctl files"
)
@pass_invocation
def command(invocation: Invocation) -> None:
    """List the files of a workflow, and what is on disk of them."""
    reply = invocation.call(m.ListFiles(workflow_key=invocation.workflow_key))
    invocation.print_list(reply, FILES, reply.items, empty="the workflow declares no files")
