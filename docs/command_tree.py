"""The commands of torcctl, for the pages that list them: a page of docs, and a manual page."""

from collections.abc import Iterator

import click

from torcctl import commands
from torcctl.main import cli


def sections() -> Iterator[tuple[str, list[click.Context]]]:
    """Each section of `torcctl --help`: its title, and the contexts of its commands, of those below
    a group (`data get`) in place of the group."""
    root = _context(cli, "torcctl")
    for title, section in commands.SECTIONS.items():
        contexts: list[click.Context] = []
        for name in section:
            command = commands.load(name)
            assert command is not None
            contexts += _below(_context(command, name, root))
        yield title, contexts


def _below(context: click.Context) -> Iterator[click.Context]:
    command = context.command
    if not isinstance(command, click.Group):
        yield context
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from _below(_context(found, name, context))


def _context(
    command: click.Command, name: str, above: click.Context | None = None
) -> click.Context:
    # With the settings: a command remembers its help option as the first context has it.
    return click.Context(command, info_name=name, parent=above, **command.context_settings)


def visible_options(command: click.Command) -> Iterator[tuple[click.Option, str]]:
    """Those that help shows, each with its metavar; empty for a flag."""
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            yield option, "" if option.is_flag else _metavar(option)


def _metavar(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.metavar or option.type.name.upper()
