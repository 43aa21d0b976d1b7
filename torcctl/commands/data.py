"""`torcctl data`: named JSON values.

What `get` and `put` do is in `torcctl.fast.values`, where they are also parsed in the usual case.
"""

import os
from collections.abc import Iterator

import click
import msgspec

from torcctl.fast import values, words
from torcctl.invocation import Invocation
from torcctl.options import Group, Seconds, pass_invocation
from torcctl.render.columns import RECORDS
from torcctl.render.table import cells
from torcd.client.conversation import ConnectionBroken
from torcd.errors import Lagged, NoDaemon, ShuttingDown
from torcd.protocol import user_data as u


@click.group(
    "data",
    cls=Group,
    short_help="Read and store user_data.",
    example="torcctl data put output_data1 '{\"result\": 1.2}'\ntorcctl data get output_data1",
)
def command() -> None:
    """Read and store user_data: named JSON values of a workflow.

    In a job, the job asks: it may store what it declared as output, and read what it declared.
    """


class Who(msgspec.Struct, frozen=True):
    """The identity that a request carries: a job's token, or a person's workflow."""

    token: str | None = None
    workflow_key: str | None = None


def _who(invocation: Invocation) -> Who:
    return msgspec.convert(values.identity(invocation.key_option, os.environ), Who)


@command.command("list", short_help="List all values.", example="torcctl data list --json")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the values of a workflow."""
    who = _who(invocation)
    reply = invocation.call(u.List(token=who.token, workflow_key=who.workflow_key))
    invocation.print_list(reply, RECORDS, reply.items, empty="the workflow declares no user_data")


@command.command(
    "get",
    short_help="Print a value.",
    example="torcctl data get output_data1\ntorcctl data get -r greeting --wait --timeout 60",
)
@click.argument("name", metavar="NAME")
@click.option("--record", is_flag=True, help="Print the whole record, as JSON.")
@click.option("-r", "--raw", is_flag=True, help="Print a text without its quotes.")
@click.option("--wait", is_flag=True, help="Wait until it has a value.")
@click.option(
    "--timeout",
    type=Seconds(),
    metavar="S",
    help="Wait at most S seconds; then exit with 124.",
)
@click.option(
    "--revision",
    type=click.IntRange(min=1),
    metavar="N",
    help="The value of that revision. Default: the newest.",
)
@pass_invocation
def get(
    invocation: Invocation,
    name: str,
    record: bool,
    raw: bool,
    wait: bool,
    timeout: float | None,
    revision: int | None,
) -> None:
    """Print a value, exactly as it was stored. NAME is a name or a key."""
    call = values.DataCall("get", name)
    call.record = record
    call.raw = raw
    call.wait = wait or timeout is not None
    call.timeout_seconds = timeout
    call.revision = revision
    _perform(invocation, call)


@command.command(
    "put",
    short_help="Store a value.",
    example="torcctl data put n 5\ntorcctl data put text '\"hello\"'\n"
    "torcctl data put table @table.json\nmake_json | torcctl data put table -",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("name", metavar="NAME")
@click.argument("value", metavar="JSON|-|@FILE")
@pass_invocation
def put(invocation: Invocation, name: str, value: str) -> None:
    """Store a value: JSON, or - for standard input, or @FILE for what is in a file.

    Returns once it is on disk for good. NAME is a name or a key.
    """
    # Options that are not known arrive here, because -5 looks like one.
    for word in (name, value):
        if word.startswith("-") and word != "-" and not words.is_negative_number(word):
            raise click.NoSuchOption(word, ctx=click.get_current_context())
    _perform(invocation, values.DataCall("put", name, value))


def _perform(invocation: Invocation, call: values.DataCall) -> None:
    call.workflow_key = invocation.key_option
    call.socket = invocation.socket
    call.as_json = invocation.as_json
    call.quiet = invocation.quiet
    code = values.perform(call, os.environ)
    if code is None:
        # Nobody answered, or hung up. The client knows how long to wait for a daemon.
        code = values.finish(call, _record(invocation, call))
    if code:
        raise click.exceptions.Exit(code)


def _record(invocation: Invocation, call: values.DataCall) -> str:
    who = _who(invocation)
    if values.hung_up:
        # There was a daemon, and there will be another one.
        (invocation.wait_for_daemon if call.wait else invocation.be_patient)()
    if call.value is None:
        fetch = u.Fetch(
            name=call.name,
            token=who.token,
            workflow_key=who.workflow_key,
            wait=call.wait or None,
            timeout_seconds=values.time_left(call),
            revision=call.revision,
        )
        reply = invocation.call(fetch)
    else:
        data = msgspec.Raw(values.read_value(call.name, call.value).encode())
        store = u.Store(data=data, name=call.name, token=who.token, workflow_key=who.workflow_key)
        reply = invocation.call(store)
    return msgspec.json.encode(reply.record).decode()


@command.command("history", short_help="List all revisions.", example="torcctl data history n")
@click.argument("name", metavar="NAME")
@pass_invocation
def history(invocation: Invocation, name: str) -> None:
    """List all revisions of a value, oldest first."""
    who = _who(invocation)
    reply = invocation.call(u.History(name=name, token=who.token, workflow_key=who.workflow_key))
    invocation.print_list(reply, RECORDS, reply.items, empty=f"'{name}' has no value yet")


@command.command("watch", short_help="Follow what is stored.", example="torcctl data watch --json")
@click.argument("name", metavar="[NAME]", required=False)
@pass_invocation
def watch(invocation: Invocation, name: str | None) -> None:
    """Print the value of NAME, or of all, and then each one as it is stored."""
    invocation.print_lines(
        (record, "  ".join(cells(RECORDS, record))) for record in _watched(invocation, name)
    )


def _watched(invocation: Invocation, name: str | None) -> Iterator[u.Record]:
    """Each record once, across cut-offs and a daemon that restarts; of several revisions stored
    meanwhile the newest."""
    who = _who(invocation)
    request = u.Watch(name=name, token=who.token, workflow_key=who.workflow_key)
    seen: dict[str, int] = {}
    while True:
        try:
            for reply in invocation.stream(request):
                record = reply.record
                if who.token is None:
                    # "The newest" may be another one after a restart.
                    request = msgspec.structs.replace(request, workflow_key=record.workflow_key)
                if seen.get(record.key, -1) < record.revision:
                    seen[record.key] = record.revision
                    yield record
        except Lagged:
            continue
        except (NoDaemon, ShuttingDown) as e:
            if not seen and not isinstance(e, ConnectionBroken | ShuttingDown):
                raise
            invocation.wait_for_daemon()
        else:
            return
