"""Write what is made from the code: parts of these pages, the manual pages, completions of torcctl
for shells, and the schema of specs.

    make docs

A page says `<!-- generated: NAME -->` where such a part begins and `<!-- end -->` where it ends.
A test sees that all of it is up to date.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec
from click.testing import CliRunner
from msgspec import inspect as mi

from docs import command_tree, manual
from torcctl.main import cli
from torcd.protocol import interface, registry
from torcd.spec import cluster, json_schema, policies, schema

DOCS = Path(__file__).parent

_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    return [page for page in sorted(DOCS.glob("*.md")) if _PART.search(page.read_text())]


def generated(text: str) -> str:
    """A page's text with its generated parts made anew."""
    return _PART.sub(lambda match: f"{match[1]}\n{_PARTS[match[2]]()}\n{match[3]}", text)


# The fields of the spec


def _fields(struct: type[msgspec.Struct]) -> str:
    info = mi.type_info(struct)
    assert isinstance(info, mi.StructType)
    rows = ["| field | type | meaning |", "| --- | --- | --- |"]
    for field in info.fields:
        name = f"`{field.encode_name}`" + (" (required)" if field.required else "")
        rows.append(f"| {name} | {_type(field.type)} | {_escaped(_meaning(field.type))} |")
    return "\n".join(rows) + "\n"


def _meaning(info: mi.Type) -> str:
    described = info.extra_json_schema if isinstance(info, mi.Metadata) else None
    return str((described or {})["description"])


def _list(item: mi.Type) -> str:
    kind = _type(item)
    return _LISTS.get(kind, f"list of {kind}")


def _type(info: mi.Type) -> str:
    match info:
        case mi.Metadata():
            return _type(info.type)
        case mi.UnionType():
            members = [member for member in info.types if not isinstance(member, mi.NoneType)]
            return " or ".join(dict.fromkeys(map(_type, members)))
        case mi.VarTupleType():
            return _list(info.item_type)
        case mi.DictType():
            return _MAPPINGS[_type(info.value_type)]
        case mi.LiteralType():
            return " or ".join(f"`{value}`" for value in info.values)
        case mi.StructType():
            return _STRUCTS[info.cls]
        case _:
            return _TYPES[type(info)]


_TYPES: dict[type[mi.Type], str] = {
    mi.StrType: "text",
    mi.BoolType: "`true` or `false`",
    mi.IntType: "whole number",
    mi.FloatType: "number",
    mi.RawType: "any JSON",
    mi.AnyType: "any JSON",
}
_STRUCTS: dict[type, str] = {
    schema.Entry: "`{name, cli_arg}`",
    schema.JobSpec: "job",
    schema.FileSpec: "file",
    schema.UserDataSpec: "user_data",
    policies.ResourceRequirementsSpec: "resource_requirements",
    policies.FailureHandlerSpec: "failure_handler",
    policies.FailureRuleSpec: "rule",
    policies.ActionSpec: "action",
    cluster.SlurmSchedulerSpec: "slurm_scheduler",
    cluster.ResourceMonitorSpec: "resource_monitor",
}
_SCALARS = "text or whole number or number or `true` or `false`"
_MAPPINGS = {
    "text": "mapping of texts",
    _SCALARS: "mapping of values",
    f"{_SCALARS} or list of values": "mapping of values or lists of them",
}
_LISTS = {
    _SCALARS: "list of values",
    "text": "list of texts",
    "text or `{name, cli_arg}`": "list of names or `{name, cli_arg}`",
    "job": "list of jobs",
    "file": "list of files",
    "failure_handler": "list of failure_handlers",
    "rule": "list of rules",
    "action": "list of actions",
    "slurm_scheduler": "list of slurm_schedulers",
    "whole number": "list of whole numbers",
}


# The command line


def _commands() -> str:
    parts = ["## Options of every command\n", _options(cli)]
    for title, contexts in command_tree.sections():
        parts.append(f"## {title}\n")
        for context in contexts:
            parts += _command(context)
    return "\n".join(parts)


def _command(context: click.Context) -> Iterator[str]:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"### {context.command_path}\n\n`{usage}`\n\n{_prose(command.help or '')}\n"
    options = _options(command)
    if options:
        yield options


def _options(command: click.Command) -> str:
    rows = []
    for option, metavar in command_tree.visible_options(command):
        taken = f" {metavar}" if metavar else ""
        flags = ", ".join(f"`{flag}{_escaped(taken)}`" for flag in option.opts)
        rows.append(f"| {flags} | {_escaped(option.help or '')} |")
    return "\n".join(["| option | |", "| --- | --- |", *rows]) + "\n" if rows else ""


def _prose(text: str) -> str:
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(" ".join(p.split()) for p in paragraphs)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


# The wire


def _interface(described: registry.Interface) -> str:
    return f"```varlink\n{interface.describe(described)}```\n"


_PARTS: dict[str, Callable[[], str]] = {
    "workflow": lambda: _fields(schema.WorkflowSpec),
    "job": lambda: _fields(schema.JobSpec),
    "file": lambda: _fields(schema.FileSpec),
    "user_data": lambda: _fields(schema.UserDataSpec),
    "resource_requirements": lambda: _fields(policies.ResourceRequirementsSpec),
    "failure_handler": lambda: _fields(policies.FailureHandlerSpec),
    "rule": lambda: _fields(policies.FailureRuleSpec),
    "action": lambda: _fields(policies.ActionSpec),
    "entry": lambda: _fields(schema.Entry),
    "slurm_scheduler": lambda: _fields(cluster.SlurmSchedulerSpec),
    "resource_monitor": lambda: _fields(cluster.ResourceMonitorSpec),
    "commands": _commands,
    "io_torcd_UserData": lambda: _interface(registry.USER_DATA),
    "io_torcd_Manager": lambda: _interface(registry.MANAGER),
}


def files() -> dict[Path, str]:
    """Files that are made as a whole, with their text."""
    configs = DOCS.parent / "configs"
    manuals = {DOCS / "man" / name: text for name, text in manual.pages().items()}
    completions = {configs / "completions" / n: _completion(n) for n in _SHELLS}
    schema_file = {configs / "torc-workflow.schema.json": json_schema.text()}
    return manuals | completions | schema_file


_SHELLS = {"torcctl.bash": "bash", "_torcctl": "zsh", "torcctl.fish": "fish"}


def _completion(name: str) -> str:
    done = CliRunner().invoke(cli, ["completions", _SHELLS[name]])
    assert done.exit_code == 0, done.output
    return done.output


if __name__ == "__main__":
    for page in pages():
        page.write_text(generated(page.read_text()))
    for file, content in files().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
