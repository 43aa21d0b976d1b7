"""After any sequence of runs, edits and failures, what is up to date is what the naive model says,
and nothing runs that need not."""

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torcd.model import ENDED_BADLY, JobStatus, WorkflowKey
from torcd.scheduler import events as e

from .adding import a_collector_is_named, a_script_is_written, an_adder_is_run_again
from .again import Again
from .editing import applies_the_same, edits_the_spec
from .workflows import Pick

MAX_STEPS = 200

TELLING = (
    *(554, 593, 1405, 1425, 4047, 7715),
    *(6086, 7623, 12503, 14769, 104047, 108055, 153327),
)
"""Rare ones: another value is given in place of what a job had made, while one runs that comes
after it; a maker is retried, and makes the same file again, while who reads it is about to run; a
file that a job made is edited by hand before who reads it is retried; one that has come after
another is added again; one has stored and failed, and only then an edit has that open something, in
two histories; a job is removed and comes back; one reads what a job has left that failed and is
retried; what one has read is only then to be made, by a job that is added; one comes after another
at whose end jobs are removed, and one had read what is removed there; the order is another in which
one waits for others; who has made a file is removed, and who reads it then comes after one that
runs again."""


def edits_a_file(world: Again, pick: Pick) -> None:
    """One that no job makes, at any time; or one that a job made, when nothing runs."""
    files = [f.key for f in world.workflow.files if world.is_over or world.maker(f.key) is None]
    if files:
        key = files[pick(len(files))]
        world.disk[key] = ("first", "second")[pick(2)]
        world.look_for_disturbed()


def deletes_an_output(world: Again, pick: Pick) -> None:
    files = [f.key for f in world.workflow.files if world.maker(f.key) is not None]
    if files and world.is_over:
        world.disk.pop(files[pick(len(files))], None)


def stores_a_value(world: Again, pick: Pick) -> None:
    data = [d.key for d in world.workflow.user_data if world.is_over or world.maker(d.key) is None]
    if data:
        world._store(data[pick(len(data))], ("0", "1")[pick(2)], None)


def breaks_or_repairs_a_job(world: Again, pick: Pick) -> None:
    jobs = world.workflow.jobs
    world.failing ^= {jobs[pick(len(jobs))].key}


def repairs_all(world: Again, pick: Pick) -> None:
    world.failing.clear()
    world.failing_scripts.clear()


def breaks_a_script(world: Again, pick: Pick) -> None:
    jobs = world.workflow.jobs
    world.failing_scripts.add(jobs[pick(len(jobs))].key)


def makes_a_job_do_something_else(world: Again, pick: Pick) -> None:
    """Without its being seen from outside."""
    jobs = world.workflow.jobs
    world.moods[jobs[pick(len(jobs))].key] = pick(2)


def cancels(world: Again, pick: Pick) -> None:
    jobs = world.workflow.jobs
    chosen = None if not pick(4) else (jobs[pick(len(jobs))].key,)
    world.tell(e.CancelRequested(workflow_key=WorkflowKey(1), jobs=chosen, at=world.tick()))


def disables_or_enables(world: Again, pick: Pick) -> None:
    jobs = world.workflow.jobs
    key = jobs[pick(len(jobs))].key
    kind = e.EnableRequested if world.status(key) is JobStatus.DISABLED else e.DisableRequested
    world.is_forced.add(key)  # when it is enabled
    absent = frozenset(f.key for f in world.workflow.files if f.key not in world.disk)
    looked = {"files": world.states()} if kind is e.EnableRequested and world.is_over else {}
    world.tell(
        kind(
            workflow_key=WorkflowKey(1), jobs=(key,), absent_files=absent, at=world.tick(), **looked
        )
    )


