"""`torcctl disable`."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.changed import changed_text
from torcd.protocol import manager as m


@click.command(
    "disable",
    cls=Command,
    short_help="Take jobs out that have not started.",
    example="torcctl disable 'work_*'",
)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@pass_invocation
def command(invocation: Invocation, jobs: tuple[str, ...]) -> None:
    """Take jobs out that have not started. They count as done, so what depends on them goes on.

    In a workflow that is over any job can be taken out: the next restart does without it.

    JOB is a name, a key or a pattern.
    """
    changed = invocation.call(m.Disable(jobs=list(jobs), workflow_key=invocation.workflow_key))
    invocation.print_object(changed, lambda: changed_text(changed, "disabled"), said=True)
