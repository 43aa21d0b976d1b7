"""What a job weighs in the daemon's memory, from its spec on: live bytes, which are the same on any
machine. What the system counts is more, by what the allocators keep: of that, what Python keeps in
pieces between objects that stay is bounded, too."""

import gc
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import msgspec

from torcd import spec
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.commands import AddAttempt, Command

JOBS = 2_000
WIDTH = 100
PARENTS = 3

PIECES = """
import sys
from tests.unit.scheduler import test_weight
kept = test_weight.submitted(test_weight.layers(20_000))
sys._debugmallocstats()
"""
ROOT = Path(__file__).parents[3]


def layers(number: int = JOBS) -> bytes:
    """Each job but those of the first layer waits for three of the one before."""
    jobs = []
    for n in range(number):
        layer, place = divmod(n, WIDTH)
        before = [f"j{(layer - 1) * WIDTH + (place + k) % WIDTH}" for k in range(PARENTS)]
        jobs.append({"name": f"j{n}", "command": "/bin/true", "depends_on": before * (layer > 0)})
    return msgspec.json.encode({"jobs": jobs})


def live_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def submitted(text: bytes) -> tuple[Scheduler, list[Command]]:
    scheduler = Scheduler()
    workflow = spec.expand(
        spec.decode(msgspec.Raw(text)), directory="/", default_name="w", first_key=1
    )
    commands = scheduler.handle(
        e.SubmitRequested(
            workflow=workflow,
            max_parallel_jobs=2,
            initial_values={},
            absent_files=frozenset(),
            wait_for_inputs=False,
            at=1,
        )
    )
    return scheduler, commands


def run(scheduler: Scheduler, commands: list[Command]) -> int:
    """Returns how many jobs ended."""
    attempts = [c.attempt_key for c in commands if isinstance(c, AddAttempt)]
    for at, attempt in enumerate(attempts, 1_800_000_000_000_000):
        scheduler.handle(e.AttemptStarted(attempt, at))
        end = e.AttemptExited(
            attempt_key=attempt,
            return_code=0,
            cpu_seconds=0.001,
            peak_memory_bytes=1 << 24,
            outputs=e.Outputs(),
            at=at + 1,
        )
        made = scheduler.handle(end)
        attempts += [c.attempt_key for c in made if isinstance(c, AddAttempt)]
    return len(attempts)


def test_a_job_with_three_parents_weighs_less_than_a_kibibyte() -> None:
    text = layers()
    submitted(text)  # what is made once is there
    tracemalloc.start()
    try:
        before = live_bytes()
        scheduler, commands = submitted(text)
        begun = live_bytes() - before
        assert run(scheduler, commands) == JOBS
        del commands
        over = live_bytes() - before
    finally:
        tracemalloc.stop()
    assert begun / JOBS < 860, begun / JOBS
    assert over / JOBS < 1_100, over / JOBS


def test_what_is_gone_after_a_submission_leaves_no_pieces_of_memory_between_what_stays() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PIECES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = re.search(r"bytes in available blocks +=\s+([\d,]+)", done.stderr)
    assert found is not None, done.stderr
    assert int(found[1].replace(",", "")) / 20_000 < 60, found[1]
