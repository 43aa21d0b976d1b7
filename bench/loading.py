"""How long large workflows take from the file to the daemon's disk, and what they weigh there."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent

BARRIERS = {
    "jobs": [
        {"name": "s0_{i}", "command": "true", "parameters": {"i": "0:999"}},
        *(
            {
                "name": f"s{n}_{{i}}",
                "command": "true",
                "depends_on_regexes": [f"^s{n - 1}_"],
                "parameters": {"i": "0:999"},
            }
            for n in range(1, 5)
        ),
        *(
            {"name": f"b{n}", "command": "true", "depends_on_regexes": [f"^s{n}_"]}
            for n in range(5)
        ),
    ]
}
"""5 005 jobs; without groups four million pairs."""


def edges(jobs: int, each: int) -> dict[str, object]:
    """Each job waits for some of those before it."""
    return {
        "jobs": [
            {
                "name": f"job_{n}",
                "command": "true",
                "depends_on": [f"job_{n - 1 - k * 7}" for k in range(each) if n - 1 - k * 7 > 0],
            }
            for n in range(1, jobs + 1)
        ]
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, _daemon(Path(directory)) as daemon:
        for name, spec in (
            ("5 005 jobs behind barriers", BARRIERS),
            ("100 000 jobs, 300 000 edges", edges(100_000, 3)),
        ):
            file = Path(directory, "spec.json")
            file.write_text(json.dumps(spec))
            before = _memory_mib(daemon.pid)
            begun = time.monotonic()
            _torcctl(directory, "validate", str(file))
            validated = time.monotonic()
            _torcctl(directory, "plan", str(file))
            planned = time.monotonic()
            _torcctl(directory, "plan", "--json", str(file))
            planned_as_json = time.monotonic()
            # Paused jobs would be better; one at a time is next to nothing.
            _torcctl(directory, "submit", "-j", "1", str(file))
            submitted = time.monotonic()
            _torcctl(directory, "cancel")
            print(
                f"{name}: validate {validated - begun:.2f} s, plan {planned - validated:.2f} s,"
                f" as JSON {planned_as_json - planned:.2f} s,"
                f" submit {submitted - planned_as_json:.2f} s,"
                f" daemon {_memory_mib(daemon.pid) - before:+.0f} MiB"
            )


@contextmanager
def _daemon(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    daemon = subprocess.Popen(
        [BIN / "torcd", "run"], env=_environment(str(directory)), stderr=subprocess.DEVNULL
    )
    try:
        while not list(directory.rglob("*.sock")):
            time.sleep(0.01)
        yield daemon
    finally:
        daemon.terminate()
        daemon.wait()


def _torcctl(directory: str, *words: str) -> None:
    subprocess.run(
        [BIN / "torcctl", "-q", *words],
        env=_environment(directory),
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _environment(directory: str) -> dict[str, str]:
    return {
        **os.environ,
        "TORC_SOCKET": f"{directory}/torcd.sock",
        "TORCD_STATE_DIR": f"{directory}/state",
        "XDG_CONFIG_HOME": directory,
    }


def _memory_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
