"""Parameters: what their values are, how they are combined, and where they are put in."""

import json
from itertools import product

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torcd import model, spec
from torcd.errors import InvalidSpec
from torcd.spec import Entry, FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.spec.schema import WrittenParameter


def expand(*jobs: JobSpec, **fields: object) -> model.Workflow:
    written = msgspec.structs.replace(WorkflowSpec(jobs=jobs), **fields)
    # As it crosses the wire.
    arrived = msgspec.json.decode(msgspec.json.encode(written), type=WorkflowSpec)
    return spec.expand(arrived, directory="/d", default_name="w")


def problems(*jobs: JobSpec, **fields: object) -> list[tuple[str, str]]:
    written = msgspec.structs.replace(WorkflowSpec(jobs=jobs), **fields)
    return [(p.path, p.message) for p in spec.check(written)]


def commands(command: str, **parameters: WrittenParameter) -> list[str]:
    workflow = expand(JobSpec(command=command, parameters=parameters))
    return [str(job.command) for job in workflow.jobs]


def names(workflow: model.Workflow) -> list[str]:
    return [job.name for job in workflow.jobs]


# Values


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("1:5", ["1", "2", "3", "4", "5"]),
        (" 1 : 3 ", ["1", "2", "3"]),
        ("{1:3}", ["1", "2", "3"]),
        ("-1:1", ["-1", "0", "1"]),
        ("0:10:5", ["0", "5", "10"]),
        ("0:9:5", ["0", "5"]),
        ("3:1:-1", ["3", "2", "1"]),
        ("7:7", ["7"]),
        ("0:1:0.5", ["0.0", "0.5", "1.0"]),
        ("0.5:2", ["0.5", "1.5"]),
        ("0.0:1.0:0.1", [str(n / 10) for n in range(11)]),
        ("1:0.9:-0.05", ["1.0", "0.95", "0.9"]),
        ("[1,5,10]", ["1", "5", "10"]),
        ("[0.0001, 1e-7, 1.50]", ["0.0001", "1e-07", "1.5"]),
        ("['a','b,c', \"d'e\"]", ["a", "b,c", "d'e"]),
        (r"['it\'s', 'a\\b']", ["it's", r"a\b"]),
        ("[adam, sgd x]", ["adam", "sgd x"]),
        ("['1', 2]", ["1", "2"]),
        ("[1, 2, ]", ["1", "2"]),
        ("train", ["train"]),
        ("http://host", ["http://host"]),
        ("5", ["5"]),
        (5, ["5"]),
        (0.1, ["0.1"]),
        (True, ["true"]),
        ((1, 2.5, "x", False, "[1,2]"), ["1", "2.5", "x", "false", "[1,2]"]),
        (("1:",), ["1:"]),
    ],
)
def test_values_are_read_in_all_forms(written: WrittenParameter, values: list[str]) -> None:
    assert commands("{v}", v=written) == values


@pytest.mark.parametrize("written", ["1:", ":1", "a:b:", "1:x", "1:2:x", "x:1:2", "1::2"])
def test_what_is_made_like_a_range_and_is_none_is_refused(written: str) -> None:
    ((path, message),) = problems(JobSpec(command="{v}", parameters={"v": written}))
    assert path == "jobs[0].parameters.v"
    assert message == f"{json.dumps(written)} is made like a range, and is none"


@pytest.mark.parametrize("written", [(), "[]", "2:1", "1:2:-1", "1:9:0", "['a]", "[,1]"])
def test_what_has_no_values_is_refused(written: WrittenParameter) -> None:
    assert [path for path, _ in problems(JobSpec(command="{v}", parameters={"v": written}))] == [
        "jobs[0].parameters.v"
    ]


def test_numbers_are_numbers_and_what_is_in_quotes_is_text() -> None:
    assert commands("{v:_<3}", v="['1', 1]") == ["1__", "1__"]
    assert commands("{v:03d}", v="[7]") == ["007"]
    assert problems(JobSpec(command="{v:03d}", parameters={"v": "['7']"})) == [
        ("jobs[0].command", '"{v:03d}" is no format for the text "7"')
    ]


@given(st.integers(-50, 50), st.integers(0, 40), st.integers(1, 7))
def test_a_range_is_what_range_gives_with_its_end_included(
    first: int, length: int, step: int
) -> None:
    last = first + length
    assert commands("{i}", i=f"{first}:{last}:{step}") == [
        str(i) for i in range(first, last + 1, step)
    ]


