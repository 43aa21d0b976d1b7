"""`torcctl retry`."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.changed import changed_text
from torcd.protocol import manager as m


@click.command(
    "retry",
    cls=Command,
    short_help="Run jobs once more that ended badly, in the same run.",
    example="torcctl retry 'work_*'",
)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@pass_invocation
def command(invocation: Invocation, jobs: tuple[str, ...]) -> None:
    """Run jobs once more that failed, were canceled or terminated, in the same run.

    What was canceled because of them is revived. A workflow that is over goes on. JOB is a name, a
    key or a pattern.
    """
    changed = invocation.call(m.Retry(jobs=list(jobs), workflow_key=invocation.workflow_key))
    invocation.print_object(changed, lambda: changed_text(changed, "retrying"), said=True)
