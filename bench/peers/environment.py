"""Where the peers are: `bench/.peers`, which `make bench` fills, or else what is on the PATH.

Packages of Python go into a virtual environment there, packages of Debian are downloaded and
unpacked; nothing is installed on the machine and nobody needs to be root. What cannot be had is
named, and skipped when it would be measured.
"""

import contextlib
import functools
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parents[1] / ".peers"
VENV = HERE / "venv"
UNPACKED = HERE / "debian"

PYTHON_PACKAGES = {
    "ninja": ("ninja",),
    "hyperqueue": ("hyperqueue",),
    "dask": ("dask", "distributed"),
    "parsl": ("parsl",),
    "doit": ("doit",),
    "snakemake": ("snakemake",),
}

DEBIAN_PACKAGES = {
    "parallel": ("parallel",),
    "redis-server": ("redis-server", "redis-tools", "libjemalloc2", "liblzf1"),
}
"""The programs, and what is not on every machine of what they need."""


def install() -> list[str]:
    """Install what is not there yet. Returns what could not be had, and why."""
    problems = []
    HERE.mkdir(exist_ok=True)
    if not (VENV / "bin" / "python").exists():
        venv.create(VENV, with_pip=True)
    for name, packages in PYTHON_PACKAGES.items():
        if any(python_version(package) is None for package in packages):
            pip = [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            problem = _attempt([*pip, "--no-cache-dir", *packages], HERE)
            if problem is not None:
                problems.append(f"{name}: {problem}")
    for name, packages in DEBIAN_PACKAGES.items():
        if program(name) is None:
            problem = _unpack(name, packages)
            if problem is not None:
                problems.append(f"{name}: {problem}")
    return problems


def _unpack(name: str, packages: tuple[str, ...]) -> str | None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return "it is not on the PATH, and this is no Debian"
    downloads = HERE / "downloads" / name
    downloads.mkdir(parents=True, exist_ok=True)
    problem = _attempt(["apt-get", "download", "--quiet", *packages], downloads)
    if problem is not None:
        return f"{problem} (if it is not found: apt-get update)"
    for file in downloads.glob("*.deb"):
        problem = _attempt(["dpkg-deb", "--extract", str(file), str(UNPACKED)], HERE)
        if problem is not None:
            return problem
    return None


def _attempt(words: list[str], directory: Path) -> str | None:
    """Run a command; returns the last it said if it failed."""
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).strip().splitlines() or [f"{words[0]} failed"]
    return said[-1]


def python() -> str:
    return str(VENV / "bin" / "python")


def program(name: str) -> str | None:
    """The path of a program: that which was installed for the benchmarks, or on the PATH."""
    own = f"{VENV}/bin:{UNPACKED}/usr/bin"
    return shutil.which(name, path=own) or shutil.which(name)


def variables() -> dict[str, str]:
    """The environment for the programs: they find their libraries, and one another."""
    libraries = ":".join(map(str, UNPACKED.glob("usr/lib/*-linux-gnu*")))
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("TORC_", "TORCD_", "PYTHON"))},
        "PATH": f"{VENV}/bin:{UNPACKED}/usr/bin:{os.environ.get('PATH', '/usr/bin:/bin')}",
        **({"LD_LIBRARY_PATH": libraries} if libraries else {}),
    }


@functools.cache
def python_version(package: str) -> str | None:
    """The version of a package in the environment of the peers; None: it is not there."""
    found = importlib.metadata.distributions(
        name=package, path=[str(path) for path in VENV.glob("lib/python*/site-packages")]
    )
    return next((distribution.version for distribution in found), None)


def program_version(name: str, word: str = "--version") -> str | None:
    """What a program says of itself; None where there is none that works."""
    path = program(name)
    if path is None:
        return None
    done = subprocess.run(
        [path, word], env=variables(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return None
    return next((w for w in done.stdout.split() if w.strip("v=")[:1].isdigit()), "?").strip("v=")


@contextlib.contextmanager
def ended_with(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Whatever happens, nothing of a process that leads its group is left at the end."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    for problem in install():
        print(f"cannot be had here, and will be skipped: {problem}", file=sys.stderr)
