"""Regexes stand for sets of names, and sets that jobs share are groups."""

import re
import time

import msgspec
import pytest

from torcd import graph, model, spec
from torcd.spec import FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.spec.matching import NOT_TRIED, TOO_SLOW, Names, Problem


def expand(*jobs: JobSpec, **fields: object) -> model.Workflow:
    written = msgspec.structs.replace(WorkflowSpec(jobs=jobs), **fields)
    return spec.expand(written, directory="/", default_name="w")


def told(*jobs: JobSpec, **fields: object) -> list[tuple[str, str, str]]:
    written = msgspec.structs.replace(WorkflowSpec(jobs=jobs), **fields)
    return [(p.severity, p.path, p.message) for p in spec.check(written)]


def many(name: str, count: int, **fields: object) -> JobSpec:
    job = JobSpec(name=f"{name}_{{i}}", command="x", parameters={"i": f"1:{count}"})
    return msgspec.structs.replace(job, **fields)


# What they find


def test_a_regex_is_searched_for_anywhere_in_a_name() -> None:
    jobs = [JobSpec(name=name, command="x") for name in ("ab", "xabx", "b", "AB")]
    last = expand(*jobs, JobSpec(name="last", command="y", depends_on_regexes=("ab",))).jobs[-1]
    assert last.depends_on == (1, 2)


def test_several_regexes_and_names_come_together_each_once() -> None:
    jobs = [JobSpec(name=name, command="x") for name in ("a1", "b1", "c1")]
    last = JobSpec(
        name="last", command="y", depends_on=("c1",), depends_on_regexes=("^[bc]", "^a", "1$")
    )
    assert expand(*jobs, last).jobs[-1].depends_on == (3, 1, 2)


def test_files_and_user_data_are_found_as_jobs_are() -> None:
    (first, second) = expand(
        JobSpec(command="a", output_file_regexes=("^o",), output_user_data_regexes=("[12]",)),
        JobSpec(command="b", input_file_regexes=("^[oi]",), input_user_data_regexes=("v",)),
        files=tuple(FileSpec(name=n, path=n) for n in ("o1", "o2", "i", "x")),
        user_data=tuple(UserDataSpec(name=n) for n in ("v1", "v2", "v3")),
    ).jobs
    assert (first.output_files, first.output_user_data) == ((3, 4), (7, 8))
    assert (second.input_files, second.input_user_data) == ((3, 4, 5), (7, 8, 9))


def test_a_parameter_in_a_regex_means_its_text_and_nothing_else() -> None:
    workflow = expand(
        JobSpec(name="a1.5x", command="x"),
        JobSpec(name="a1y5x", command="x"),
        JobSpec(
            name="b{v}", command="y", depends_on_regexes=("^a{v}.$",), parameters={"v": (1.5,)}
        ),
    )
    assert workflow.jobs[2].depends_on == (1,)


def test_what_only_braces_of_a_regex_are_stays_as_it_is() -> None:
    workflow = expand(
        JobSpec(name="a11", command="x"),
        JobSpec(name="b{i}", command="y", depends_on_regexes=(r"^a\d{2}$",), parameters={"i": 1}),
    )
    assert workflow.jobs[1].depends_on == (1,)


# What is said of them


def test_a_bad_regex_is_refused() -> None:
    assert told(JobSpec(command="a", depends_on_regexes=("a", "(b"))) == [
        (
            "error",
            "jobs[0].depends_on_regexes[1]",
            '"(b": bad regex: missing ), unterminated subpattern at character 1',
        ),
        ("warning", "jobs[0].depends_on_regexes[0]", '"a" is found in no name of a job'),
    ]


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("depends_on_regexes", "job"),
        ("input_file_regexes", "file"),
        ("output_file_regexes", "file"),
        ("input_user_data_regexes", "user_data"),
        ("output_user_data_regexes", "user_data"),
    ],
)
def test_one_that_finds_nothing_is_a_warning(field: str, kind: str) -> None:
    job = msgspec.structs.replace(JobSpec(command="a"), **{field: ("zzz",)})
    assert told(job) == [
        ("warning", f"jobs[0].{field}[0]", f'"zzz" is found in no name of a {kind}')
    ]
    assert expand(job).jobs[0] == model.Job(
        key=model.JobKey(1), name="job_1", command="a", has_regexes=True
    )


def test_a_job_that_finds_itself_waits_for_itself() -> None:
    first, second = JobSpec(name="b1", command="a"), JobSpec(name="b2", command="a")
    second = msgspec.structs.replace(second, depends_on_regexes=("^b",))
    (problem,) = spec.check(WorkflowSpec(jobs=(first, second)))
    assert problem.message == ('the job waits for itself: "b2" -> "b2" (by depends_on_regexes)')
    assert problem.hint == "a regex is searched for anywhere in a name; anchor it with ^ and $"


