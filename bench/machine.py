"""What the figures were measured on, and what the machine can do."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / ".build"


def description() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return (
        f"{len(os.sched_getaffinity(0))} CPUs ({model}), Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def build_limit() -> Path:
    """The C loop, compiled. Raises SystemExit where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("the limit is a C program: install a compiler (apt-get install gcc)")
    BUILD.mkdir(exist_ok=True)
    program = BUILD / "limit"
    subprocess.run([compiler, "-O2", "-o", program, HERE / "limit.c"], check=True)
    return program


def limit_seconds(program: Path, count: int, at_once: int, *command: str) -> float:
    done = subprocess.run(
        [program, str(count), str(at_once), *command], check=True, capture_output=True, text=True
    )
    return float(done.stdout)
