"""What is said of the specs in `golden/`, and where in the source it comes from.

Run as a program it renews the golden texts: `make golden`, and read what changed.
"""

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec

import torcd.spec
from torcd import machine, spec
from torcd.errors import InvalidSpec
from torcd.model import Capacity

GOLDEN = Path(__file__).parent / "golden"
SPECS = sorted(path for path in GOLDEN.iterdir() if path.suffix != ".txt")
SOURCE = Path(torcd.spec.__file__).parent

SMALL_MACHINE = Capacity(cpus=2, memory_bytes=4 << 30, gpus=0)


class Heard(NamedTuple):
    """What is said of a spec."""

    text: str
    """As people get it: a line for each problem."""
    problems: list[spec.Problem]
    """As programs get it."""


def _hear(path: Path) -> Heard:
    """On a small machine."""
    with patch.object(machine, "capacity", return_value=SMALL_MACHINE):
        try:
            warnings = spec.read(
                path.read_bytes(),
                file=path.name,
                compare_with_machine=True,
                adds=path.name.startswith("added_"),
            ).warnings
        except InvalidSpec as error:
            problems = msgspec.convert(error.facts["problems"], list[spec.Problem])
            return Heard(f"{error}\n", problems)
    return Heard("".join(f"{warning}\n" for warning in warnings), warnings)


def golden(path: Path) -> Path:
    return path.with_name(f"{path.name}.txt")


# The places that say something

_SAYING = {
    "Finding",
    "Problem",
    "SpecSyntaxError",
    "_Refused",
    "_WrongFormat",
    "_WrongValue",
    "_add",
    "_refusal",
    "_refuse",
    "_wrong_type",
}
"""What is called with the words of a problem."""

_WORDS = {"how", "hint", "message", "said", "what", "words"}
"""What the words are called where they are chosen first."""

Site = tuple[str, int]
"""A file of the package, and the line of a statement in it."""


def sites() -> dict[Site, range]:
    """Each statement that says something, and the lines it takes."""
    found: dict[Site, range] = {}
    for file in SOURCE.rglob("*.py"):
        name = str(file.relative_to(SOURCE))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.stmt) and _says_something(node):
                found[name, node.lineno] = range(node.lineno, (node.end_lineno or 0) + 1)
    return found


def _says_something(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
        if isinstance(target, ast.Name) and target.id in _WORDS:
            return any(
                isinstance(n, ast.Constant) and isinstance(n.value, str)
                for n in ast.walk(statement.value)
            )
    if not isinstance(statement, ast.Assign | ast.Expr | ast.Raise | ast.Return | ast.AugAssign):
        return False
    return any(
        isinstance(node, ast.Call)
        and (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", 0)
        )
        in _SAYING
        for node in ast.walk(statement)
    )


@contextmanager
def lines_run() -> Iterator[set[Site]]:
    """The lines of the package that run meanwhile."""
    found: set[Site] = set()
    prefix = f"{SOURCE}/"

    def in_function(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            found.add((frame.f_code.co_filename.removeprefix(prefix), frame.f_lineno))
        return in_function

    def on_call(frame: FrameType, _event: str, _: Any) -> Any:
        return in_function if frame.f_code.co_filename.startswith(prefix) else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield found
    finally:
        sys.settrace(before)


@cache
def everything_heard() -> tuple[dict[Path, Heard], set[Site]]:
    """Of each golden spec, and the lines of the package that have run for it."""
    heard: dict[Path, Heard] = {}
    run: set[Site] = set()
    for path in SPECS:  # one by one: a stack that is full ends the tracing
        with lines_run() as lines:
            heard[path] = _hear(path)
        run |= lines
    return heard, run


def silent_sites() -> list[str]:
    """The statements that no golden spec makes speak."""
    _, run = everything_heard()
    return sorted(
        f"{file}:{line}: {(SOURCE / file).read_text().splitlines()[line - 1].strip()}"
        for (file, line), lines in sites().items()
        if not any((file, n) in run for n in lines)
    )


if __name__ == "__main__":
    for path, heard in everything_heard()[0].items():
        golden(path).write_text(heard.text)
    for site in silent_sites():
        print("not said by any spec:", site)
