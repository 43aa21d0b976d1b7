"""What is said of the specs in `golden/`, and where in the source it comes from.

Run as a program it renews the golden texts: `make golden`, and read what changed.
"""

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
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


class _Listener:
    """Takes down which statements that say something have run. Only functions with one that has
    not been heard are listened to: to trace every line takes several times as long as to run it."""

    def __init__(self) -> None:
        self.silent = sites()
        self._of: dict[CodeType, set[Site]] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _on_call(self, frame: FrameType, _event: str, _: Any) -> Any:
        code = frame.f_code
        mine = self._of.get(code)
        if mine is None:
            mine = self._of[code] = self._sites_in(code)
        return self._on_line if mine else None

    def _on_line(self, frame: FrameType, _event: str, _: Any) -> Any:
        mine = self._of[frame.f_code]
        for site in [site for site in mine if frame.f_lineno in self.silent.get(site, ())]:
            del self.silent[site]
        mine &= self.silent.keys()
        return self._on_line if mine else None

    def _sites_in(self, code: CodeType) -> set[Site]:
        prefix = f"{SOURCE}/"
        if not code.co_filename.startswith(prefix):
            return set()
        name = code.co_filename.removeprefix(prefix)
        lines = {line for *_, line in code.co_lines() if line is not None}
        return {
            (file, n)
            for (file, n), statement in self.silent.items()
            if file == name and not lines.isdisjoint(statement)
        }


@cache
def everything_heard() -> tuple[dict[Path, Heard], set[Site]]:
    """Of each golden spec, and the statements of the package that none of them makes speak."""
    heard: dict[Path, Heard] = {}
    listener = _Listener()
    for path in SPECS:  # one by one: a stack that is full ends the tracing
        with listener.listening():
            heard[path] = _hear(path)
    return heard, set(listener.silent)


def silent_sites() -> list[str]:
    """The statements that no golden spec makes speak."""
    _, silent = everything_heard()
    return sorted(
        f"{file}:{line}: {(SOURCE / file).read_text().splitlines()[line - 1].strip()}"
        for file, line in silent
    )


if __name__ == "__main__":
    for path, heard in everything_heard()[0].items():
        golden(path).write_text(heard.text)
    for site in silent_sites():
        print("not said by any spec:", site)
