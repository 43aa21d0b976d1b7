"""torc's way to build a workflow."""

import sys
from pathlib import Path

import msgspec
import pytest

from tests.unit.client.scripted_daemon import ScriptedDaemon
from torcd import spec
from torcd.client import WorkflowBuilder, make_api, map_function_to_jobs
from torcd.errors import InvalidValue, UnusableFunction


def workflow(builder: WorkflowBuilder) -> spec.WorkflowSpec:
    return spec.decode(msgspec.json.encode(builder.build(name="w")))


def test_a_function_is_mapped_with_torcs_names() -> None:
    builder = WorkflowBuilder()
    jobs = builder.map_function_to_jobs(
        *("json", "dumps", [{"a": 1}, {"a": 2}]),
        postprocess_func="loads",
        resource_requirements="r",
        scheduler="short",
        start_index=0,
        name_prefix="j",
    )
    assert [job.name for job in jobs] == ["j0", "j1", "postprocess"]
    assert jobs[1].input_user_data == ["input_j1"]
    assert jobs[2].command[4:] == (str(Path.cwd()), "json:loads", "j", "0", "2")
    assert jobs[2].input_user_data == ["output_j0", "output_j1"]
    assert {job.scheduler for job in jobs} == {"short"}
    made = workflow(builder)
    assert [item.name for item in made.user_data or ()] == [
        *("input_j0", "output_j0", "input_j1", "output_j1", "postprocess_result")
    ]


def test_what_is_added_may_be_changed_until_it_is_built() -> None:
    builder = WorkflowBuilder()
    builder.add_resource_requirements(name="medium", num_cpus=4, memory="20G", runtime="P0DT1H")
    builder.add_slurm_scheduler(name="short", account="me", nodes=1)
    builder.add_file(name="f", path="f.txt")
    builder.configure_resource_monitoring(cpu=True)
    first = builder.add_job(name="first", command="true", scheduler=None)
    for job in builder.map_function_to_jobs("json", "dumps", [1], resource_requirements="medium"):
        job.blocked_by = [first.name]
    built = builder.build(name="w", description=None)
    assert "description" not in built
    made = workflow(builder)
    assert [problem for problem in spec.check(made) if problem.severity == "error"] == []
    assert (made.jobs or ())[1].blocked_by == ("first",)
    assert made.config == msgspec.Raw(b'{"compute_node_resource_stats":{"cpu":true}}')


def test_a_function_that_is_not_there_is_refused_at_once() -> None:
    with pytest.raises(UnusableFunction, match="json:absent"):
        WorkflowBuilder().map_function_to_jobs("json", "absent", [])
    with pytest.raises(UnusableFunction, match="json:absent"):
        WorkflowBuilder().map_function_to_jobs("json", "dumps", [], postprocess_func="absent")


def test_null_is_no_set_of_parameters() -> None:
    with pytest.raises(InvalidValue, match="'input_1' is refused: null is no value"):
        WorkflowBuilder().map_function_to_jobs("json", "dumps", [None])


def test_torcs_function_puts_jobs_into_a_builder_and_nowhere_else() -> None:
    builder = WorkflowBuilder()
    jobs = map_function_to_jobs(None, builder, "json", "dumps", [1], "loads", name_prefix="a")
    assert [job.name for job in jobs] == ["a1", "postprocess"]
    assert jobs[0].command[0] == sys.executable
    with pytest.raises(TypeError, match="pass a WorkflowBuilder"):
        map_function_to_jobs(None, "17", "json", "dumps", [1])  # type: ignore[arg-type]


def test_what_was_built_is_posted(daemon: ScriptedDaemon) -> None:
    daemon.script = lambda call, peer: peer.reply(key="5", name="w", jobs=1)
    builder = WorkflowBuilder()
    builder.add_job(command="true")
    posted = make_api(daemon.path).post_workflow_specifications(builder.build(name="w"))
    assert (posted.key, posted.id, posted.name) == ("5", "5", "w")
    assert daemon.calls[0].parameters["workflow"] == {"name": "w", "jobs": [{"command": "true"}]}
