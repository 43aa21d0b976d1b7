"""`torcctl events`: what happened, and what happens."""

from collections.abc import Iterator

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.columns import EVENTS
from torcctl.render.table import cells
from torcd.client.conversation import ConnectionBroken
from torcd.errors import Lagged, NoDaemon, ShuttingDown
from torcd.protocol import manager as m


@click.command(
    "events",
    cls=Command,
    short_help="List or follow what happens.",
    example="torcctl events -f\ntorcctl events --since 120 --json",
)
@click.option(
    "-f", "--follow", is_flag=True, help="Print each event as it happens, from now or --since on."
)
@click.option("--since", type=click.IntRange(min=0), metavar="N", help="From event number N on.")
@pass_invocation
def command(invocation: Invocation, follow: bool, since: int | None) -> None:
    """List or follow what happens, in all workflows or in the one of -k. Events have numbers."""
    if follow:
        invocation.print_lines(
            (e, "  ".join(cells(EVENTS, e))) for e in _followed(invocation, since)
        )
        return
    reply = invocation.call(m.ListEvents(workflow_key=invocation.workflow_key, since=since))
    invocation.print_list(reply, EVENTS, reply.items, empty="no events")


def _followed(invocation: Invocation, since: int | None) -> Iterator[m.Event]:
    """Each event once, across cut-offs and a daemon that restarts."""
    key = invocation.workflow_key
    while True:
        connected = False
        try:
            for reply in invocation.stream(m.FollowEvents(workflow_key=key, since=since)):
                connected = True
                since = reply.event.number + 1
                yield reply.event
        except Lagged as e:
            next_number = e.facts.get("next")
            since = next_number if isinstance(next_number, int) else since
        except (NoDaemon, ShuttingDown) as e:
            if not connected and not isinstance(e, ConnectionBroken | ShuttingDown):
                raise
            invocation.wait_for_daemon()
        else:
            return
