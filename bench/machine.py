"""What the figures were measured on."""

import os
import platform
import sqlite3
import statistics
import subprocess
import time
from pathlib import Path

import msgspec

import torcd


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """`fsync_milliseconds` is a synced write of 4 KiB at the end of a file, `creation_microseconds`
    a new empty file, both on the disk that the benchmarks use: on ext4 the second is ten times
    higher for minutes after thousands of files were deleted nearby."""

    cpus: int
    processor: str
    memory_gib: float
    kernel: str
    file_system: str
    fsync_milliseconds: float
    creation_microseconds: float
    versions: dict[str, str]

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{self.cpus} CPUs ({self.processor}), {self.memory_gib:.0f} GiB, "
            f"Linux {self.kernel}, {self.file_system}: an fsync {self.fsync_milliseconds:.2f} ms, "
            f"a new file {self.creation_microseconds:.0f} µs\n{versions}"
        )


def look(scratch: Path, versions: dict[str, str]) -> Machine:
    """This machine, with a disk that `scratch` is on; `versions` are those of the peers."""
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        processor=_field("/proc/cpuinfo", "model name") or "unknown processor",
        memory_gib=int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20,
        kernel=platform.release(),
        file_system=_file_system(scratch),
        fsync_milliseconds=fsync_seconds(scratch) * 1e3,
        creation_microseconds=_creation_seconds(scratch) * 1e6,
        versions={
            "torcd": f"{torcd.__version__} {_commit()}".strip(),
            "Python": platform.python_version(),
            "SQLite": sqlite3.sqlite_version,
            **versions,
        },
    )


def load() -> float:
    """The load average of the last minute: what others, and the benchmarks themselves, ask for."""
    return os.getloadavg()[0]


def resident_kib(pid: int) -> int:
    """The memory of a process, now."""
    return int((_field(f"/proc/{pid}/status", "VmRSS") or "0 kB").split()[0])


def _field(file: str, name: str) -> str | None:
    for line in Path(file).read_text().splitlines():
        key, _, text = line.partition(":")
        if key.strip() == name:
            return text.strip()
    return None


def _commit() -> str:
    """Of the tree that is measured, with a + if it was changed; empty where that is not known."""
    words = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(
            words, cwd=Path(torcd.__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _file_system(path: Path) -> str:
    best, kind = "", "unknown file system"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, found, *_ = line.split()
        if path.is_relative_to(where) and len(where) >= len(best):
            best, kind = where, found
    return kind


def fsync_seconds(directory: Path, count: int = 50) -> float:
    """What it takes to have 4 KiB at the end of a file on the disk: the median."""
    seconds = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(b"x" * 4096)
            begin = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def _creation_seconds(scratch: Path, count: int = 200) -> float:
    directory = scratch / "creation"
    directory.mkdir()
    begin = time.perf_counter()
    for number in range(count):
        os.close(os.open(directory / str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return (time.perf_counter() - begin) / count
