"""The wheel and the sdist, installed into clean environments as people do it; the wheel upgraded,
and downgraded again.

That takes a package index, and a minute: `make packages`.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

import torcd
from tests.cli.test_steering import held
from tests.packaging.distributions import ROOT, Distributions, build, unpack, wheel_of
from tests.user_world import PATIENCE_SECONDS, User, a_user
from torcd.store.schema import newest_version

NEXT = f"{torcd.__version__}.post1"
INSTALL_SECONDS = 240


@pytest.fixture(autouse=True, scope="module")
def _asked_for(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--packages"):
        pytest.skip("needs a package index: make packages")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


class Installed(msgspec.Struct, frozen=True):
    bin: Path
    """Is put into the PATH."""
    share: Path
    """Has the manual pages and completions."""


def run(*words: str | Path, **environment: str) -> None:
    done = subprocess.run(
        words,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"


def with_pip(distribution: Path, directory: Path) -> Installed:
    run(sys.executable, "-m", "venv", directory)
    run(directory / "bin" / "python", "-m", "pip", "install", "--quiet", distribution)
    return Installed(directory / "bin", directory / "share")


def with_pipx(wheel: Path, directory: Path) -> Installed:
    places = {
        "PIPX_HOME": str(directory / "home"),
        "PIPX_BIN_DIR": str(directory / "bin"),
        "PIPX_MAN_DIR": str(directory / "share" / "man"),
    }
    run(_tool("pipx"), "install", "--python", sys.executable, wheel, **places)
    return Installed(directory / "bin", directory / "home" / "venvs" / "torcd" / "share")


def with_uv(wheel: Path, directory: Path) -> Installed:
    places = {"UV_TOOL_DIR": str(directory / "tools"), "UV_TOOL_BIN_DIR": str(directory / "bin")}
    run(_tool("uv"), "tool", "install", "--python", sys.executable, wheel, **places)
    return Installed(directory / "bin", directory / "tools" / "torcd" / "share")


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: make packages brings it")
    return found


WAYS: dict[str, tuple[Callable[[Path, Path], Installed], str]] = {
    "pip": (with_pip, "wheel"),
    "pip-sdist": (with_pip, "sdist"),
    "pipx": (with_pipx, "wheel"),
    "uv": (with_uv, "wheel"),
}


@pytest.fixture(scope="module", params=WAYS)
def installed(
    request: pytest.FixtureRequest,
    built: Distributions,
    tmp_path_factory: pytest.TempPathFactory,
) -> Installed:
    install, what = WAYS[request.param]
    return install(getattr(built, what), tmp_path_factory.mktemp("clean") / "torcd")


@pytest.fixture
def user(installed: Installed, tmp_path: Path) -> Iterator[User]:
    with a_user(tmp_path) as somebody:
        somebody.environment["PATH"] = f"{installed.bin}:/usr/bin:/bin"
        yield somebody


def test_a_workflow_runs(user: User) -> None:
    assert user.types(["torcd", "--version"]) == f"torcd {torcd.__version__}\n"
    spec = {
        "user_data": [{"name": "v"}],
        "jobs": [{"command": "torcctl data put v 7", "output_user_data": ["v"]}],
    }
    user.torcctl("run", "-", stdin=json.dumps(spec))
    assert user.values() == {"v": 7}


def test_the_units_name_programs_that_are_there(user: User) -> None:
    told = user.torcctl("daemon", "install", "--user", "--dry-run")
    assert "would write" in told
    python = user.types(["bash", "-c", "head -n 1 $(command -v torcctl)"]).split()[0][2:]
    script = "from torcctl import units; print(units.files('user')[-1].text)"
    text = user.types([python, "-P", "-c", script])
    programs = [
        line.partition("=")[2].split()[0]
        for line in text.splitlines()
        if line.startswith(("ExecStart=", "ExecReload="))
    ]
    assert len(programs) == 2
    for program in programs:
        assert os.access(program, os.X_OK), program


def test_man_finds_its_pages(installed: Installed, user: User) -> None:
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    for page in ("torcctl", "torcd", "torcd.toml", "torcctl.toml"):
        where = Path(user.types(["man", "-M", str(installed.share / "man"), "-w", page]).strip())
        assert where.is_relative_to(installed.share.resolve()) or where.exists()
    if "pip" in str(installed.bin):
        assert user.types(["man", "-w", "torcctl"])


def test_bash_completes(installed: Installed, user: User) -> None:
    script = f"""
        source {installed.share}/bash-completion/completions/torcctl
        COMP_WORDS=(torcctl stat) COMP_CWORD=1
        _torcctl_completion torcctl
        echo "${{COMPREPLY[@]}}"
        """
    assert user.types(["bash", "-c", textwrap.dedent(script)]) == "status\n"


# From one version to the next, and back


@pytest.fixture(scope="module")
def newer(built: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a version that has the database differently."""
    tree = unpack(built.sdist, tmp_path_factory.mktemp("next") / "tree")
    (tree / "PKG-INFO").unlink()  # says of which version the sdist is
    package = tree / "torcd" / "__init__.py"
    package.write_text(package.read_text().replace(torcd.__version__, NEXT))
    number = newest_version() + 1
    (tree / "torcd" / "store" / "migrations" / f"{number:04}_next.sql").write_text(
        "ALTER TABLE workflow ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';\n"
    )
    return wheel_of(tree, tmp_path_factory.mktemp("wheel"))


@contextlib.contextmanager
def waiting_for(user: User, key: str) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        ["torcctl", "-k", key, "wait"], env=user.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_an_upgrade_and_a_restart_keep_what_runs_and_who_waits_and_there_is_a_way_back(
    built: Distributions, newer: Path, tmp_path: Path
) -> None:
    installed = with_pip(built.wheel, tmp_path / "torcd")
    pip = [str(installed.bin / "python"), "-m", "pip", "install", "--quiet"]
    with a_user(tmp_path / "home") as user:
        user.environment["PATH"] = f"{installed.bin}:/usr/bin:/bin"
        user.torcctl("daemon", "start")
        key = user.torcctl("submit", "-", stdin=json.dumps({"jobs": [held("a")]})).strip()
        user.types(["bash", "-c", "until [ -p a.fifo ]; do sleep 0.02; done"])
        with waiting_for(user, key) as waiting:
            run(*pip, "--upgrade", newer)
            user.torcctl("daemon", "stop")
            assert waiting.stderr is not None
            assert "the daemon went away" in waiting.stderr.readline()
            user.torcctl("daemon", "start")
            assert user.asks("daemon", "status")["version"] == NEXT
            (user.directory / "a.fifo").write_text("")
            _, said = waiting.communicate(timeout=PATIENCE_SECONDS)
            assert waiting.returncode == 0, said
        database = user.home / "state" / "torcd" / "torcd.db"
        former = f"{database}-schema-{newest_version()}-torcd-{torcd.__version__}"
        assert Path(former).exists()
        user.torcctl("daemon", "stop")

        run(*pip, "--force-reinstall", "--no-deps", built.wheel)
        done = subprocess.run(
            ["torcctl", "daemon", "start"],
            env=user.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert f"install torcd {NEXT} again" in done.stderr
        assert f"torcd restore {former}" in done.stderr
        user.types(["torcd", "restore", former])
        user.torcctl("daemon", "start")
        assert user.job_states() == {"a": "failed"}  # what ran then is lost
        user.torcctl("run", "-", stdin='{"jobs": [{"command": "true"}]}')
