"""Plans: the order of jobs, what each waits for and why, and how large it all is."""

import msgspec
import pytest

from torcd import spec
from torcd.errors import InvalidSpec
from torcd.spec import (
    ActionSpec,
    FailureHandlerSpec,
    FailureRuleSpec,
    FileSpec,
    JobSpec,
    ResourceRequirementsSpec,
    UserDataSpec,
    WorkflowSpec,
)
from torcd.spec.planned import Awaited, Plan, PlannedJob


def plan(*jobs: JobSpec, **fields: object) -> Plan:
    written = msgspec.structs.replace(WorkflowSpec(jobs=jobs), **fields)
    return spec.plan(written, directory="/d", default_name="w")


def job(name: str, **fields: object) -> JobSpec:
    return msgspec.structs.replace(JobSpec(name=name, command="x"), **fields)


def item(found: Plan, name: str) -> PlannedJob:
    (one,) = [one for one in found.items if one.name == name]
    return one


def awaited(kind: str, by: str, **fields: object) -> Awaited:
    plain = {"name": None, "group": None, "regexes": None, "jobs": 1, "must_exist": 0}
    return msgspec.convert({"kind": kind, "by": by, **plain, **fields}, Awaited)


def test_jobs_come_by_stage_and_within_one_as_in_the_spec() -> None:
    found = plan(
        job("d", depends_on=("b", "c")),
        job("b", depends_on=("a",)),
        job("e"),
        job("c", depends_on=("a",)),
        job("a"),
    )
    order = [(one.stage, one.name) for one in found.items]
    assert order == [(1, "e"), (1, "a"), (2, "b"), (2, "c"), (3, "d")]
    assert found.stages == 3


def test_a_job_knows_through_what_it_waits_for_whom() -> None:
    found = plan(
        job("a", output_files=("f",), output_user_data=("v",)),
        job("b", output_files=("f",)),
        job("c", depends_on=("a",), input_files=("f",), input_user_data=("v",)),
        job("d", blocked_by=("a",), command="cat ${files.input.f} ${user_data.input.v}"),
        files=(FileSpec(name="f", path="f.txt"),),
        user_data=(UserDataSpec(name="v"),),
    )
    why = [
        awaited("job", "depends_on", name="a"),
        awaited("file", "input_files", name="f", jobs=2),
        awaited("user_data", "input_user_data", name="v"),
    ]
    assert item(found, "c").waits_for == why
    assert item(found, "d").waits_for == why
    assert found.files[0].producers == ["a", "b"]
    assert found.user_data[0].producers == ["a"]


def test_what_nobody_makes_must_exist_unless_it_has_a_value() -> None:
    found = plan(
        job("a", input_files=("f",), input_user_data=("without", "with")),
        job("b", input_user_data_regexes=("^with",)),
        job("c", input_user_data_regexes=("^with$",)),
        files=(FileSpec(name="f", path="f"),),
        user_data=(UserDataSpec(name="without"), UserDataSpec(name="with", data=msgspec.Raw(b"1"))),
    )
    assert item(found, "a").waits_for == [
        awaited("file", "input_files", name="f", jobs=0, must_exist=1),
        awaited("user_data", "input_user_data", name="without", jobs=0, must_exist=1),
    ]
    (group,) = item(found, "b").waits_for
    assert (group.jobs, group.must_exist) == (0, 1)
    assert item(found, "c").waits_for == []
    assert item(found, "a").input_user_data == ["without", "with"]
    assert [data.has_data for data in found.user_data] == [False, True]


@pytest.mark.parametrize("consumers", [1, 100])
def test_what_a_regex_finds_is_a_group_beside_what_is_named(consumers: int) -> None:
    """However many jobs share it: the workflow keeps groups only where they are worth it."""
    found = plan(
        job("a_1", output_files=("f_1", "f_2")),
        job("a_2"),
        job(
            "b_{i}",
            parameters={"i": f"1:{consumers}"},
            depends_on=("a_2",),
            depends_on_regexes=("^a_",),
            input_files=("f_2",),
            input_file_regexes=("^f", "f$"),
        ),
        files=tuple(FileSpec(name=name, path=name) for name in ("f_1", "f_2", "f_3")),
    )
    for n in range(1, consumers + 1):
        assert item(found, f"b_{n}").waits_for == [
            awaited("job", "depends_on", name="a_2"),
            awaited("job", "depends_on_regexes", group=1, regexes=["^a_"], jobs=2),
            awaited("file", "input_files", name="f_2"),
            awaited("file", "input_file_regexes", group=2, regexes=["^f", "f$"], must_exist=1),
        ]
        assert [file.name for file in item(found, f"b_{n}").input_files] == ["f_2"]
    assert [group.names for group in found.groups] == [["a_1", "a_2"], ["f_1", "f_2", "f_3"]]
    assert {one.stage for one in found.items if one.name.startswith("b")} == {2}


