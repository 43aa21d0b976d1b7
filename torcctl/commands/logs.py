"""`torcctl logs`: what a job, or a command of an action, wrote."""

from collections.abc import Iterator

import click
import msgspec

from torcctl import action_log, job_log
from torcctl.invocation import Invocation, write
from torcctl.logfile import Log, Stream, chunks, follow
from torcctl.options import Command, pass_invocation
from torcctl.render import jsontext


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What `-F json` prints: all of a log, or with -f each piece of it as it is written. It is of
    an attempt of a job, or of a command of an action; what is of the other is null."""

    job_key: str | None
    job_name: str | None
    action: int | None
    command: int | None
    run_id: int
    attempt_id: int | None
    stream: Stream
    path: str
    text: str


@click.command(
    "logs",
    cls=Command,
    short_help="Print what a job or an action wrote.",
    example="torcctl logs postprocess -f\ntorcctl logs postprocess --stderr --attempt 1\n"
    "torcctl logs --action 1 --stderr",
)
@click.argument("job", metavar="JOB", required=False)
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until it has ended.")
@click.option("--stderr", is_flag=True, help="Standard error instead of standard output.")
@click.option(
    "--attempt",
    type=click.IntRange(min=1),
    metavar="N",
    help="That attempt of the job. Default: the newest one.",
)
@click.option(
    "--action",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of action N, as `torcctl actions` counts them, instead of a job.",
)
@click.option(
    "--command",
    "number",
    type=click.IntRange(min=1),
    metavar="N",
    help="That command of the action. Default: the newest one that has begun.",
)
@pass_invocation
def command(
    invocation: Invocation,
    job: str | None,
    follows: bool,
    stderr: bool,
    attempt: int | None,
    action: int | None,
    number: int | None,
) -> None:
    """Print what a job, or a command of an action, wrote to standard output or standard error.

    What has not started has written nothing: -f waits for it.
    """
    if action is None:
        if job is None:
            raise click.UsageError("say which: JOB, or --action N.")
        if number is not None:
            raise click.UsageError("--command is one of an action: say --action N too.")
    elif job is not None or attempt is not None:
        raise click.UsageError("--action stands in place of JOB and --attempt.")
    stream: Stream = "stderr" if stderr else "stdout"
    if action is None:
        assert job is not None
        log = job_log.find(invocation, job, attempt, stream, waits=follows)
    else:
        log = action_log.find(invocation, action, number, stream, waits=follows)
    goes_on = follows and not log.has_ended
    data = follow(log.path, log.until_ended) if goes_on else chunks(log.path)
    _print(invocation, data, log, whole=not follows)


def _print(invocation: Invocation, data: Iterator[bytes], log: Log, *, whole: bool) -> None:
    if not invocation.as_json:
        for chunk in data:
            write(chunk)
        return

    def piece(text: bytes) -> Piece:
        return Piece(
            job_key=log.job_key,
            job_name=log.job_name,
            action=log.action,
            command=log.command,
            run_id=log.run_id,
            attempt_id=log.attempt_id,
            stream=log.stream,
            path=log.path,
            text=text.decode(errors="replace"),
        )

    if whole:
        write(jsontext.document(piece(b"".join(data))))
    else:
        for chunk in data:
            write(jsontext.line(piece(chunk)))
