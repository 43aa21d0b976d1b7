"""Building the wheel and the sdist, without the network: hatchling is among the tools."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]


class Distributions(msgspec.Struct, frozen=True):
    sdist: Path
    wheel: Path


def is_clone() -> bool:
    """Whether git can say what belongs to this tree."""
    if shutil.which("git") is None:
        return False
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False)
    return done.returncode == 0


def build(tree: Path, target: Path) -> Distributions:
    """The sdist of a tree, and the wheel of that sdist."""
    _hatchling(tree, "sdist", target)
    (sdist,) = target.glob("*.tar.gz")
    unpacked = unpack(sdist, target / "unpacked")
    _hatchling(unpacked, "wheel", target)
    (wheel,) = target.glob("*.whl")
    return Distributions(sdist, wheel)


def wheel_of(tree: Path, target: Path) -> Path:
    _hatchling(tree, "wheel", target)
    (wheel,) = target.glob("*.whl")
    return wheel


def unpack(sdist: Path, target: Path) -> Path:
    """The directory that everything of it is in."""
    with tarfile.open(sdist) as archive:
        # Python before 3.11.4 has no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # type: ignore[assignment]
        archive.extractall(target)
    (directory,) = target.iterdir()
    return directory


def _hatchling(tree: Path, kind: str, target: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", target],
        cwd=tree,
        check=True,
        capture_output=True,
    )
