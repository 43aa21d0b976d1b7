"""`torcctl enable`."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.changed import changed_text
from torcd.protocol import manager as m


@click.command(
    "enable", cls=Command, short_help="Put disabled jobs back.", example="torcctl enable 'work_*'"
)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@pass_invocation
def command(invocation: Invocation, jobs: tuple[str, ...]) -> None:
    """Put disabled jobs back. Each goes to where its dependencies say.

    A workflow that is over goes on.

    JOB is a name, a key or a pattern.
    """
    changed = invocation.call(m.Enable(jobs=list(jobs), workflow_key=invocation.workflow_key))
    invocation.print_object(changed, lambda: changed_text(changed, "enabled"), said=True)