# Combinations


def test_a_product_goes_in_the_written_order_the_last_fastest() -> None:
    workflow = expand(JobSpec(name="{b}{a}", command="x", parameters={"b": "1:2", "a": "[x,y,z]"}))
    assert names(workflow) == ["1x", "1y", "1z", "2x", "2y", "2z"]


def test_zip_takes_the_values_side_by_side() -> None:
    job = JobSpec(
        name="{a}{b}",
        command="x",
        parameters={"a": "1:3", "b": ("x", "y", "z")},
        parameter_mode="zip",
    )
    assert names(expand(job)) == ["1x", "2y", "3z"]


def test_zip_of_unequal_lengths_names_both() -> None:
    job = JobSpec(
        name="{a}{b}", command="x", parameters={"a": "1:3", "b": "1:2"}, parameter_mode="zip"
    )
    assert problems(job) == [
        (
            "jobs[0].parameter_mode",
            'zip needs as many values of each parameter: "a" has 3, "b" has 2',
        )
    ]


def test_the_workflows_parameters_count_where_they_are_named() -> None:
    workflow = expand(
        JobSpec(name="all_{a}_{b}", command="{c}", use_parameters=("b", "a")),
        JobSpec(name="own_{a}", command="{b}", use_parameters=("a",), parameters={"a": "8:9"}),
        JobSpec(name="none_{a}", command="{a}"),
        parameters={"a": "1:2", "b": "[x,y]", "c": "1:9"},
    )
    assert names(workflow) == [
        "all_1_x",
        "all_2_x",
        "all_1_y",
        "all_2_y",
        "own_8",
        "own_9",
        "none_{a}",
    ]
    assert {job.command for job in workflow.jobs[4:6]} == {"{b}"}
    assert workflow.jobs[0].command == "{c}"


def test_jobs_without_a_name_are_counted_after_expansion() -> None:
    workflow = expand(
        JobSpec(command="a"), JobSpec(command="{i}", parameters={"i": "1:2"}), JobSpec(command="b")
    )
    assert names(workflow) == ["job_1", "job_2", "job_3", "job_4"]


def test_equal_names_are_refused() -> None:
    job = JobSpec(name="x{a}", command="{b}", parameters={"a": "1:2", "b": "1:2"})
    assert problems(job) == [("jobs[0].name", 'the parameters make the name "x1" more than once')]
    other = JobSpec(name="x2", command="b")
    assert problems(JobSpec(name="x{a}", command="c", parameters={"a": "1:2"}), other) == [
        ("jobs[1].name", 'job "x2" is already at jobs[0]')
    ]


def test_a_job_whose_parameters_are_only_in_its_references_is_one_that_waits_for_all() -> None:
    workflow = expand(
        JobSpec(name="t_{a}_{b}", command="{a}", use_parameters=("a", "b")),
        JobSpec(
            name="all",
            command="sum",
            depends_on=("t_{a}_{b}", "t_1_x"),
            input_files=("f_{a}",),
            use_parameters=("a", "b"),
        ),
        parameters={"a": "1:2", "b": "[x,y]"},
        files=(FileSpec(name="f_{a}", path="f/{a}", use_parameters=("a",)),),
    )
    last = workflow.jobs[-1]
    assert (len(workflow.jobs), last.name) == (5, "all")
    assert last.depends_on == (1, 2, 3, 4)
    assert last.input_files == (6, 7)


def test_a_parameter_that_is_only_in_references_is_gathered_for_each_of_the_others() -> None:
    workflow = expand(
        JobSpec(name="t_{a}_{b}", command="x", use_parameters=("a", "b")),
        JobSpec(
            name="r_{a}", command="y {a}", depends_on=("t_{a}_{b}",), use_parameters=("a", "b")
        ),
        parameters={"a": "1:2", "b": "[x,y]"},
    )
    assert names(workflow)[4:] == ["r_1", "r_2"]
    assert [job.depends_on for job in workflow.jobs[4:]] == [(1, 2), (3, 4)]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.lists(st.integers(-9, 9), min_size=1, max_size=4, unique=True),
        min_size=1,
    )
)
def test_names_are_those_of_all_combinations_each_once(values: dict[str, list[int]]) -> None:
    name = "_".join(f"{{{parameter}}}" for parameter in values)
    written = {parameter: tuple(items) for parameter, items in values.items()}
    workflow = expand(JobSpec(name=name, command="x", parameters=written))
    assert names(workflow) == ["_".join(map(str, c)) for c in product(*values.values())]


