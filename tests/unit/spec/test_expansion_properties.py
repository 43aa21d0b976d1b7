"""What holds of every expansion, whatever is in it."""

import itertools
import re
import subprocess
from collections.abc import Sequence
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from torcd import model, spec
from torcd.spec import FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.spec.making import REGEXES
from torcd.spec.parameters import Reader
from torcd.spec.schema import Entry
from torcd.spec.templates import Budget
from torcd.spec.unrolling import Unrolled


def expand(*jobs: JobSpec, directory: str = "/d", **fields: Any) -> model.Workflow:
    workflow = WorkflowSpec(jobs=jobs, **fields)
    return spec.expand(workflow, directory=directory, default_name="w")


def copies(item: Any) -> list[Any]:
    section = {JobSpec: "jobs", FileSpec: "files", UserDataSpec: "user_data"}[type(item)]
    unrolled = Unrolled(section, [item], Reader(None), Budget())
    assert unrolled.findings == []
    return [copy for source in unrolled for copy in source]


# Texts, put together beside what they have to become

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="{}$\0"), max_size=8)
NO_PARAMETERS = st.sampled_from(
    [
        *("{", "}", "{}", "{{", "}}", "${p}", "${HOME}", "${p:-x}", "{print $1}", '{"a": [1]}'),
        *("{ p }", "{q}", "{p!r}", "{p.x}", "{p[0]}", "{,}", "{1..3}", "$(x)", "${files.input.p}"),
    ]
)
FORMATS = {
    int: ["", "03d", "d", ">6", "<6", "^6", "+d", "x", "b", ",", "e", ".2f", "%", "c"],
    float: ["", ".4f", ".0e", "g", ">12", "+.1f", "%", "010.3f"],
    str: ["", ">8", "<8", "^8", "s", ".3s", "*^9"],
}
VALUES = (
    st.integers(0, 10**6)
    | st.floats(-1e6, 1e6)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
)


@st.composite
def texts(draw: st.DrawFn, values: Sequence[int | float | str]) -> tuple[str, list[str]]:
    """A text with `{p}` in it, and what it becomes for each of the values."""
    written, become = "", [""] * len(values)
    of_all = set.intersection(*(set(FORMATS[type(value)]) for value in values))
    for _ in range(draw(st.integers(1, 5))):
        match draw(st.sampled_from(["text", "braces", "parameter"])):
            case "parameter":
                form = draw(st.sampled_from(sorted(of_all)))
                pairs = zip(become, values, strict=True)
                # A dollar sign before it would make it the shell's.
                written += " {p:" + form + "}" if form else " {p}"
                become = [f"{b} {format(v, form) if form else v}" for b, v in pairs]
            case kind:
                piece = draw(TEXTS if kind == "text" else NO_PARAMETERS)
                written += " " + piece
                become = [f"{b} {piece}" for b in become]
    return written, become


def one_kind() -> st.SearchStrategy[list[int | float | str]]:
    lists: Any = st.one_of(
        st.lists(st.integers(0, 10**6), min_size=1, max_size=3),
        st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3),
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
            min_size=1,
            max_size=3,
        ),
    )
    return lists  # type: ignore[no-any-return]


def text_fields(item: type[msgspec.Struct]) -> list[str]:
    """Every field of an item that texts may stand in."""
    apart = {"parameters", "parameter_mode", "use_parameters", "stdio", "available", "schema"}
    kinds = (str, tuple, dict, msgspec.Raw)
    return [
        field.name
        for field in msgspec.structs.fields(item)
        if field.name not in apart and any(k.__name__ in str(field.type) for k in kinds)
    ]


def test_the_fields_with_texts_are_all_there_are() -> None:
    assert {"name", "command", "env", "cwd", "failure_handler"} <= set(text_fields(JobSpec))
    assert text_fields(FileSpec) == ["name", "path"]
    assert text_fields(UserDataSpec) == ["name", "data"]


