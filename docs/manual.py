"""The manual pages: what man(1) shows, made from the command line and the configuration's structs.

`pages` is what is in docs/man; `python -m docs.generate` writes it there.
"""

import argparse
import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from msgspec import inspect as mi

import torcd
from docs import command_tree
from torcctl import settings
from torcctl.main import cli
from torcd import __main__ as torcd_main
from torcd import config

_REFERENCE = Path(__file__).parent / "command_reference.md"


def pages() -> dict[str, str]:
    """The text of each page, by the name of its file."""
    return {
        "torcctl.1": _torcctl(),
        "torcd.8": _torcd(),
        "torcd.toml.5": _configuration(
            "torcd.toml",
            "configuration of torcd(8)",
            config.Config,
            "torcd reads it when it starts, and again on `torcctl daemon reload`. It is the file "
            "of --config, or that of TORCD_CONFIG, or `$XDG_CONFIG_HOME/torcd/torcd.toml` "
            "(`~/.config/torcd/torcd.toml`); the service of the machine has "
            "`/etc/torcd/torcd.toml`. Flags and the variables TORC_SOCKET and TORCD_STATE_DIR "
            "take precedence. `torcd check-config` says what is in force.",
        ),
        "torcctl.toml.5": _configuration(
            "torcctl.toml",
            "settings of torcctl(1)",
            settings.Settings,
            "torcctl reads `$XDG_CONFIG_HOME/torcd/torcctl.toml` (`~/.config/torcd/torcctl.toml`). "
            "`torcctl config` shows and changes it.",
        ),
    }


# torcctl


def _torcctl() -> str:
    lines = [
        *_head("torcctl", 1, "run workflows of command-line jobs on this machine"),
        *_section("SYNOPSIS"),
        r".B torcctl",
        r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]",
        *_section("DESCRIPTION", *_paragraphs(cli.help or "")),
        *_section("OPTIONS", "They may also stand after the command.", *_options(cli)),
    ]
    for title, contexts in command_tree.sections():
        lines += _section(title.upper())
        for context in contexts:
            lines += _command(context)
    lines += [
        *_section("EXIT STATUS", *_rows("exit code")),
        *_section("ENVIRONMENT AND FILES", *_rows("what")),
        *_section("SEE ALSO", _links("torcd(8)", "torcctl.toml(5)", "torcd.toml(5)")),
    ]
    return _page(lines)


def _command(context: click.Context) -> Iterator[str]:
    command = context.command
    words = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_text(context.command_path)} {_text(words)}"
    yield from _paragraphs(command.help or "")
    yield from _options(command)


def _options(command: click.Command) -> Iterator[str]:
    for option, metavar in command_tree.visible_options(command):
        argument = rf" \fI{_text(metavar)}\fR" if metavar else ""
        flags = ", ".join(rf"\fB{_text(flag)}\fR{argument}" for flag in option.opts)
        yield from (".TP", flags, _marked(option.help or ""))