def retries(world: Again, pick: Pick) -> None:
    bad = [j.key for j in world.workflow.jobs if world.status(j.key) in ENDED_BADLY]
    if bad:
        jobs = tuple({bad[pick(len(bad))] for _ in range(1 + pick(2))})
        absent = frozenset(f.key for f in world.workflow.files if f.key not in world.disk)
        forced = set(bad) - world.is_forced
        world.is_forced |= forced
        event = e.RetryRequested(
            workflow_key=WorkflowKey(1),
            jobs=jobs,
            absent_files=absent,
            files=world.states() if world.is_over else {},
            at=world.tick(),
        )
        if world.tell(event) is None:
            world.is_forced -= forced


def kills_the_daemon(world: Again, pick: Pick) -> None:
    if not any(job.is_stopping for job in world.node.jobs.values()):
        world.crash()


def restarts_some(world: Again, pick: Pick) -> None:
    jobs = [j.key for j in world.workflow.jobs if world.status(j.key) is not JobStatus.DISABLED]
    if jobs:
        chosen = frozenset(jobs[pick(len(jobs))] for _ in range(1 + pick(2)))
        world.restart(e.Selection(jobs=chosen, only=not pick(3)))


def restarts_all(world: Again, pick: Pick) -> None:
    world.restart(e.Selection())


WHILE_IT_RUNS: tuple[Callable[[Again, Pick], object], ...] = (
    edits_a_file,
    stores_a_value,
    breaks_or_repairs_a_job,
    breaks_a_script,
    repairs_all,
    cancels,
    disables_or_enables,
    kills_the_daemon,
    restarts_all,
    retries,
    edits_the_spec,
    edits_the_spec,
    applies_the_same,
    a_script_is_written,
)

BETWEEN_RUNS: tuple[Callable[[Again, Pick], object], ...] = (
    edits_a_file,
    edits_a_file,
    deletes_an_output,
    stores_a_value,
    breaks_or_repairs_a_job,
    breaks_a_script,
    repairs_all,
    makes_a_job_do_something_else,
    kills_the_daemon,
    restarts_some,
    retries,
    retries,
    disables_or_enables,
    edits_the_spec,
    edits_the_spec,
    edits_the_spec,
    applies_the_same,
    a_script_is_written,
    a_script_is_written,
    a_collector_is_named,
    an_adder_is_run_again,
    an_adder_is_run_again,
    an_adder_is_run_again,
)


def history(pick: Pick, runs: int) -> Again:
    world = Again(pick)
    for _ in range(1 + pick(3)):
        a_script_is_written(world, pick)
        a_collector_is_named(world, pick)
    for _ in range(runs):
        is_meddled_with = not pick(2)
        run_to_the_end(world, pick, is_meddled_with)
        for _ in range(pick(4)):
            BETWEEN_RUNS[pick(len(BETWEEN_RUNS))](world, pick)
        run_to_the_end(world, pick, is_meddled_with=False)
        if world.restart(e.Selection()):
            run_to_the_end(world, pick, is_meddled_with=False)
            world.check_the_end()
    return world


def run_to_the_end(world: Again, pick: Pick, is_meddled_with: bool) -> None:
    for _ in range(MAX_STEPS):
        if is_meddled_with and not pick(6):
            WHILE_IT_RUNS[pick(len(WHILE_IT_RUNS))](world, pick)
        if not world.step():
            break
    assert world.is_over


def histories(seeds: Iterable[int]) -> set[str]:
    """What has come of lists."""
    unfolded = set()
    for seed in seeds:
        try:
            unfolded |= history(random.Random(seed).randrange, 4).unfolded
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    return unfolded


def test_whatever_happened_what_is_up_to_date_is_what_the_naive_model_says() -> None:
    histories((*range(120), *TELLING))


@pytest.mark.large
def test_after_more_histories_too_what_is_up_to_date_is_what_the_naive_model_says() -> None:
    unfolded = histories(range(600))
    assert unfolded == {"first", "more", "fewer", "as many", "refused", "void"}


@settings(
    max_examples=min(60, settings.default.max_examples),  # `make fuzz` asks for a thousand
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_the_smallest_histories_in_which_it_would_not_be(data: st.DataObject) -> None:
    history(lambda n: data.draw(st.integers(0, n - 1)), 2)
