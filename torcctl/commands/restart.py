"""`torcctl restart`: a workflow again, but only what has to run."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.progress import ReadingLine
from torcctl.render.outlook import OUTLOOKS, outlook_text, restarted_text
from torcd.model import ENDED_BADLY, JobStatus
from torcd.protocol import manager as m


@click.command(
    "restart",
    cls=Command,
    short_help="Run a workflow again, but only what has to.",
    example="torcctl restart --dry-run\ntorcctl restart --failed\ntorcctl restart 'work_*' --only",
)
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@click.option("--failed", is_flag=True, help="What failed, was canceled or terminated.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in JobStatus]),
    help="Jobs in this state; may be given several times.",
)
@click.option(
    "--return-code",
    "return_codes",
    multiple=True,
    type=int,
    metavar="N",
    help="Jobs that ended with this return code; may be given several times.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="GLOB",
    help="The same as JOB; may be given several times.",
)
@click.option("--only", is_flag=True, help="Nothing but these jobs, whatever comes after them.")
@click.option("--dry-run", is_flag=True, help="Say what would run, and why; change nothing.")
@pass_invocation
def command(
    invocation: Invocation,
    jobs: tuple[str, ...],
    failed: bool,
    statuses: tuple[str, ...],
    return_codes: tuple[int, ...],
    names: tuple[str, ...],
    only: bool,
    dry_run: bool,
) -> None:
    """Run a workflow again, but only what has to: a new run of what is out of date.

    That is what failed, was canceled or never ran; what has another command than before, or reads
    other files or values; what has lost something it made; and what comes after these, if they
    make something else than before. Nothing out of date: nothing runs.

    JOB is a name, a key or a pattern. Jobs that are chosen, by name or by an option, run in any
    case; what comes after them runs if it has to. Several options choose what fits all of them.
    """
    wanted = [*jobs, *names]
    chosen = {JobStatus(status) for status in statuses}
    if failed and chosen:
        raise click.UsageError("--failed and --status exclude each other.")
    if failed:
        chosen = set(ENDED_BADLY)
    if only and not (wanted or chosen or return_codes):
        raise click.UsageError("--only needs jobs: name them, or choose them by an option.")
    reply = ask(
        invocation,
        m.Restart(
            workflow_key=invocation.workflow_key,
            jobs=wanted or None,
            statuses=[status for status in JobStatus if status in chosen] or None,
            return_codes=list(return_codes) or None,
            only=only or None,
            dry_run=dry_run or None,
        ),
    )
    if dry_run:
        tell(invocation, reply)
    else:
        invocation.print_object(reply, lambda: restarted_text(reply), said=True)


def ask(invocation: Invocation, request: m.Restart) -> m.Restarted:
    """The answer; while files are read, how far that is, on a terminal."""
    with ReadingLine(quiet=invocation.quiet) as line:
        for reply in invocation.stream(request):
            if reply.progress is None:
                return reply
            line.show(reply.progress)
    raise AssertionError("a stream ends with an answer")


def tell(invocation: Invocation, reply: m.Restarted) -> None:
    """What would run, and why."""
    invocation.print_list(reply, OUTLOOKS, reply.items, empty="there are no jobs")
    if not invocation.as_json:
        invocation.say(outlook_text(reply))
