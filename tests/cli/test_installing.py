"""`torcctl daemon install` and `uninstall` where nothing is to change, and the units they write.

What they do with a systemd is in tests/system.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_process import BIN
from tests.user_world import User, a_user
from torcctl import units

ROOT = Path(__file__).parents[2]


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    with a_user(tmp_path) as somebody:
        yield somebody


def types(user: User, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["torcctl", *words],
        env=user.environment,
        cwd=user.directory,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def unit_path(user: User) -> Path:
    return user.home / "config" / "systemd" / "user" / "torcd.service"


def test_a_dry_run_says_all_and_does_nothing(user: User) -> None:
    done = types(user, "daemon", "install", "--user", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        f"would write {unit_path(user).with_name('torcd.socket')}",
        f"would write {unit_path(user)}",
    ]
    assert "would run systemctl --user enable torcd.socket torcd.service" in lines
    assert not unit_path(user).exists()


def test_variables_that_the_service_will_not_see_are_pointed_out(user: User) -> None:
    user.environment |= {"TORCD_STATE_DIR": "/elsewhere", "TORCD_CONFIG": "/another/torcd.toml"}
    told = json.loads(types(user, "--json", "daemon", "install", "--user", "--dry-run").stdout)
    assert [note.split()[0] for note in told["notes"] if "shell's variables" in note] == [
        "TORCD_STATE_DIR",
        "TORCD_CONFIG",
        "XDG_STATE_HOME",
        "XDG_CONFIG_HOME",
    ]
    assert str(unit_path(user)) in told["written"]


def test_a_dry_run_for_the_system_needs_no_right(user: User) -> None:
    told = json.loads(types(user, "--json", "daemon", "install", "--system", "--dry-run").stdout)
    assert "/etc/systemd/system/torcd.service" in told["written"]
    assert told["commands"][0] == "systemd-sysusers /etc/sysusers.d/torcd.conf"
    assert told["notes"] == []


def test_without_a_systemd_nothing_is_written(user: User) -> None:
    user.environment |= {"XDG_RUNTIME_DIR": str(user.home)}
    done = types(user, "daemon", "install", "--user")
    assert done.returncode == 1
    assert done.stderr.startswith("torcctl: ")
    assert "systemctl" in done.stderr
    assert not unit_path(user).exists()


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_what_somebody_else_wrote_is_left_alone(user: User, command: str) -> None:
    unit_path(user).parent.mkdir(parents=True)
    unit_path(user).write_text("[Service]\nExecStart=/bin/true\n")
    done = types(user, "daemon", command, "--user")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{unit_path(user)} is there and was not written by torcctl" in done.stderr
    assert unit_path(user).read_text() == "[Service]\nExecStart=/bin/true\n"


def test_what_is_not_installed_is_said_to_be_so(user: User) -> None:
    done = types(user, "daemon", "uninstall", "--user")
    assert (done.returncode, done.stderr) == (0, "torcd is not installed\n")


@pytest.mark.parametrize("scope", ["user", "system"])
def test_the_units_name_the_program_as_it_is_installed(scope: units.Scope) -> None:
    service = next(file.text for file in units.files(scope) if file.path.endswith(".service"))
    assert f"\nExecStart={BIN}/torcd run\n" in service
    assert f"\nExecReload={BIN}/torcctl --socket " in service
    assert "/usr/bin" not in service


@pytest.mark.parametrize("name", ["with a space", "with 50% off", "with;$HOME"])
def test_a_program_with_a_hostile_path_is_the_program(tmp_path: Path, name: str) -> None:
    """By systemd's own judgment, where there is one."""
    directory = tmp_path / name
    directory.mkdir()
    (directory / "torcd").symlink_to("/bin/true")
    text = f"[Service]\nType=oneshot\nExecStart={units.escaped(str(directory / 'torcd'))} run\n"
    (tmp_path / "it.service").write_text(text)
    verify(tmp_path / "it.service")


@pytest.mark.parametrize("name", ['with "quotes"', "it's", "back\\slash", "two\nlines"])
def test_a_program_that_systemd_cannot_start_is_refused(name: str) -> None:
    with pytest.raises(units.CannotInstall, match="install torcd elsewhere"):
        units.escaped(f"/{name}/torcd")


@pytest.mark.parametrize("scope", ["user", "system"])
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path, scope: units.Scope) -> None:
    written = [file for file in units.files(scope) if "/systemd/" in file.path]
    for file in written:
        (tmp_path / Path(file.path).name).write_text(file.text)
    verify(*(tmp_path / Path(file.path).name for file in written), scope=scope)


def test_the_hardening_drop_in_is_understood(tmp_path: Path) -> None:
    for file in units.files("system"):
        if "/systemd/" in file.path:
            (tmp_path / Path(file.path).name).write_text(file.text)
    (tmp_path / "torcd.service.d").mkdir()
    shutil.copy(ROOT / "configs" / "systemd" / "hardening.conf", tmp_path / "torcd.service.d")
    verify(tmp_path / "torcd.service")


def verify(*paths: Path, scope: units.Scope = "system") -> None:
    """An unknown key is told on standard error only, with the exit code 0."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        ["systemd-analyze", f"--{scope}", "--man=no", "verify", *paths],
        env={**os.environ, "XDG_RUNTIME_DIR": str(paths[0].parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