@pytest.mark.parametrize("field", sorted({*text_fields(JobSpec)} - REGEXES))
@settings(deadline=None, max_examples=25)
@given(st.data())
def test_each_text_field_of_a_job_becomes_what_python_formats(
    field: str, data: st.DataObject
) -> None:
    values = data.draw(one_kind())
    written, become = data.draw(texts(values))
    if field in ("depends_on", "blocked_by") or field.startswith(("input_", "output_")):
        item = JobSpec(command="{p}", **{field: ("x", written)})
        expected: list[object] = [("x", text) for text in become]
    elif field == "env":
        item = JobSpec(command="{p}", env={"A": written})
        expected = [{"A": text} for text in become]
    else:
        item = JobSpec(**{"command": "{p}", field: written})
        expected = list(become)
    item = msgspec.structs.replace(item, parameters={"p": tuple(values)})
    assert [getattr(copy, field) for copy in copies(item)] == expected


@settings(deadline=None, max_examples=60)
@given(one_kind(), st.data())
def test_names_of_variables_list_items_entries_and_data_do_too(
    values: list[int | float | str], data: st.DataObject
) -> None:
    written, become = data.draw(texts(values))
    parameters = {"p": tuple(values)}
    job = JobSpec(
        command=("run", written),
        env={written: "1"},
        input_files=(Entry(name=written, cli_arg=written),),
        parameters=parameters,
    )
    assert copies(job) == [
        JobSpec(
            command=("run", text),
            env={text: "1"},
            input_files=(Entry(name=text, cli_arg=text),),
        )
        for text in become
    ]
    file = FileSpec(name="{p}", path=written, parameters=parameters)
    assert [copy.path for copy in copies(file)] == become
    raw = msgspec.Raw(msgspec.json.encode({"a": [written, 1], written: None}))
    value = UserDataSpec(name="{p}", data=raw, parameters=parameters)
    assert [msgspec.json.decode(copy.data) for copy in copies(value)] == [
        {"a": [text, 1], text: None} for text in become
    ]


@pytest.mark.parametrize("field", sorted(REGEXES))
@given(VALUES)
def test_a_value_in_a_regex_means_its_own_text(field: str, value: int | float | str) -> None:
    job = JobSpec(
        **{"command": "x", field: ("^a{p}b$", "{p:>9}|x{2,3}")}, parameters={"p": (value,)}
    )
    (copy,) = copies(job)
    exact, other = getattr(copy, field)
    assert re.search(exact, f"a{value}b")
    assert not re.search(exact, f"a{value}bb")
    assert re.fullmatch(other, f"{value:>9}")
    assert re.fullmatch(other, "xxx")


# Combinations

LENGTHS = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@given(LENGTHS)
def test_the_order_is_the_order_written_and_stays(lengths: list[int]) -> None:
    parameters = {f"p{n}": tuple(range(length)) for n, length in enumerate(lengths)}
    name = "_".join(f"{{p{n}}}" for n in range(len(lengths)))
    job = JobSpec(name=name, command="x", parameters=parameters)
    workflow = expand(job)
    expected = ["_".join(map(str, c)) for c in itertools.product(*parameters.values())]
    assert [made.name for made in workflow.jobs] == expected
    assert len(set(expected)) == len(expected)
    assert expand(job) == workflow


@given(LENGTHS)
def test_zip_goes_side_by_side_or_names_the_lengths(lengths: list[int]) -> None:
    parameters = {f"p{n}": tuple(range(length)) for n, length in enumerate(lengths)}
    name = "_".join(f"{{p{n}}}" for n in range(len(lengths)))
    job = JobSpec(name=name, command="x", parameters=parameters, parameter_mode="zip")
    found = spec.check(WorkflowSpec(jobs=(job,)))
    if len(set(lengths)) == 1:
        assert found == []
        assert [made.name for made in expand(job).jobs] == [
            "_".join([str(n)] * len(lengths)) for n in range(lengths[0])
        ]
    else:
        (problem,) = found
        other = next(n for n, length in enumerate(lengths) if length != lengths[0])
        assert f'"p0" has {lengths[0]}, "p{other}" has {lengths[other]}' in problem.message


