"""A Python function becomes jobs."""

import json
import sys
import tracemalloc

import msgspec
import pytest

from torcd import spec
from torcd.errors import InvalidValue, UnusableFunction

SETS = [{"speed": 1.5}, {"speed": 3}]


def test_each_set_of_parameters_has_a_job_and_the_results_go_to_the_last_one() -> None:
    mapped = spec.map_function(
        json.dumps, SETS, postprocess="json:loads", resource_requirements="r"
    )
    first, second, last = mapped.jobs
    assert [job.name for job in mapped.jobs] == ["dumps_1", "dumps_2", "dumps_postprocess"]
    assert first.command == second.command
    assert first.command[:4] == (sys.executable, "-m", "torcd.client.mapped", "call")
    assert first.command[5] == "json:dumps"
    assert second.input_user_data == ("input_dumps_2",)
    assert second.output_user_data == ("output_dumps_2",)
    assert last.command[6:] == ("dumps_", "1", "2")
    assert last.input_user_data == mapped.results == ("output_dumps_1", "output_dumps_2")
    assert {job.resource_requirements for job in mapped.jobs} == {"r"}
    given = {item.name: item.data for item in mapped.user_data if item.data is not msgspec.UNSET}
    assert given == {
        "input_dumps_1": msgspec.Raw(b'{"speed":1.5}'),
        "input_dumps_2": msgspec.Raw(b'{"speed":3}'),
    }
    made = spec.WorkflowSpec(
        jobs=mapped.jobs,
        user_data=mapped.user_data,
        resource_requirements=(spec.ResourceRequirementsSpec(name="r"),),
    )
    workflow = spec.expand(made, directory="/", default_name="w")
    assert len(workflow.jobs[2].input_user_data) == 2


def test_two_mappings_with_names_of_their_own_are_one_workflow() -> None:
    one = spec.map_function("json:dumps", [1], name="a", postprocess="json:loads", priority=3)
    other = spec.map_function(
        "json:dumps", [2], name="b", depends_on=["a_postprocess"], env={"A": "1"}
    )
    made = spec.WorkflowSpec(jobs=one.jobs + other.jobs, user_data=one.user_data + other.user_data)
    assert spec.check(made) == []
    assert other.jobs[0].depends_on == ("a_postprocess",)
    assert (one.jobs[1].priority, other.jobs[0].env) == (3, {"A": "1"})


def test_the_job_that_postprocesses_waits_for_the_others_only() -> None:
    mapped = spec.map_function("json:dumps", [1], postprocess="json:loads", depends_on=["x"])
    assert [job.depends_on for job in mapped.jobs] == [("x",), None]


def test_parameters_that_are_no_json_are_refused_with_their_place() -> None:
    with pytest.raises(InvalidValue, match=r"'input_dumps_2' is refused: a\[0\]: nan is not JSON"):
        spec.map_function(json.dumps, [1, {"a": [float("nan")]}])


def test_null_is_no_set_of_parameters() -> None:
    with pytest.raises(InvalidValue, match="'input_dumps_2' is refused: null is no value"):
        spec.map_function(json.dumps, [[None], None])


def test_what_cannot_be_called_with_the_results_does_not_postprocess() -> None:
    with pytest.raises(UnusableFunction, match="one argument, the list of results"):
        spec.map_function(json.dumps, [1], postprocess="tarfile:copyfileobj")


def test_ten_thousand_sets_cost_little() -> None:
    tracemalloc.start()
    mapped = spec.map_function(
        json.dumps, ({"n": n} for n in range(10_000)), postprocess="json:loads"
    )
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(mapped.jobs) == 10_001
    assert len({id(job.command) for job in mapped.jobs[:-1]}) == 1
    assert used < 20_000_000
    text = spec.dump(spec.WorkflowSpec(jobs=mapped.jobs, user_data=mapped.user_data))
    assert len(text) < 12_000_000
