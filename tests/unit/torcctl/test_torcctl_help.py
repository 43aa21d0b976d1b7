"""Help: every command has one, with an example, and the overview agrees with it."""

import click
import pytest

from tests.unit.torcctl.conftest import Run
from torcctl import commands
from torcctl.options import Command, Group


def everything() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in commands.NAMES:
        command = commands.load(name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, sub) for sub in command.commands]
    return found


@pytest.mark.parametrize("name", commands.NAMES)
def test_the_overview_says_of_a_command_what_the_command_says_of_itself(name: str) -> None:
    command = commands.load(name)
    assert command is not None
    assert command.name == name
    overview = {n: text for section in commands.SECTIONS.values() for n, text in section.items()}
    assert command.get_short_help_str(200) == overview[name]


@pytest.mark.parametrize("words", everything(), ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(
    words: tuple[str, ...], torcctl: Run
) -> None:
    outcome = torcctl(*words, "--help")
    assert outcome.code == 0
    assert f"Usage: torcctl {' '.join(words)}" in outcome.out
    assert f"torcctl {words[0]}" in outcome.out.partition("Example")[2].replace("-F json ", "")
    assert torcctl(*words, "-h") == outcome


@pytest.mark.parametrize("words", everything(), ids=" ".join)
def test_every_command_takes_the_global_options(words: tuple[str, ...]) -> None:
    command = commands.load(words[0])
    for word in words[1:]:
        assert isinstance(command, Group)
        command = command.commands[word]
    assert isinstance(command, Command | Group)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"-k", "-F", "--json", "--socket", "-q"} <= options


def test_without_a_command_the_help_is_wrong_usage(torcctl: Run) -> None:
    outcome = torcctl()
    assert (outcome.code, outcome.out) == (2, "")
    assert "Usage: torcctl" in outcome.err


def test_the_version(torcctl: Run) -> None:
    import torcd

    assert torcctl("--version").out == f"torcctl {torcd.__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_a_script_that_asks_torcctl(shell: str, torcctl: Run) -> None:
    assert "_TORCCTL_COMPLETE" in torcctl("completions", shell).out


def test_a_shell_is_told_the_commands_and_the_options(
    torcctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_TORCCTL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("COMP_WORDS", "torcctl sta")
    assert torcctl().out == "plain,status\n"
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("COMP_WORDS", "torcctl jobs --sta")
    assert torcctl().out == "plain,--status\n"