def test_a_cycle_through_a_group_names_the_jobs() -> None:
    jobs = (
        many("a", 100, depends_on_regexes=("^b",)),
        many("b", 100, depends_on_regexes=("^a",)),
    )
    ((severity, path, message),) = told(*jobs)
    assert (severity, path) == ("error", "jobs[0]")
    assert message == (
        'jobs wait for one another: "a_1" -> "b_1" (by depends_on_regexes) '
        '-> "a_1" (by depends_on_regexes)'
    )


# Groups


def test_jobs_that_wait_for_the_same_many_share_a_group() -> None:
    workflow = expand(
        many("a", 100),
        many("b", 100, depends_on_regexes=("^a_",)),
        many("c", 100, depends_on_regexes=("^a", "^b_100$"), depends_on=("b_{i}",)),
        JobSpec(name="end", command="x", depends_on_regexes=("^a_", "^b_")),
    )
    assert [len(group.members) for group in workflow.groups] == [100, 101]
    assert workflow.groups[0].key == 302
    assert {job.awaits for job in workflow.jobs[100:200]} == {(302,)}
    c = workflow.jobs[200]
    assert (c.awaits, c.depends_on) == ((303,), (101,))
    assert workflow.depends_on(c) == (101, *range(1, 101), 200)
    assert workflow.jobs[-1].awaits == ()
    assert len(workflow.jobs[-1].depends_on) == 200
    assert workflow.size == 304


def test_what_few_share_stays_in_their_lists() -> None:
    workflow = expand(many("a", 3), many("b", 3, depends_on_regexes=("^a",)))
    assert workflow.groups == ()
    assert {job.depends_on for job in workflow.jobs[3:]} == {(1, 2, 3)}


def test_files_that_many_read_are_a_group_and_what_they_make_is_their_own() -> None:
    workflow = expand(
        many("a", 20, output_file_regexes=("^f_{i}$",)),
        many("b", 20, input_file_regexes=("^f_",)),
        files=(FileSpec(name="f_{i}", path="f{i}", parameters={"i": "1:20"}),),
    )
    assert [job.output_files for job in workflow.jobs[:2]] == [(41,), (42,)]
    (group,) = workflow.groups
    assert (group.kind, group.members) == ("file", tuple(range(41, 61)))
    assert workflow.input_files(workflow.jobs[20]) == tuple(range(41, 61))


def test_more_names_than_can_be_kept_are_refused() -> None:
    files = (FileSpec(name="f_{i}", path="f{i}", parameters={"i": "1:3000"}),)
    ((_, path, message),) = told(many("a", 2000, output_file_regexes=("^f",)), files=files)
    assert path == "jobs[0].output_file_regexes"
    assert "find 6000000 names, and may find 5000000" in message


def test_barriers_between_thousands_take_a_second_and_few_pairs() -> None:
    stages = [many("s0", 1000)]
    stages += [many(f"s{n}", 1000, depends_on_regexes=(f"^s{n - 1}_",)) for n in range(1, 5)]
    start = time.process_time()
    workflow = expand(*stages)
    assert time.process_time() - start < 2
    assert len(workflow.jobs) == 5000
    assert sum(len(group.members) for group in workflow.groups) == 4000
    assert not any(job.depends_on for job in workflow.jobs)
    entries = sum(
        len(gate.producers) + len(gate.consumers) + len(gate.members)
        for gate in graph.gates(workflow)
    )
    assert entries < 3 * len(workflow.jobs)


# Searching


NAMES = ("a_1", "a_10", "ab", "b_1", "A_1", "x.y", "", "a" * 40)


@pytest.mark.parametrize(
    "regex",
    [
        "a",
        "^a",
        "^a_1",
        "^a_1$",
        "^a_1*",
        "^a_10?$",
        "^a_10{0}",
        "^a_1+$",
        r"^x\.y$",
        "^a|b",
        "^(?:a|b)_1$",
        "(?i)^a_1",
        "(a+)+$",
        r"(.)\1{5}",
        "",
        r"_\d+_?\d*$",
        "a*a*a*b",
        "[*+?()]",
    ],
)
def test_a_regex_is_found_where_python_finds_it(regex: str) -> None:
    expected = [place for place, name in enumerate(NAMES) if re.search(regex, name)]
    assert Names(NAMES).search([regex]) == {regex: expected}


@pytest.mark.large
def test_a_regex_that_would_take_for_ever_is_given_up_and_the_others_are_not() -> None:
    slow = ["(a+)+b", "(a|a)*b", "(a*)*b", "(a+)*b"]
    names = Names(["a" * 60])
    answers = names.search(["a", slow[0], "(aa)+$"])
    assert answers == {"a": [0], slow[0]: Problem(TOO_SLOW), "(aa)+$": [0]}
    assert [
        found.message for found in names.search(slow).values() if isinstance(found, Problem)
    ] == [TOO_SLOW] * 3 + [NOT_TRIED]


def test_simple_regexes_need_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", None)
    names = Names([f"stage1_process_{n:03d}" for n in range(100)])
    answers = names.search([r"^stage1_.*_09\d$", r"_(?:001|002)$"])
    assert [len(answer) for answer in answers.values() if isinstance(answer, list)] == [10, 2]
