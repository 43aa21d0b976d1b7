"""What this machine has for jobs."""

import os
import re
from pathlib import Path

from torcd.model import Capacity

_GPU = re.compile(r"nvidia[0-9]+")


def usable_cpus() -> int:
    """The CPUs this process may run on, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def capacity(root: Path = Path("/")) -> Capacity:
    """All of it. GPUs are counted by their device files, /dev/nvidia0 and so on."""
    return Capacity(
        cpus=usable_cpus(),
        memory_bytes=_memory_bytes(root / "proc" / "meminfo"),
        gpus=sum(1 for name in os.listdir(root / "dev") if _GPU.fullmatch(name)),
    )


def _memory_bytes(path: Path) -> int:
    for line in path.read_text().splitlines():
        name, _, amount = line.partition(":")
        if name == "MemTotal":
            return int(amount.removesuffix("kB")) * 1024
    raise ValueError(f"{path} does not say MemTotal")
