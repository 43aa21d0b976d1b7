"""`for_each`: what a job, its files and its values become for the elements of a value."""

import json
from collections.abc import Mapping

import msgspec
import pytest

from torcd import model, spec, value
from torcd.errors import InvalidSpec
from torcd.spec import FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.spec.rekeying import Known

LIST = (UserDataSpec(name="list"),)
MAKER = JobSpec(name="maker", command="m", output_user_data=("list",))


def expand(
    *jobs: JobSpec,
    values: Mapping[str, object] | None = None,
    raw: str | None = None,
    known: Known | None = None,
    max_jobs: int = 1_000,
    **fields: object,
) -> model.Workflow:
    """`raw`: the text of `list`."""
    texts = {name: json.dumps(one) for name, one in (values or {}).items()}
    if raw is not None:
        texts["list"] = raw
    written = msgspec.structs.replace(WorkflowSpec(jobs=jobs, user_data=LIST), **fields)
    return spec.expand(
        # As it crosses the wire.
        spec.decode(msgspec.json.encode(written)),
        directory="/d",
        default_name="w",
        known=known,
        max_jobs=max_jobs,
        values={name: value.parse(text.encode(), name=name) for name, text in texts.items()},
    )


def jobs(workflow: model.Workflow) -> dict[str, model.Job]:
    return {job.name: job for job in workflow.jobs if not job.is_unfolded}


def names_of(workflow: model.Workflow, keys: tuple[int, ...]) -> list[str]:
    items = (*workflow.jobs, *workflow.files, *workflow.user_data)
    return [item.name for item in items if item.key in keys]


def commands(text: str, raw: str) -> list[str]:
    found = expand(MAKER, JobSpec(name="x", command=text, for_each="list"), raw=raw)
    return [str(job.command) for name, job in jobs(found).items() if name != "maker"]


def problems(*jobs: JobSpec, raw: str | None = None, **fields: object) -> str:
    with pytest.raises(InvalidSpec) as caught:
        expand(*jobs, raw=raw, **fields)
    return caught.value.message


# What is filled in


@pytest.mark.parametrize(
    ("text", "raw", "filled_in"),
    [
        ("{item}", '["a b", "$x", "\\u00e9"]', ["a b", "$x", "é"]),
        ("{item}", "[1.10, 1e3, 123456789012345678901]", ["1.10", "1e3", "123456789012345678901"]),
        ("{item}", "[true, null]", ["true", "null"]),
        ("{item}", '[{"b": 1, "a": [ 2 ]}]', ['{"b":1,"a":[2]}']),
        ("{item.a.b} {item.0}", '[{"a": {"b": "x"}, "0": 7}]', ["x 7"]),
        ("{item.1}", '[["a", "b"]]', ["b"]),
        ("{index} {index:03d}", "[1, 1]", ["0 000", "1 001"]),
        ("{item:>4}|{item:<4}", '["x"]', ["   x|x   "]),
        ("{item:05d} {item:.1f}", "[7]", ["00007 7.0"]),
        ("{item:.1f}", "[0.25, 3]", ["0.2", "3.0"]),
        ("{key}={item}", '{"k": "v", "a": 2}', ["k=v", "a=2"]),
        ("${item} ${index} {other} {items}", '["x"]', ["${item} ${index} {other} {items}"]),
    ],
)  # fmt: skip
def test_a_template_is_filled_in(text: str, raw: str, filled_in: list[str]) -> None:
    assert commands(text, raw) == filled_in


