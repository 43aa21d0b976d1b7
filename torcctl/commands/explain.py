"""`torcctl explain`: why a job is where it is."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.workflow import explanation_text
from torcd.protocol import manager as m


@click.command(
    "explain",
    cls=Command,
    short_help="Say why a job is where it is, and what would move it.",
    example="torcctl explain postprocess",
)
@click.argument("job", metavar="JOB")
@pass_invocation
def command(invocation: Invocation, job: str) -> None:
    """Say why a job is where it is, and what would move it."""
    reply = invocation.call(m.Explain(job=job, workflow_key=invocation.workflow_key))
    invocation.print_object(reply, lambda: explanation_text(reply))
