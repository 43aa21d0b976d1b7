"""A plain command that is run without bash: nobody can tell."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.executors.orders import order
from torcd.executors.warden import spawning
from torcd.executors.warden.direct import Environment

BASH = shutil.which("bash") or "/bin/bash"
SHOW = ["cat", "/proc/self/environ", "/proc/self/cmdline"]
"""A program that shows how it was called."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("direct")
    (place / "bin" / "folder").mkdir(parents=True)
    (place / "home" / "bin").mkdir(parents=True)
    (place / "link").symlink_to(place / "home")
    for name, text, mode in (
        ("fails", "#!/bin/sh\nexit 7\n", 0o755),
        ("killed", "#!/bin/sh\nkill -9 $$\n", 0o755),
        ("plain-text", "echo from a file without a first line; exit 3\n", 0o755),
        ("locked", "#!/bin/sh\n", 0o644),
        ("orphaned", "#!/no/such/interpreter\n", 0o755),
    ):
        (place / "bin" / name).write_text(text)
        (place / "bin" / name).chmod(mode)
    (place / "home" / "bin" / "fails").write_text("#!/bin/sh\nexit 8\n")
    (place / "home" / "bin" / "fails").chmod(0o755)
    shutil.copy(place / "bin" / "fails", place / "home" / "bin" / "only-at-home")
    return place


def outcome(
    place: Path,
    command: list[str],
    shared: dict[str, str],
    own: dict[str, str],
    cwd: str,
    *,
    plain: bool,
) -> tuple[int, list[str], list[str], str]:
    """Its wait status, its environment in no order, its words, and what it complained of."""
    out, err = place / "out", place / "err"
    for log in (out, err):
        log.unlink(missing_ok=True)
    here = os.getcwd()
    try:
        pid = spawning.spawn(
            order(
                BASH,
                "-c",
                " ".join(command),
                cwd=cwd,
                plain=command if plain else None,
                shared=shared,
                own=own,
                stdout=out,
                stderr=err,
            )
        )
        status = os.waitpid(pid, 0)[1]
    finally:
        os.chdir(here)
    told = out.read_text().split("\0")
    at = told.index("cat") if "cat" in told else len(told)
    return status, sorted(told[:at]), told[at:], err.read_text()


def require_same(place: Path, command: list[str], variables: dict[str, str], cwd: str) -> None:
    """It comes to the same with bash and without; {0} is `place`."""
    environment = {name: text.replace("{0}", str(place)) for name, text in variables.items()}
    environment["LC_ALL"] = "C"
    directory = cwd.replace("{0}", str(place))
    with_bash = outcome(place, command, environment, {}, directory, plain=False)
    assert outcome(place, command, environment, {}, directory, plain=True) == with_bash
    assert outcome(place, command, {}, environment, directory, plain=True) == with_bash


PROGRAMS = st.sampled_from(
    [
        SHOW,
        ["/bin/cat", "/proc/self/environ"],
        ["fails"],
        ["killed"],
        ["plain-text"],
        ["locked"],
        ["orphaned"],
        ["folder"],
        ["only-at-home"],
        ["no-such-program", "x"],
        ["./bin/fails"],
        ["/"],
        [".."],
        ["-x"],
    ]
)
USUAL = {"PATH": "{0}/bin:/usr/bin:/bin", "HOME": "{0}/home", "PWD": "/", "SHLVL": "1"}
CHOICES: dict[str, list[str]] = {
    "PATH": ["/bin", "", ":/bin", "~/bin:{0}/bin:/bin"],
    "PWD": ["{0}", "{0}/home", "{0}/link", "/", "bin", "", "/no/such"],
    "OLDPWD": ["/", "/no/such", "", "{0}/bin/fails"],
    "SHLVL": ["0", "1", "7", "99", "998", "007", "-3", "x", "", "1000", "9" * 5000],
    "_": ["/usr/bin/torcctl"],
    "IFS": ["a"],
    "UID": ["5"],
    "SECONDS": ["5"],
    "SHELLOPTS": ["xtrace"],
    "BASHOPTS": ["extglob"],
    "BASH_ENV": ["{0}/bin/plain-text"],
    "BASH_FUNC_fails%%": ["() { echo a function; }"],
    "BASH_FUNC_command_not_found_handle%%": ["() { echo handled; return 9; }"],
    "not-a-name": ["1"],
    "LINES": ["x"],
    "TERM": ["dumb"],
    "HOSTNAME": ["x"],
}
VARIABLES = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(choices) for name, choices in CHOICES.items()}
).map(lambda chosen: {**USUAL, **chosen})


@pytest.mark.parametrize("command", [SHOW, ["fails"], ["only-at-home"]], ids=" ".join)
@pytest.mark.parametrize("name", CHOICES)
def test_a_variable_has_the_effect_that_it_has_on_bash(
    place: Path, name: str, command: list[str]
) -> None:
    for choice in CHOICES[name]:
        require_same(place, command, {**USUAL, name: choice}, "{0}/link")


@pytest.mark.parametrize("name", USUAL)
def test_a_variable_may_be_missing(place: Path, name: str) -> None:
    variables = {other: text for other, text in USUAL.items() if other != name}
    require_same(place, SHOW, variables, "{0}/link")


@given(PROGRAMS, VARIABLES, st.sampled_from(["{0}", "{0}/home", "{0}/link", "/"]))
@example(SHOW, {"PATH": "/bin:/usr/bin"}, "{0}/link")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nobody_can_tell_whether_there_was_a_shell(
    place: Path, command: list[str], variables: dict[str, str], cwd: str
) -> None:
    require_same(place, command, variables, cwd)


def test_a_plain_command_in_a_usual_environment_needs_no_shell(place: Path) -> None:
    usual = {"PATH": "/usr/bin:/bin", "HOME": "/root", "PWD": "/", "SHLVL": "1", "OLDPWD": "/"}
    ready = Environment(usual).prepare(SHOW, {}, "/")
    assert ready is not None
    assert ready[0] == "/usr/bin/cat"


def test_the_shell_is_not_run_for_a_plain_command(place: Path) -> None:
    here = os.getcwd()
    try:
        pid = spawning.spawn(order("/no/such/shell", "-c", "cat", plain=["cat"]))
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        os.chdir(here)


@pytest.mark.parametrize("inherited", ["/", "{0}/.", "x\0"])
def test_a_directory_that_is_gone_is_for_bash_to_cope_with(tmp_path: Path, inherited: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    descriptor = os.open(gone, os.O_DIRECTORY)
    gone.rmdir()
    cwd = f"/proc/self/fd/{descriptor}"
    shared = {"PATH": "/usr/bin:/bin", "PWD": inherited.replace("{0}", cwd)}
    here = os.getcwd()
    try:
        command = order("/bin/sh", "-c", "true", cwd=cwd, plain=["true"], shared=shared)
        if "\0" in inherited:
            with pytest.raises(spawning.CannotStart):
                spawning.spawn(command)
        else:
            assert os.waitpid(spawning.spawn(command), 0)[1] == 0
    finally:
        os.chdir(here)
        os.close(descriptor)


def test_what_has_become_a_link_since_is_called_by_its_real_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited, real = tmp_path / "inherited", tmp_path / "real"
    inherited.mkdir()
    real.mkdir()
    monkeypatch.chdir(real)
    shared = Environment({"PATH": "/bin", "PWD": str(inherited)})
    for _ in range(2):
        ready = shared.prepare(SHOW, {}, str(real))
        assert ready is not None
        assert ready[1]["PWD"] == str(real)
        if not inherited.is_symlink():
            inherited.rmdir()
            inherited.symlink_to(real)
