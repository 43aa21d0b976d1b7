"""`torcctl pause`."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcd.protocol import manager as m


@click.command(
    "pause", cls=Command, short_help="Start no more jobs of a workflow.", example="torcctl pause"
)
@click.option(
    "--stop", is_flag=True, help="Freeze what runs, too: it stands still until 'torcctl resume'."
)
@pass_invocation
def command(invocation: Invocation, *, stop: bool) -> None:
    """Start no more jobs of a workflow. What runs, runs on; 'torcctl resume' starts more again.

    With --stop what runs is frozen, all its processes, and keeps its memory. It can be canceled,
    and the time does not count for its runtime limit.
    """
    info = invocation.call(
        m.Pause(workflow_key=invocation.workflow_key, stop=stop or None)
    ).workflow
    how = "paused, and what runs is frozen" if info.frozen else "paused"
    invocation.print_object(info, lambda: f"workflow {info.key} {info.name} {how}", said=True)
