"""What a job costs the warden, counted in calls of the system: no clock. Needs strace."""

import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.test_warden_channel import Home

JOBS = 100

MEMORY = {"mmap", "munmap", "mremap", "mprotect", "madvise", "brk"}
"""The C library's and the interpreter's own, which differ."""

MOST_CALLS = 14
"""For one job at a time, which has all turns of the loop to itself. Nine for the process: the C
library asks for a limit twice and sets signals twice. Three for its end, two for a turn."""


@contextmanager
def counted(pid: int, calls: Counter[str], *options: str) -> Iterator[None]:
    """Adds the calls that a process makes within the block, by name, without its children's. With
    options of strace."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("there is no strace")
    command = [program, "-c", "-U", "name,calls", *options, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        first = tracer.stderr.readline()
        if "attached" not in first:
            pytest.skip(f"strace may not look at processes here: {first.strip()}")
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
        said = tracer.stderr.read()
    for line in said.splitlines():
        match line.split():
            case [name, number] if number.isdigit() and name != "total":
                calls[name] += int(number)


def run_jobs(home: Home, directory: Path, calls: Counter[str], *options: str) -> None:
    """One after the other, counted."""
    pid, wire = home.launch()
    wire.synced()
    wire.say(hello={"protocol": 1, "leave_children": False})
    wire.say(environment=("e", {"PATH": os.defpath}))
    orders = [
        {
            "key": key,
            "lane": 1,
            "lane_limit": 1,
            "argv": ["/bin/true"],
            "base": "e",
            "env": {"NUMBER": str(key)},
            "cwd": "/",
            "stdout": str(directory / f"{key}.out"),
            "stderr": str(directory / f"{key}.err"),
        }
        for key in range(1, JOBS + 1)
    ]
    with counted(pid, calls, *options):
        wire.say(start=orders)
        wire.ends(JOBS)
        wire.say(acknowledge=list(range(1, JOBS + 1)))


def test_a_job_takes_the_warden_few_calls(home: Home, tmp_path: Path) -> None:
    calls: Counter[str] = Counter()
    run_jobs(home, tmp_path, calls)
    for name in MEMORY:
        del calls[name]
    # One each: the process, its status, its claim and its end in the journal, its reaping.
    assert calls["wait4"] == JOBS
    assert calls["clone3"] + calls["vfork"] + calls["clone"] == JOBS
    assert calls["rt_sigreturn"] == 0, "the end of a child comes by a descriptor"
    # How often the daemon is told depends on how long all this takes.
    told = calls["sendto"]
    assert calls["write"] <= 2 * JOBS + told + 2, "what is not urgent is written with what is"
    assert calls.total() - 2 * told <= MOST_CALLS * JOBS + 20, calls


def test_a_job_is_soon_its_program(home: Home, tmp_path: Path) -> None:
    """The warden waits meanwhile."""
    calls: Counter[str] = Counter()
    run_jobs(home, tmp_path, calls, "--follow-forks")
    assert calls["setsid"] == JOBS, "children are counted"
    # Once for each signal; /bin/true may set some itself.
    assert calls["rt_sigaction"] <= 80 * JOBS, "the C library asks before it sets"
