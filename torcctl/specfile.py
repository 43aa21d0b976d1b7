"""The spec that a command is given: a file, or standard input; and its submission."""

import os
import sys
from pathlib import Path

import click
import msgspec

from torcctl.invocation import Invocation
from torcd import spec
from torcd.errors import InvalidSpec, MissingInputs, UserError
from torcd.protocol import manager as m
from torcd.spec import formats


class CannotRead(UserError):
    """A file that was named cannot be read. Facts: file."""

    code = "CannotRead"


class SpecFile(msgspec.Struct, frozen=True):
    """A spec that was read and found right."""

    path: str
    document: spec.Document
    default_name: str
    directory: str
    """Where its relative paths are taken from: its own, or, for standard input, this process's."""


argument = click.argument("spec", metavar="SPEC")
format_option = click.option(
    "--spec-format",
    type=click.Choice(sorted(formats.FORMATS)),
    help="The format of SPEC. Default: by its suffix; for standard input JSON5.",
)

max_parallel_jobs_option = click.option(
    "-j",
    "--max-parallel-jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Run at most N jobs at once. Default: as many as CPUs.",
)
wait_for_inputs_option = click.option(
    "--wait-for-inputs",
    is_flag=True,
    help="Wait for input files and values that nobody makes, instead of refusing.",
)


def contents(path: str) -> bytes:
    """What is in a file, or, for `-`, comes from standard input; of what has no end, as much as
    is told apart from a spec. Raises CannotRead."""
    most = spec.MAX_BYTES + 1
    if path == "-" and sys.stdin is None:
        raise CannotRead("cannot read standard input: it is closed", file=path)
    try:
        if path == "-":
            return sys.stdin.buffer.read(most)
        with open(path, "rb") as file:  # a Path takes "" for the directory
            return file.read(most)
    except OSError as e:
        name = "standard input" if path == "-" else path or '""'
        raise CannotRead(f"cannot read {name}: {e.strerror}", file=path) from None


def read(
    path: str, spec_format: str | None, *, compare_with_machine: bool = False, adds: bool = False
) -> SpecFile:
    """Raises CannotRead, and InvalidSpec with all problems.

    `adds`: it is no whole workflow, but what a job adds to its own. `compare_with_machine` is for
    commands that do not submit: the daemon says of what is submitted whether it asks for more than
    there is.
    """
    try:
        document = spec.read(
            contents(path),
            file=path,
            format=spec_format,
            compare_with_machine=compare_with_machine,
            adds=adds,
        )
    except InvalidSpec as e:
        if "\n" not in e.message:
            raise
        # Each problem begins its line, as in compilers' messages, which editors know.
        raise InvalidSpec(f"{path} is refused:\n{e.message}", **e.facts) from None
    return SpecFile(path, document, spec.default_name(path), _directory(path))


def _directory(path: str) -> str:
    """From where relative paths count, absolute. Raises CannotRead."""
    try:
        directory = Path.cwd() if path == "-" else Path(path).absolute().parent
    except FileNotFoundError:
        problem = "the directory in which torcctl is run is gone; change to another one"
        raise CannotRead(problem, file=path) from None
    if ".." in directory.parts:
        directory = directory.resolve()
    try:
        str(directory).encode()
    except UnicodeEncodeError:
        problem = f"the name of the directory {str(directory)!a} is not UTF-8; give it another one"
        raise CannotRead(problem, file=path) from None
    return str(directory)


def submit(
    invocation: Invocation,
    file: SpecFile,
    *,
    max_parallel_jobs: int | None,
    wait_for_inputs: bool,
) -> m.Submitted:
    """Submit it, with this process's environment, and tell what is doubtful about it.

    Raises what the daemon says no with; InvalidSpec and MissingInputs with the file's name.
    """
    for problem in file.document.warnings:
        invocation.say(str(problem))
    environment, unsendable = _environment()
    if unsendable:
        names = ", ".join(unsendable)
        invocation.say(f"warning: the jobs do not get {names}: not UTF-8")
    request = m.Submit(
        workflow=msgspec.Raw(msgspec.json.encode(file.document.spec)),
        directory=file.directory,
        default_name=file.default_name,
        environment=environment,
        user=_login_name(),
        max_parallel_jobs=max_parallel_jobs or invocation.settings.max_parallel_jobs,
        wait_for_inputs=wait_for_inputs or None,
    )
    try:
        submitted = invocation.call(request)
    except (InvalidSpec, MissingInputs) as e:
        # What only the daemon could see; it does not know where the spec comes from.
        raise type(e)(f"{file.path}: {e.message}", **e.facts) from None
    for warning in submitted.warnings:
        invocation.say(f"warning: {warning}")
    return submitted


def _environment() -> tuple[dict[str, str], list[str]]:
    """The variables that JSON can carry, and the names of the others."""
    good, bad = {}, []
    for name, value in os.environ.items():
        try:
            (name + value).encode()
        except UnicodeEncodeError:
            bad.append(ascii(name))
        else:
            good[name] = value
    return good, bad


def _login_name() -> str | None:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None