def test_regexes_that_find_the_same_share_a_group() -> None:
    found = plan(
        job("a_{i}", parameters={"i": "1:50"}),
        job("b_{i}", parameters={"i": "1:50"}, depends_on_regexes=("^a_|{i}x",)),
    )
    assert len(found.groups) == 1
    assert found.stages == 2
    (first,), (second,) = item(found, "b_1").waits_for, item(found, "b_2").waits_for
    assert (first.group, first.regexes) == (1, ("^a_|1x",))
    assert (second.group, second.regexes) == (1, ("^a_|2x",))


def test_a_plan_grows_with_the_jobs_and_not_with_the_pairs() -> None:
    def size(count: int) -> int:
        numbers = {"parameters": {"i": f"1:{count}"}}
        found = plan(
            job("a_{i}", **numbers, output_files=("f",)),
            job("b_{i}", **numbers, depends_on_regexes=("^a_",), output_file_regexes=("^g_{i}$",)),
            job("c_{i}", **numbers, input_file_regexes=("^g_",), input_files=("f",)),
            files=(FileSpec(name="f", path="f"), FileSpec(name="g_{i}", path="{i}", **numbers)),
        )
        return len(msgspec.json.encode(found))

    assert size(400) < 4.4 * size(100)


def test_a_job_has_what_it_will_be_run_with() -> None:
    found = plan(
        job(
            "a",
            command=("cat", "${files.input.f}"),
            env={"X": "1"},
            cwd="sub",
            priority=3,
            stdio="none",
            supports_termination=True,
            cancel_on_blocking_job_failure=False,
            resource_requirements="r",
            failure_handler="h",
            output_files=("g",),
        ),
        job("b"),
        env={"Y": "2"},
        files=(FileSpec(name="f", path="f"), FileSpec(name="g", path="/g")),
        resource_requirements=(ResourceRequirementsSpec(name="r", memory="1k", runtime="PT1M"),),
        failure_handlers=(FailureHandlerSpec(name="h", rules=(FailureRuleSpec(exit_codes=(1,)),)),),
    )
    shown = msgspec.json.decode(msgspec.json.encode(found))
    first, second = shown["items"]
    assert first | {"waits_for": []} == {
        "stage": 1,
        "name": "a",
        "command": ["cat", "/d/f"],
        "cwd": "/d/sub",
        "env": {"X": "1"},
        "stdio": "none",
        "priority": 3,
        "cancel_on_blocking_job_failure": False,
        "supports_termination": True,
        "resources": {
            "num_cpus": 1,
            "memory_bytes": 1024,
            "num_gpus": 0,
            "num_nodes": 1,
            "runtime_seconds": 60.0,
        },
        "failure_handler": "h",
        "scheduler": None,
        "for_each": None,
        "input_files": [{"name": "f", "path": "/d/f"}],
        "output_files": [{"name": "g", "path": "/g"}],
        "input_user_data": [],
        "output_user_data": [],
        "waits_for": [],
    }
    assert (second["cwd"], second["resources"]) == ("/d", None)
    assert shown["env"] == {"Y": "2"}
    assert shown["failure_handlers"][0]["rules"][0]["max_retries"] == 3


def test_actions_are_planned_with_the_names_of_their_sets() -> None:
    start = ActionSpec(
        trigger_type="on_workflow_start", action_type="run_commands", commands=("x", "y")
    )
    ready = ActionSpec(
        trigger_type="on_jobs_ready",
        action_type="run_commands",
        commands=("z",),
        job_name_regexes=("^a",),
        persistent=True,
    )
    found = plan(job("a_1"), job("b"), job("a_2"), actions=(start, ready)).actions
    assert [(a.number, a.trigger_type, a.jobs, a.persistent) for a in found] == [
        (1, "on_workflow_start", [], False),
        (2, "on_jobs_ready", ["a_1", "a_2"], True),
    ]
    assert found[0].commands == ("x", "y")


def test_a_wrong_spec_has_no_plan() -> None:
    with pytest.raises(InvalidSpec, match="jobs wait for one another"):
        plan(job("a", depends_on=("b",)), job("b", depends_on=("a",)))
