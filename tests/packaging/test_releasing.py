"""`make release`, in a throw-away clone. That takes a package index: `make packages`."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import torcd
from tests.packaging.distributions import ROOT, is_clone

VERSION = torcd.__version__


@pytest.fixture(autouse=True, scope="module")
def _asked_for(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--packages"):
        pytest.skip("needs a package index: make packages")
    if not is_clone():
        pytest.skip("this is no clone, or there is no git")


def git(clone: Path, *words: str) -> None:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    subprocess.run(["git", *who, *words], cwd=clone, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """With all that a release of this version asks for, but the tag."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(ROOT), str(clone))
    with (clone / ".git" / "info" / "exclude").open("a") as exclude:
        exclude.write(".venv\n.tools\n")
    for name in (".venv", ".tools"):
        (clone / name).symlink_to(ROOT / name)
    releases = clone / "tests" / "releases"
    if not (releases / VERSION).exists():
        newest = max(path.parent for path in releases.glob("*/torcd.db"))
        shutil.copytree(newest, releases / VERSION)
    with (clone / "CHANGELOG.md").open("a") as changelog:
        changelog.write(f"\n## [{VERSION}]\n")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", VERSION)
    return clone


def released(clone: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [clone / ".ci" / "release"], capture_output=True, text=True, timeout=240, check=False
    )


def test_without_its_tag_there_is_no_release(clone: Path) -> None:
    refused = released(clone)
    assert (refused.returncode, (clone / "dist").exists()) == (1, False)
    assert f"has no tag v{VERSION}" in refused.stderr


def test_a_release_is_wheel_sdist_requirements_with_hashes_sbom_and_sums(clone: Path) -> None:
    git(clone, "tag", f"v{VERSION}")
    done = released(clone)
    assert done.returncode == 0, done.stderr
    dist = clone / "dist"
    requirements, sbom = f"torcd-{VERSION}.requirements.txt", f"torcd-{VERSION}.cdx.json"
    assert {path.name for path in dist.iterdir()} == {
        f"torcd-{VERSION}-py3-none-any.whl",
        f"torcd-{VERSION}.tar.gz",
        requirements,
        sbom,
        "SHA256SUMS",
    }
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dist, check=True)
    assert "msgspec==" in (dist / requirements).read_text()
    assert "--hash=sha256:" in (dist / requirements).read_text()
    bill = json.loads((dist / sbom).read_bytes())
    torcd_itself = bill["metadata"]["component"]
    assert (bill["bomFormat"], torcd_itself["name"], torcd_itself["version"]) == (
        "CycloneDX",
        "torcd",
        VERSION,
    )
    assert {"msgspec", "click", "anyio"} <= {one["name"] for one in bill["components"]}
