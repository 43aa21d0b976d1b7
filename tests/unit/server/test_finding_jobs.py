"""Jobs by name, key and pattern; what it costs to look for them."""

import cProfile
import pstats
from pathlib import Path

import pytest

from tests.unit.controller.still_life import NO_CALL, StillLife, still_life
from torcd import errors
from torcd.model import WorkflowKey
from torcd.protocol import manager as m
from torcd.scheduler.state import WorkflowNode
from torcd.server import context
from torcd.server.context import find_jobs
from torcd.server.handlers.explain import explain


async def submitted(world: StillLife, *names: str) -> WorkflowNode:
    jobs = ", ".join(f'{{"name": "{name}", "command": "true"}}' for name in names)
    done = await world.submit(f'{{"jobs": [{jobs}]}}'.encode())
    return world.controller.scheduler.workflows[WorkflowKey(int(done.key))]


def names(node: WorkflowNode, *wanted: str) -> list[str]:
    return [node.jobs[key].job.name for key in find_jobs(node, wanted)]


async def test_a_name_comes_before_a_key_and_a_key_before_a_pattern(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        node = await submitted(world, "3", "b", "[c]", "c")
        assert names(node, "3") == ["3"]  # and not "b", whose key it is
        assert names(node, "4") == ["[c]"]
        assert names(node, "[c]") == ["[c]"]
        assert names(node, "[bc]", "b", "*") == ["b", "c", "3", "[c]"]


@pytest.mark.parametrize("pattern", ["[z-a]", "[", "[!", "*" * 2_000, "[" * 100_000, "?" * 999])
async def test_a_pattern_that_fits_nothing_is_an_unknown_job(tmp_path: Path, pattern: str) -> None:
    async with still_life(tmp_path) as world:
        node = await submitted(world, "a")
        with pytest.raises(errors.UnknownJob):
            find_jobs(node, [pattern])


async def test_names_are_free_and_patterns_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "MAX_COMPARISONS", 10)
    async with still_life(tmp_path) as world:
        node = await submitted(world, "a", "b", "c")
        assert names(node, *["a", "b"] * 100, "*", "?", "[ab]") == ["a", "b", "c"]
        with pytest.raises(errors.InvalidParameter, match="too many patterns"):
            find_jobs(node, ["*"] * 4)


async def test_explaining_a_job_that_waits_for_many_looks_at_each_once(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        costs = []
        for count in (100, 400):
            makers = [f"m{n}" for n in range(count)]
            jobs = ", ".join(f'{{"name": "{name}", "command": "true"}}' for name in makers)
            needs = ", ".join(f'"{name}"' for name in makers)
            last = f'{{"name": "last", "command": "true", "depends_on": [{needs}]}}'
            await world.submit(f'{{"jobs": [{jobs}, {last}]}}'.encode())
            await world.controller.settled()
            profile = cProfile.Profile()
            profile.enable()
            explanation = await explain(world.context, m.Explain(job="last"), NO_CALL)
            profile.disable()
            assert len(explanation.waits_for) == count
            costs.append(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]
        assert costs[1] < 6 * costs[0]
