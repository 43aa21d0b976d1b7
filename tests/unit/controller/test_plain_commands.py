"""Which commands need no shell: bash itself is asked."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from torcd.controller.launching import Launcher
from torcd.controller.layout import Layout
from torcd.controller.plain_commands import SHELL_WORDS, words
from torcd.executors.base import AttemptOrder
from torcd.model import AttemptKey, Job, JobKey, Workflow, WorkflowKey
from torcd.scheduler.commands import StartAttempt

BASH = shutil.which("bash") or "/bin/bash"
PIECES = st.sampled_from(
    [*"aZ09_./:,+@%=- \t", *"'\"\\$`*?[]{}()<>|&;~#!^\n\x00ä\u00a0", "if", "cd", " ="]
)


def given_by_bash(command: str) -> list[str]:
    """What it makes of it behind a command of its own."""
    done = subprocess.run([BASH, "-c", f"printf '%s\\0' {command}"], capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().split("\0")[:-1]


@given(st.lists(PIECES, min_size=1, max_size=12).map("".join))
@example("a=b c")
@example("a b=c -x --y=z,1 %1 a@b:/c")
@settings(max_examples=300, deadline=None)
def test_the_words_of_a_plain_command_are_those_that_bash_makes(command: str) -> None:
    found = words(command)
    if found is not None:
        assert list(found) == given_by_bash(command)


@pytest.mark.parametrize(
    "program", ["/usr/bin/x", "x", "./x.sh", "../x", "python3.11", "g++", "7z"]
)
def test_a_program_and_its_words_need_no_shell(program: str) -> None:
    command = f"{program} -v  --level=3\tin/a.txt,b@c:1%"
    assert words(command) == (program, "-v", "--level=3", "in/a.txt,b@c:1%")


@pytest.mark.parametrize(
    "command",
    [
        "",
        " ",
        "x 'a b'",
        'x "a"',
        "x $HOME",
        "x `y`",
        "x *.txt",
        "x ?",
        "x [a]",
        "x ~/a",
        "x {a,b}",
        "x > y",
        "x < y",
        "x | y",
        "x && y",
        "x; y",
        "x # y",
        "x !y",
        "x \\y",
        "x\ny",
        "x (y)",
        "x é",
        "A=1 x",
        "A+=1 x",
        "%1",
        "x^y",
    ],
)
def test_whatever_means_something_to_bash_goes_to_bash(command: str) -> None:
    assert words(command) is None


def test_all_that_bash_does_itself_goes_to_bash() -> None:
    done = subprocess.run([BASH, "-c", "compgen -b; compgen -k"], capture_output=True, check=True)
    own = done.stdout.decode().split()
    assert "cd" in own
    assert "while" in own
    assert [word for word in own if words(f"{word} x") is not None] == []
    assert all(words(word) is None for word in SHELL_WORDS)


@pytest.mark.parametrize("shell", ["/bin/sh", "/usr/bin/zsh", "/usr/bin/fish", "/opt/bash/mine"])
def test_another_shell_gets_every_command(shell: str, tmp_path: Path) -> None:
    theirs = order(shell, tmp_path)
    assert (theirs.plain, theirs.argv) == (None, (shell, "-c", "x y"))
    ours = order("/opt/odd/bash", tmp_path)
    assert (ours.plain, ours.argv) == (("x", "y"), ("/opt/odd/bash", "-c", "x y"))


def order(shell: str, state_dir: Path) -> AttemptOrder:
    job = Job(key=JobKey(2), name="j", command="x y")
    start = StartAttempt(
        attempt_key=AttemptKey(1),
        workflow_key=WorkflowKey(1),
        job=job,
        run_id=1,
        attempt_id=1,
        max_parallel_jobs=1,
    )
    here = Workflow(key=WorkflowKey(1), name="w", jobs=(job,))
    return Launcher(Layout(str(state_dir)), b"s" * 32, shell).order(start, here)