@given(st.lists(st.sampled_from("abcd"), max_size=4, unique=True), st.sampled_from("abcd"))
def test_own_parameters_go_before_those_of_the_workflow(used: list[str], own: str) -> None:
    shared = {name: (f"shared_{name}",) for name in "abc"}
    job = JobSpec(
        name="{a}{b}{c}{d}", command="x", use_parameters=tuple(used), parameters={own: "own"}
    )
    unknown = [name for name in used if name not in shared and name != own]
    problems = [p.path for p in spec.check(WorkflowSpec(jobs=(job,), parameters=shared))]
    assert problems == [f"jobs[0].use_parameters[{used.index(name)}]" for name in unknown]
    assume(not unknown)
    (made,) = expand(job, parameters=shared).jobs
    has = {**{name: f"shared_{name}" for name in used}, own: "own"}
    assert made.name == "".join(has.get(name, f"{{{name}}}") for name in "abcd")


# Ranges

DECIMALS = st.decimals(-100, 100, places=3, allow_nan=False)


@given(DECIMALS, st.integers(0, 50), st.decimals("0.001", 10, places=3), st.booleans())
def test_a_range_of_floats_has_no_error_of_adding_up(
    first: Decimal, count: int, step: Decimal, down: bool
) -> None:
    step = -step if down else step
    last = first + count * step
    job = JobSpec(command="{p}", parameters={"p": f"{first:.3f}:{last:.3f}:{step:.3f}"})
    assert [copy.command for copy in copies(job)] == [
        str(float(first + n * step)) for n in range(count + 1)
    ]


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-7, 7))
def test_a_range_has_its_ends_or_is_refused(first: int, last: int, step: int) -> None:
    job = JobSpec(command="{p}", parameters={"p": f"{first}:{last}:{step}"})
    found = [problem.message for problem in spec.check(WorkflowSpec(jobs=(job,)))]
    if step == 0:
        assert found == ["the step of a range cannot be 0"]
    elif (last - first) * step < 0:
        assert found == [f"the range from {first} to {last} has no values"]
    else:
        end = last + (1 if step > 0 else -1)
        assert found == []
        assert [c.command for c in copies(job)] == [str(n) for n in range(first, end, step)]


# Paths on a command line

PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
NASTY = ["-rf", "a b", "it's", 'a"b', "a\nb", "$HOME", "`id`", "*", "~", "a\\", "!x", "#", "&", ";"]


@settings(deadline=None, max_examples=20)
@given(st.lists(PATHS, min_size=1, max_size=20))
def test_bash_sees_each_path_as_it_is(paths: list[str]) -> None:
    paths = paths + NASTY
    files = tuple(FileSpec(name=f"f{n}", path=path) for n, path in enumerate(paths))
    words = [f"${{files.input.f{n}}}" for n in range(len(paths))]
    as_text, as_list = expand(
        JobSpec(command="printf '%s\\0' " + " ".join(words)),
        JobSpec(command=("printf", "%s\\0", *words)),
        files=files,
    ).jobs
    expected = [path if path.startswith("/") else f"/d/{path}" for path in paths]
    seen = []
    assert isinstance(as_text.command, str)
    for argv in (["bash", "-c", as_text.command], list(as_list.command)):
        done = subprocess.run(argv, capture_output=True, check=True)
        seen.append([word.decode() for word in done.stdout.split(b"\0")[:-1]])
    normal = [str(PurePosixPath(path)) for path in expected]  # `a//b` and `a/./b` are `a/b`
    assert seen == [normal, normal]
    assert not any(path.startswith("-") for path in normal)
