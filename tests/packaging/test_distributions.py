"""The wheel has all that belongs to torcd, and the sdist all that it takes to build and test it."""

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import torcd
from tests.packaging.distributions import ROOT, Distributions, build, is_clone, unpack, wheel_of

VERSION = torcd.__version__
DATA = f"torcd-{VERSION}.data/data/share"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def unpacked(built: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(built.sdist, tmp_path_factory.mktemp("sdist") / "unpacked")


def tracked(*directories: str) -> list[str]:
    if not is_clone():
        pytest.skip("this tree is not a clone: nothing says what belongs to it")
    done = subprocess.run(
        ["git", "ls-files", *directories], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_wheel_has_every_module_and_nothing_else_of_the_tree(built: Distributions) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    modules = set(tracked("torcd", "torcctl"))
    assert modules <= names
    packaged = {name for name in names if name.split("/")[0] in ("torcd", "torcctl")}
    assert {n for n in packaged - modules if not n.startswith("torcctl/systemd/")} == set()
    assert "torcd/store/migrations/0001_first.sql" in names
    assert {"torcd/py.typed", "torcctl/py.typed"} <= names


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("man/man1/torcctl.1", "docs/man/torcctl.1"),
        ("man/man5/torcctl.toml.5", "docs/man/torcctl.toml.5"),
        ("man/man5/torcd.toml.5", "docs/man/torcd.toml.5"),
        ("man/man8/torcd.8", "docs/man/torcd.8"),
        ("bash-completion/completions/torcctl", "configs/completions/torcctl.bash"),
        ("zsh/site-functions/_torcctl", "configs/completions/_torcctl"),
        ("fish/vendor_completions.d/torcctl.fish", "configs/completions/torcctl.fish"),
        ("torcd/torcd.toml", "configs/torcd.toml"),
        ("torcd/torc-workflow.schema.json", "configs/torc-workflow.schema.json"),
    ],
)
def test_the_wheel_has_what_programs_look_for_elsewhere(
    built: Distributions, place: str, source: str
) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        assert wheel.read(f"{DATA}/{place}") == (ROOT / source).read_bytes()


def test_the_wheel_has_every_unit(built: Distributions) -> None:
    units = ROOT / "configs" / "systemd"
    with zipfile.ZipFile(built.wheel) as wheel:
        for unit in units.rglob("*.*"):
            if unit.is_file():
                name = f"torcctl/systemd/{unit.relative_to(units)}"
                assert wheel.read(name) == unit.read_bytes()


def test_the_wheel_says_what_it_is_and_what_it_needs(built: Distributions) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        about = email.message_from_bytes(wheel.read(f"torcd-{VERSION}.dist-info/METADATA"))
        programs = wheel.read(f"torcd-{VERSION}.dist-info/entry_points.txt").decode()
        assert f"torcd-{VERSION}.dist-info/licenses/LICENSE" in wheel.namelist()
    assert (about["Name"], about["Version"]) == ("torcd", VERSION)
    assert about["Requires-Python"] == ">=3.11"
    assert about["License-Expression"] == "BSD-3-Clause"
    assert "torcctl = torcctl.entry:main" in programs
    assert "torcd = torcd.__main__:main" in programs


def test_the_sdist_has_every_file_of_the_tree(unpacked: Path) -> None:
    missing = [
        name for name in tracked() if (ROOT / name).exists() and not (unpacked / name).exists()
    ]
    assert missing == []


def test_the_wheel_of_the_sdist_is_that_of_the_tree(built: Distributions, tmp_path: Path) -> None:
    assert wheel_of(ROOT, tmp_path).read_bytes() == built.wheel.read_bytes()


def test_the_version_is_right_where_there_is_no_git(unpacked: Path) -> None:
    """In the sdist, and so in what is made of it."""
    assert not (unpacked / ".git").exists()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "torcd", "--version"],
        env={"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"torcd {VERSION}\n"


def test_tests_can_be_run_from_the_sdist(unpacked: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/unit/test_graph.py"],
        cwd=unpacked,
        env={"PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
