"""`torcctl config`: the client's settings."""

from pathlib import Path

import click
import msgspec

from torcctl import settings
from torcctl.invocation import Invocation
from torcctl.options import Group, pass_invocation
from torcctl.render.table import Column
from torcd import locations
from torcd.errors import ConfigError


@click.group(
    "config",
    cls=Group,
    short_help="Show and change the settings of torcctl.",
    example="torcctl config set format json",
)
def command() -> None:
    """Show and change the settings of torcctl.

    \b
    format             how to print without -F: table, json
    color              colour in tables: auto, never
    max_parallel_jobs  what run and submit do without -j: a number
    """


_COLUMNS: list[Column[tuple[str, object]]] = [
    Column("KEY", lambda item: item[0]),
    Column("VALUE", lambda item: None if item[1] is None else str(item[1])),
]


@command.command("show", short_help="Print every setting.", example="torcctl config show")
@pass_invocation
def show(invocation: Invocation) -> None:
    """Print every setting, defaults included."""
    values: dict[str, object] = msgspec.to_builtins(invocation.settings)
    invocation.print_list(values, _COLUMNS, list(values.items()), empty="")


@command.command("path", short_help="Print where the file is.", example="torcctl config path")
@pass_invocation
def path(invocation: Invocation) -> None:
    """Print where the file of settings is, or would be."""
    file = locations.client_config()
    invocation.print_object({"path": file}, lambda: f"{file}\n")


@command.command(
    "create", short_help="Write a file of all defaults.", example="torcctl config create"
)
@pass_invocation
def create(invocation: Invocation) -> None:
    """Write a file that holds every default, to be edited. Refuses to replace one."""
    file = locations.client_config()
    if Path(file).exists():
        raise ConfigError(f"{file} exists; 'torcctl config show' prints it", file=file)
    settings.write(file, settings.defaults())
    invocation.print_object({"path": file}, lambda: f"{file}\n")


@command.command(
    "set", short_help="Change a setting.", example="torcctl config set max_parallel_jobs 4"
)
@click.argument("key", metavar="KEY")
@click.argument("value", metavar="VALUE")
@pass_invocation
def set_(invocation: Invocation, key: str, value: str) -> None:
    """Change a setting. Comments in the file are lost."""
    file = locations.client_config()
    values = settings.read(file) | {key: settings.from_text(key, value)}
    settings.check(values, file)
    settings.write(file, values)
    invocation.say(f"{key} = {value} in {file}")