@pytest.mark.parametrize(
    ("text", "raw", "problem"),
    [
        ("{item.a}", '[{"a": 1}, {"b": 1}]', 'element 1 of "list" has no field "a"'),
        ("{item.a}", '{"k": {}}', 'element 0 ("k") of "list" has no field "a"'),
        ("{item.a.b}", '[{"a": 1}]', 'element 0 of "list" has no field "a.b"'),
        ("{item.2}", "[[1, 2]]", 'element 0 of "list" has no field "2"'),
        ("{item:d}", '["x"]', '"{item:d}" is no format for "x", of element 0 of "list"'),
        ("{item:2000}", '["x"]', '"{item:2000}" is wider than 1000'),
        ("{key}", '["x"]', '"{key}" is for the keys of an object, and user_data "list" is a list'),
        ("{item}", '"x"', 'user_data "list" is the text "x": for_each needs a list or an object'),
        ("{item}", "true", 'user_data "list" is true: for_each needs a list or an object'),
        ("{item}", '["\\u0000"]', "the text has a NUL character"),
        ("{item}", '[""]', "the command is empty"),
    ],
)
def test_what_cannot_be_filled_in_is_told(text: str, raw: str, problem: str) -> None:
    said = problems(MAKER, JobSpec(name="x", command=text, for_each="list"), raw=raw)
    assert said.startswith("jobs[1].")
    assert said.split(": ", 1)[1] == problem


def test_every_text_of_a_job_is_filled_in() -> None:
    found = expand(
        MAKER,
        JobSpec(
            name="x_{item.n}",
            command=("run", "{item.n}"),
            invocation_script="env I={index}",
            env={"A_{index}": "{item.n}"},
            cwd="dir/{item.n}",
            depends_on_regexes=("^{item.n}$",),
            output_files=("out_{item.n}",),
            output_user_data=("v_{index}",),
            priority=7,
            for_each="list",
        ),
        JobSpec(name="a+b", command="true"),
        raw='[{"n": "a+b"}]',
        files=(FileSpec(name="out_{item.n}", path="out/{index:02d}"),),
        user_data=(
            *LIST,
            UserDataSpec(name="v_{index}", data=msgspec.Raw(b'{"n": "{item.n}", "k": [1]}')),
        ),
    )
    job = jobs(found)["x_a+b"]
    assert job.command == "env I=0 run a+b"
    assert (job.env, job.cwd, job.priority) == ({"A_0": "a+b"}, "/d/dir/a+b", 7)
    assert names_of(found, job.depends_on) == ["x_{item.n}", "a+b"]
    assert [(file.name, file.path) for file in found.files] == [("out_a+b", "/d/out/00")]
    assert job.output_files == (found.files[0].key,)
    [_, data] = found.user_data
    assert (data.name, data.data) == ("v_0", msgspec.Raw(b'{"n": "a+b", "k": [1]}'))
    assert job.output_user_data == (data.key,)


def test_a_placeholder_is_that_of_the_element() -> None:
    found = expand(
        MAKER,
        JobSpec(name="x", command="w ${files.output.part_{index}}", for_each="list"),
        raw="[1, 2]",
        files=(FileSpec(name="part_{index}", path="a b/{index}"),),
    )
    assert jobs(found)["x_1"].command == "w '/d/a b/1'"
    assert names_of(found, jobs(found)["x_1"].output_files) == ["part_1"]


# Names


def test_elements_are_called_by_their_place_or_by_their_key() -> None:
    job = JobSpec(name="x", command="c", for_each="list")
    assert list(jobs(expand(MAKER, job, raw="[5, 6]"))) == ["maker", "x_0", "x_1"]
    assert list(jobs(expand(MAKER, job, raw='{"b": 1, "a": 2}'))) == ["maker", "x_b", "x_a"]
    unnamed = JobSpec(command="c", for_each="list")
    found = expand(MAKER, unnamed, JobSpec(command="d"), raw="[5, 6]")
    assert list(jobs(found)) == ["maker", "job_2_0", "job_2_1", "job_3"]


def test_two_names_that_are_equal_are_refused() -> None:
    job = JobSpec(name="x_{item}", command="c", for_each="list")
    assert problems(MAKER, job, raw="[1, 1]") == (
        'jobs[1].name: the elements make the name "x_1" more than once (put {index} into the name)'
    )
    other = JobSpec(name="x_0", command="c")
    taken = problems(MAKER, other, JobSpec(name="x", command="c", for_each="list"), raw="[1]")
    assert taken == ('jobs[2].name: job "x_0" is already at jobs[1] (give it a name of its own)')


