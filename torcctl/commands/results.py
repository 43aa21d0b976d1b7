"""`torcctl results`: the attempts of a workflow."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.columns import RESULTS
from torcd.protocol import manager as m


@click.command(
    "results",
    cls=Command,
    short_help="List attempts: how each ended and what it used.",
    example="torcctl results\ntorcctl results 'work_*' --all",
)
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@click.option(
    "--run",
    "run_id",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of this run. Default: the newest.",
)
@click.option("--all", "all_runs", is_flag=True, help="Of all runs.")
@pass_invocation
def command(
    invocation: Invocation, jobs: tuple[str, ...], run_id: int | None, all_runs: bool
) -> None:
    """List attempts: how each ended and what it used.

    JOB is a name, a key or a pattern; without one, all jobs are meant.
    """
    if run_id is not None and all_runs:
        raise click.UsageError("--run and --all exclude each other.")
    reply = invocation.call(
        m.ListResults(
            workflow_key=invocation.workflow_key,
            run_id=run_id,
            all_runs=all_runs or None,
            jobs=list(jobs) or None,
        )
    )
    removed = reply.removed_runs
    is_removed = removed is not None and run_id is not None and run_id <= removed
    empty = "no such attempts" if run_id or jobs else "nothing has run yet"
    if is_removed:
        empty = "nothing of this is left"
    invocation.print_list(reply, RESULTS, reply.items, empty=empty)
    if removed is not None and (all_runs or is_removed):
        which = f"runs 1 to {removed} are" if removed > 1 else "run 1 is"
        invocation.say(
            f"{which} removed (keep_runs in torcd.toml): of them there are only the newest results "
            "of jobs that have not run since"
        )