# Where they are put in


def test_every_text_of_a_job_has_its_parameters_put_in() -> None:
    workflow = expand(
        JobSpec(name="before_2", command="a"),
        JobSpec(
            name="j{i}",
            command="run {i} {i:03d} {i:>4}| ${{files.input.f{i}}} ${files.output.g_{i}}",
            invocation_script="env N={i}",
            depends_on=("before_{i}",),
            input_files=("f{i}", Entry(name="h{i}", cli_arg="--h{i}")),
            output_user_data=("v{i}",),
            env={"A{i}": "{i}"},
            cwd="sub{i}",
            parameters={"i": 2},
        ),
        files=tuple(
            FileSpec(name=f"{n}{{i}}", path="{i:02d}/" + n, parameters={"i": "[2]"})
            for n in ("f", "g_", "h")
        ),
        user_data=(UserDataSpec(name="v{i}", parameters={"i": "2:2"}),),
    )
    job = workflow.jobs[1]
    assert job.name == "j2"
    assert job.command == ("env N=2 run 2 002    2| ${{files.input.f2}} /d/02/g_ --h2=/d/02/h")
    assert (job.depends_on, job.input_files, job.output_files) == ((1,), (3, 5), (4,))
    assert job.output_user_data == (6,)
    assert job.env == {"A2": "2"}
    assert job.cwd == "/d/sub2"


def test_a_list_command_has_them_put_in_word_by_word() -> None:
    workflow = expand(JobSpec(command=("echo", "{a}-{b}", "{c}"), parameters={"a": 1, "b": "x y"}))
    assert workflow.jobs[0].command == ("echo", "1-x y", "{c}")


def test_braces_that_are_no_parameter_are_left_alone() -> None:
    text = """awk '{print $1}' {} {{}} ${i} ${HOME} {"k": 1} {j} {i!r} { i } {a,b} {i:{w}}"""
    assert commands(text, i="4") == [text]


def test_one_parameter_may_stand_in_a_text_in_several_ways() -> None:
    assert commands("{lr} {lr:.4f} {lr:.0e} {lr}", lr="[0.001]") == ["0.001 0.0010 1e-03 0.001"]


def test_texts_of_data_have_them_put_in_and_all_else_stays_as_written() -> None:
    item = UserDataSpec(
        name="c{e}",
        data=msgspec.Raw(
            b'{"{e}": "a\\n{e}\\"", "n": 1.10, "big": 123456789012345678901234567890}'
        ),
        parameters={"e": ('q"', "y")},
    )
    workflow = expand(JobSpec(command="x"), user_data=(item,))
    assert [bytes(d.data or b"") for d in workflow.user_data] == [
        b'{"q\\"": "a\\nq\\"\\"", "n": 1.10, "big": 123456789012345678901234567890}',
        b'{"y": "a\\ny\\"", "n": 1.10, "big": 123456789012345678901234567890}',
    ]


# Bounds


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (JobSpec(command="{i}", parameters={"i": "1:1000001"}), "more than 1000000 values"),
        (
            JobSpec(command="{i}{j}", parameters={"i": "1:1001", "j": "1:1000"}),
            "1001000 combinations, and there may be 1000000",
        ),
        (JobSpec(command="{i:01001d}", parameters={"i": 1}), "wider than 1000"),
        (JobSpec(command="{i:.1001f}", parameters={"i": 0.5}), "wider than 1000"),
        (
            JobSpec(command="{i:01000d}" * 20, parameters={"i": "1:100000"}),
            "the copies of all texts come to more than 536870912 characters",
        ),
        (
            JobSpec(command=tuple(["{i:01000d}"] * 20), parameters={"i": "1:100000"}),
            "the copies of all texts come to more than 536870912 characters",
        ),
        (
            JobSpec(command="{i:01000d}", name="{i:0999d}", parameters={"i": "1:300000"}),
            "the copies of all texts come to more than 536870912 characters",
        ),
        (
            JobSpec(command="x" * 1_000_000 + "{i}", parameters={"i": "1:1000"}),
            "the copies of all texts come to more than 536870912 characters",
        ),
    ],
)
def test_what_would_be_too_much_is_refused_before_it_is_made(job: JobSpec, message: str) -> None:
    ((_, found),) = problems(job)
    assert message in found