def test_what_there_is_keeps_its_key() -> None:
    job = JobSpec(name="x_{item}", command="c", for_each="list")
    first = expand(MAKER, job, raw='["a", "b"]')
    then = expand(MAKER, job, raw='["b", "c"]', known=Known(workflow=first, next_key=first.size))
    assert jobs(then)["x_b"].key == jobs(first)["x_b"].key
    assert jobs(then)["x_c"].key == first.size
    assert jobs(then)["x_b"].element != jobs(first)["x_b"].element  # it is at another place
    assert then.jobs[1].for_each == model.ForEach(
        data=first.user_data[0].key, sha256=value.parse(b'["b","c"]', name="").sha256, count=2
    )


# Who waits


def waiting(*names: str) -> JobSpec:
    return JobSpec(name="end", command="z", input_files=names)


PART = (FileSpec(name="part_{index}", path="{index}"),)
EACH = JobSpec(name="x", command="c", for_each="list", output_files=("part_{index}",))


@pytest.mark.parametrize(
    "end",
    [
        JobSpec(name="end", command="z", depends_on=("x",)),
        JobSpec(name="end", command="z", blocked_by=("x",)),
        JobSpec(name="end", command="z", depends_on_regexes=("^x$",)),
        JobSpec(name="end", command="z", depends_on_regexes=("^x_[0-9]+$",)),
        JobSpec(name="end", command="z", input_files=("part_{index}",)),
        JobSpec(name="end", command="z", input_file_regexes=("^part_",)),
        JobSpec(name="end", command="z", input_file_regexes=(r"^part_\d+$",)),
    ],
)
def test_a_consumer_waits_for_it_and_then_for_all_elements(end: JobSpec) -> None:
    for raw in (None, "[]"):
        before = expand(MAKER, EACH, end, raw=raw, files=PART)
        gate, last = before.jobs[1], before.jobs[2]
        assert last.depends_on == (gate.key,) or last.input_files == gate.output_files
    found = expand(MAKER, EACH, end, raw="[1, 2, 3]", files=PART)
    last = jobs(found)["end"]
    elements = [jobs(found)[f"x_{n}"] for n in range(3)]
    assert last.depends_on == tuple(job.key for job in elements) or last.input_files == tuple(
        job.output_files[0] for job in elements
    )
    assert found.jobs[1].output_files == ()
    assert found.jobs[1].key not in last.depends_on


def test_many_consumers_of_many_elements_share_a_group() -> None:
    ends = [JobSpec(name=f"end{n}", command="z", depends_on=("x",)) for n in range(50)]
    found = expand(MAKER, EACH, *ends, raw=json.dumps(list(range(100))), files=PART)
    [group] = found.groups
    assert len(group.members) == 100
    assert {job.awaits for name, job in jobs(found).items() if name.startswith("end")} == {
        (group.key,)
    }


def test_it_waits_for_its_value_and_its_elements_for_the_rest() -> None:
    job = JobSpec(
        name="x", command="c", for_each="list", depends_on=("late",), input_files=("made", "there")
    )
    late = JobSpec(name="late", command="l", output_files=("made",))
    files = (FileSpec(name="made", path="m"), FileSpec(name="there", path="t"))
    before = expand(MAKER, late, job, files=files)
    gate = before.jobs[2]
    assert gate.input_user_data == (before.user_data[0].key,)
    assert (gate.depends_on, names_of(before, gate.input_files)) == ((), ["there"])
    element = jobs(expand(MAKER, late, job, raw="[1]", files=files))["x_0"]
    assert len(element.depends_on) == 2  # the gate, too
    assert len(element.input_files) == 2
    assert element.input_user_data == ()


def test_a_value_of_the_spec_that_nobody_makes_has_its_elements_at_once() -> None:
    data = (UserDataSpec(name="list", data=msgspec.Raw(b"[1, 2]")),)
    job = JobSpec(name="x", command="c", for_each="list")
    assert list(jobs(expand(job, user_data=data))) == ["x_0", "x_1"]
    assert list(jobs(expand(MAKER, job, user_data=data))) == ["maker", "x"]
    planned = spec.plan(WorkflowSpec(jobs=(job,), user_data=data), directory="/", default_name="w")
    assert [(item.name, item.stage, item.for_each) for item in planned.items] == [
        ("x_0", 1, None), ("x_1", 1, None),
    ]  # fmt: skip