def _rows(title: str) -> Iterator[str]:
    """A table of the command reference, by the title of its first column."""
    text = _REFERENCE.read_text()
    found = re.search(rf"^\| {title} \|.*\n\| --- .*\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found is not None, title
    for row in found[1].splitlines():
        first, *rest = (cell.strip() for cell in row.strip("|").split("|"))
        yield from (".TP", rf"\fB{_text(first.replace('`', ''))}\fR")
        yield _marked(" or ".join(cell for cell in rest if cell))


# torcd


def _torcd() -> str:
    parser = torcd_main._parser()
    (below,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps = {action.dest: action.help or "" for action in below._choices_actions}
    lines = [
        *_head("torcd", 8, "a job runner daemon for one workstation"),
        *_section("SYNOPSIS"),
        r".B torcd",
        r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]",
        *_section(
            "DESCRIPTION",
            *_paragraphs(
                "torcd runs workflows of command-line jobs, which people submit, watch and steer "
                "with torcctl(1). It is run by systemd (`torcctl daemon install`), or started by "
                "`torcctl run` and `torcctl daemon start`.\n\nThe jobs are not torcd's to end: "
                "they run on when it is stopped, restarted or killed, and the next one finds them."
            ),
        ),
        *_section("OPTIONS", *_arguments(parser)),
        *_section("COMMANDS"),
    ]
    for name, command in below.choices.items():
        operands = [a for a in command._actions if not a.option_strings]
        words = [f"{a.metavar}" if a.nargs is None else f"[{a.metavar}]" for a in operands]
        lines += [
            f".SS {_text(' '.join(['torcd', name, *words]))}",
            _marked(_sentence(helps[name])),
        ]
        lines += _arguments(command)
    lines += [
        *_section(
            "SIGNALS",
            *_item("SIGTERM, SIGINT", "End; jobs run on."),
            *_item("SIGHUP", "Read the configuration again. A wrong one is refused."),
        ),
        *_section(
            "EXIT STATUS",
            *_item("0", "Done."),
            *_item("1", "Refused or failed; the reason is on standard error."),
            *_item("2", "Wrong usage."),
        ),
        *_section("FILES AND ENVIRONMENT", *_rows("what")),
        *_section("SEE ALSO", _links("torcctl(1)", "torcd.toml(5)", "systemd(1)")),
    ]
    return _page(lines)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        if not action.option_strings:
            yield from (
                ".TP",
                rf"\fI{_text(str(action.metavar))}\fR",
                _marked(_sentence(action.help or "")),
            )
        elif action.dest != "help":
            argument = rf" \fI{_text(str(action.metavar))}\fR" if action.metavar else ""
            flags = ", ".join(rf"\fB{_text(flag)}\fR{argument}" for flag in action.option_strings)
            yield from (".TP", flags, _marked(_sentence(action.help or "")))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


# The configurations


def _configuration(name: str, what: str, struct: type[msgspec.Struct], where: str) -> str:
    info = mi.type_info(struct)
    assert isinstance(info, mi.StructType)
    meanings = _docstrings(struct)
    lines = [
        *_head(name, 5, what),
        *_section(
            "DESCRIPTION",
            *_paragraphs(where),
            *_paragraphs("It is a TOML file. Every key has a default; an unknown one is an error."),
        ),
        *_section("KEYS"),
    ]
    for field in info.fields:
        lines += [".TP", rf"\fB{field.name}\fR = \fI{_type(field.type)}\fR"]
        meaning = meanings.get(field.name, "")
        default = field.default
        if default not in (None, "", mi.NODEFAULT):
            meaning += f"\n\nDefault: `{msgspec.json.encode(default).decode()}`."
        first, *rest = meaning.strip().split("\n\n")
        lines.append(_marked(" ".join(first.split())))
        for paragraph in rest:
            lines += [".IP", _marked(" ".join(paragraph.split()))]
    others = ("torcctl(1)", "torcd(8)", "torcd.toml(5)", "torcctl.toml(5)")
    lines += _section("SEE ALSO", _links(*(o for o in others if o != f"{name}(5)")))
    return _page(lines)


def _docstrings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """What stands below each field."""
    (cls,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(cls, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(cls.body, cls.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match text:
                case ast.Expr(value=ast.Constant(value=str(meaning))):
                    found[field.target.id] = inspect.cleandoc(meaning)
    return found


def _type(info: mi.Type) -> str:
    match info:
        case mi.Metadata():
            return _type(info.type)
        case mi.UnionType():
            return " or ".join(_type(t) for t in info.types if not isinstance(t, mi.NoneType))
        case mi.LiteralType():
            return "|".join(f'"{value}"' for value in info.values)
        case mi.VarTupleType():
            return f"list of {_type(info.item_type)}s"
        case _:
            return {
                mi.StrType: "text",
                mi.BoolType: "true|false",
                mi.IntType: "number",
                mi.FloatType: "number",
            }[type(info)]


# The language of man(7)


def _head(name: str, section: int, what: str) -> list[str]:
    title = f'.TH {name.upper()} {section} "" "torcd {torcd.__version__}" "torcd"'
    return [r".\" Made by python -m docs.generate", title, *_section("NAME", rf"{name} \- {what}")]


def _section(title: str, *lines: str) -> list[str]:
    return [f".SH {title}", *lines]


def _item(term: str, meaning: str) -> list[str]:
    return [".TP", rf"\fB{_text(term)}\fR", _marked(meaning)]


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield ".PP"
        if paragraph.startswith("\b\n"):  # click: keep these lines
            yield from (".nf", *map(_text, paragraph[2:].splitlines()), ".fi")
        else:
            yield _marked(" ".join(paragraph.split()))


def _links(*names: str) -> str:
    return ", ".join(rf"\fB{name[:-3]}\fR{name[-3:]}" for name in names)


def _marked(text: str) -> str:
    """Text in which `words` stand out."""
    return re.sub(r"`([^`]*)`", r"\\fB\1\\fR", _text(text))


def _text(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text


def _page(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