def test_a_width_of_a_thousand_is_not_too_wide() -> None:
    assert commands("{i:01000d}", i=1) == ["1".zfill(1000)]


def test_sections_together_may_not_be_too_long() -> None:
    job = JobSpec(name="{i}", command="x", parameters={"i": "1:3"})
    with pytest.raises(InvalidSpec) as refused:
        spec.expand(WorkflowSpec(jobs=(job,)), directory="/", default_name="w", max_jobs=2)
    assert str(refused.value) == "jobs: the workflow has 3 jobs, and may have 2"


def test_what_is_wrong_with_many_copies_is_said_once() -> None:
    job = JobSpec(name="a{i}", command="x", depends_on=("b{i}",), parameters={"i": "1:500"})
    assert problems(job) == [("jobs[0].depends_on[0]", 'unknown job "b1", and 499 more like it')]


def test_names_that_wrong_parameters_would_have_made_are_not_missed() -> None:
    wrong = JobSpec(name="a{i}", command="x", parameters={"i": "1:"})
    after = JobSpec(name="b", command="x", depends_on=("a1",))
    assert [path for path, _ in problems(wrong, after)] == ["jobs[0].parameters.i"]


@pytest.mark.large
def test_a_hundred_thousand_copies_expand() -> None:
    jobs = (
        JobSpec(name="a{i}", command="run {i}", parameters={"i": "1:50000"}),
        JobSpec(name="b{i}", command="x", depends_on=("a{i}",), parameters={"i": "1:50000"}),
    )
    workflow = expand(*jobs)
    assert len(workflow.jobs) == 100_000
    assert workflow.jobs[-1].depends_on == (50_000,)


# In every format


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("w.json5", "{jobs: [{name: 'a{x}_{y}', command: 'c', parameters: {x: '1:2', y: [.5]}}]}"),
        (
            "w.yaml",
            "jobs:\n- name: a{x}_{y}\n  command: c\n  parameters:\n    x: 1:2\n    y: [0.5]\n",
        ),
        (
            "w.toml",
            '[[jobs]]\nname = "a{x}_{y}"\ncommand = "c"\nparameters = {x = "1:2", y = [0.5]}\n',
        ),
    ],
)
def test_parameters_are_the_same_in_all_formats(file: str, text: str) -> None:
    document = spec.read(text.encode(), file=file)
    workflow = spec.expand(document.spec, directory="/", default_name="w")
    assert names(workflow) == ["a1_0.5", "a2_0.5"]


def _wrong(name: str | None) -> JobSpec:
    return JobSpec(name=name, command="{i:03d}", parameters={"i": ("x",)})


@pytest.mark.parametrize(
    ("name", "unknown", "is_told"),
    [
        ("a_{i}_b", "a_x_b", False),
        ("a_{i}_b", "a_x_c", True),
        ("a_{i}_b", "b_x_b", True),
        ("{i}", "anything", False),
        (None, "job_7", False),
        ("a_{i}", "job_7", False),
        (None, "jobs", True),
        ("a", "aa", True),
    ],
)
def test_an_unknown_name_is_told_unless_wrong_parameters_would_have_made_it(
    name: str | None, unknown: str, is_told: bool
) -> None:
    told = [
        place for place, _ in problems(_wrong(name), JobSpec(command="b", depends_on=(unknown,)))
    ]
    assert told == ["jobs[0].command"] + ["jobs[1].depends_on[0]"] * is_told


def test_of_a_spec_with_wrong_parameters_everywhere_these_come_first() -> None:
    wrong = [_wrong(f"a{n}_{{i}}") for n in range(101)]
    told = problems(*wrong, JobSpec(name="b", command="b", depends_on=("c",)))
    assert all(place.endswith("].command") for place, _ in told)
    told = problems(*wrong[1:], JobSpec(name="b", command="b", depends_on=("c",)))
    assert ("jobs[100].depends_on[0]", 'unknown job "c"') in told