def test_actions_are_about_all_elements() -> None:
    written = {
        "jobs": [{"name": "x", "command": "c", "for_each": "list"}],
        "user_data": [{"name": "list", "data": [1, 2]}],
        "actions": [
            {"trigger_type": "on_jobs_complete", "action_type": "run_commands",
             "jobs": ["x"], "commands": ["true"]},
        ],
    }  # fmt: skip
    found = spec.expand(spec.decode(json.dumps(written).encode()), directory="/", default_name="w")
    assert names_of(found, found.actions[0].jobs) == ["x_0", "x_1"]


# What is refused


def test_a_value_that_is_not_there_is_named() -> None:
    job = JobSpec(name="x", command="c", for_each="lists")
    assert problems(MAKER, job) == (
        'jobs[1].for_each: unknown user_data "lists" (did you mean "list"?)'
    )


def test_a_parameter_is_not_called_as_an_element_is() -> None:
    job = JobSpec(name="x{item}", command="c", for_each="list", parameters={"item": "1:2"})
    assert "the name of what for_each fills in (give the parameter another name)" in problems(
        MAKER, job
    )


def test_one_thing_is_not_for_two_values() -> None:
    two = (*LIST, UserDataSpec(name="other", data=msgspec.Raw(b"[1]")))
    other = msgspec.structs.replace(EACH, name="y", for_each="other")
    said = problems(MAKER, EACH, other, files=PART, user_data=two)
    assert 'files[0].name: "part_{index}" is for each of "list", and for each of "other"' in said


def test_a_placeholder_does_not_stand_for_all() -> None:
    end = JobSpec(name="end", command="cat ${files.input.part_{index}}")
    for raw in (None, "[1]"):
        assert problems(MAKER, EACH, end, files=PART, raw=raw) == (
            'jobs[2].command: "part_{index}" is one for each element (name it in input_files: that '
            "means all of them)"
        )


def test_there_is_no_job_for_each_of_what_is_one_for_each() -> None:
    values = (*LIST, UserDataSpec(name="v_{index}"))
    each = JobSpec(name="x", command="c", for_each="list", output_user_data=("v_{index}",))
    other = JobSpec(name="y", command="c", for_each="v_{index}")
    assert "(for_each needs one value)" in problems(MAKER, each, other, user_data=values)


def test_a_name_with_a_template_that_nobody_fills_in_is_one_thing() -> None:
    written = WorkflowSpec(
        jobs=(MAKER, msgspec.structs.replace(EACH, output_files=None)),
        user_data=LIST, files=PART,
    )  # fmt: skip
    [warning] = spec.check(written)
    assert (warning.severity, warning.path) == ("warning", "files[0].name")


def test_there_are_no_more_than_a_workflow_may_have() -> None:
    job = JobSpec(name="x", command="c", for_each="list")
    assert len(jobs(expand(MAKER, job, raw=json.dumps([0] * 8), max_jobs=10))) == 9
    with pytest.raises(InvalidSpec, match='user_data "list" has 11 elements, and a workflow may'):
        expand(MAKER, job, raw=json.dumps([0] * 11), max_jobs=10)
    with pytest.raises(InvalidSpec, match="the workflow has 11 jobs, and may have 10"):
        expand(MAKER, job, raw=json.dumps([0] * 10), max_jobs=10)


def test_a_circle_is_seen_before_there_are_elements() -> None:
    first = JobSpec(
        name="maker", command="m", output_user_data=("list",), input_files=("part_{index}",)
    )
    assert "jobs wait for one another" in problems(first, EACH, files=PART)
    itself = msgspec.structs.replace(EACH, depends_on=("end",), output_files=None)
    end = JobSpec(name="end", command="z", depends_on=("x",))
    assert "jobs wait for one another" in problems(MAKER, itself, end)


@pytest.mark.parametrize("suffix", ["json5", "yaml", "toml", "kdl"])
def test_all_formats_have_it(suffix: str) -> None:
    written = WorkflowSpec(jobs=(MAKER, EACH), user_data=LIST, files=PART)
    document = spec.read(spec.dump(written, format=suffix), file=f"w.{suffix}")
    assert document.spec is not None
    assert document.spec.jobs is not None
    assert document.spec.jobs[1].for_each == "list"
