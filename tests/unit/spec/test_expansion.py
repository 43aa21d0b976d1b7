"""What a spec means: keys, defaults, paths, names, final commands, and the rules of each."""

import subprocess

import msgspec
import pytest

from torcd import model, spec
from torcd.errors import InvalidSpec
from torcd.spec import Entry, FileSpec, JobSpec, UserDataSpec, WorkflowSpec


def expand(*jobs: JobSpec, first_key: int = 0, **fields: object) -> model.Workflow:
    return spec.expand(
        msgspec.structs.replace(WorkflowSpec(jobs=jobs), **fields),
        directory="/home/a b",
        default_name="night",
        first_key=first_key,
    )


def problems(*jobs: JobSpec, **fields: object) -> list[tuple[str, str]]:
    written = msgspec.structs.replace(WorkflowSpec(jobs=jobs), **fields)
    return [(p.path, p.message) for p in spec.check(written)]


FILES = (FileSpec(name="in", path="data/in put.csv"), FileSpec(name="out", path="/abs/out"))
VALUES = (UserDataSpec(name="v"), UserDataSpec(name="w"))


# Keys, defaults and paths


def test_keys_are_the_workflow_then_jobs_then_files_then_user_data() -> None:
    workflow = expand(
        JobSpec(command="a"), JobSpec(command="b"), first_key=10, files=FILES, user_data=VALUES
    )
    assert workflow.key == 10
    assert [job.key for job in workflow.jobs] == [11, 12]
    assert [file.key for file in workflow.files] == [13, 14]
    assert [item.key for item in workflow.user_data] == [15, 16]
    assert workflow.size == 7


def test_references_become_keys() -> None:
    first, second = expand(
        JobSpec(command="a", output_files=("in",), output_user_data=("w",)),
        JobSpec(
            command="b",
            depends_on=("job_1",),
            input_files=("out", Entry(name="in")),
            input_user_data=("w", "v"),
        ),
        files=FILES,
        user_data=VALUES,
        first_key=70,
    ).jobs
    assert (first.output_files, first.output_user_data) == ((73,), (76,))
    assert (second.depends_on, second.input_files) == ((71,), (74, 73))
    assert second.input_user_data == (76, 75)


def test_defaults_are_put_in() -> None:
    workflow = expand(JobSpec(command="a"), user_data=VALUES[:1])
    assert workflow.name == "night"
    assert workflow.directory == "/home/a b"
    assert workflow.jobs == (model.Job(key=model.JobKey(1), name="job_1", command="a"),)
    assert workflow.user_data == (model.UserData(key=model.DataKey(2), name="v"),)


def test_what_is_given_is_kept() -> None:
    workflow = expand(
        JobSpec(
            command="a",
            name="one",
            cancel_on_blocking_job_failure=False,
            supports_termination=True,
            priority=-3,
            env={"A": "1"},
            cwd="sub",
            stdio="none",
        ),
        name="given",
        description="what for",
        user="me",
        env={"B": "2"},
        user_data=(
            UserDataSpec(
                name="v", data=msgspec.Raw(b" 1.0 "), is_ephemeral=True, available="on_store"
            ),
        ),
    )
    assert workflow == model.Workflow(
        key=model.WorkflowKey(0),
        name="given",
        description="what for",
        user="me",
        env={"B": "2"},
        directory="/home/a b",
        jobs=(
            model.Job(
                key=model.JobKey(1),
                name="one",
                command="a",
                cancel_on_blocking_job_failure=False,
                supports_termination=True,
                priority=-3,
                env={"A": "1"},
                cwd="/home/a b/sub",
                stdio="none",
            ),
        ),
        user_data=(
            model.UserData(
                key=model.DataKey(2),
                name="v",
                data=msgspec.Raw(b"1.0"),
                is_ephemeral=True,
                available="on_store",
            ),
        ),
    )


def test_relative_paths_are_taken_from_the_directory_of_the_spec() -> None:
    workflow = expand(JobSpec(command="a", cwd="/elsewhere"), files=FILES)
    assert [file.path for file in workflow.files] == ["/home/a b/data/in put.csv", "/abs/out"]
    assert workflow.jobs[0].cwd == "/elsewhere"


def test_null_data_from_the_wire_is_no_value() -> None:
    text = b'{"jobs": [{"command": "a"}], "user_data": [{"name": "v", "data": null}]}'
    arrived = msgspec.json.decode(text, type=WorkflowSpec)
    (item,) = spec.expand(arrived, directory="/", default_name="w").user_data
    assert item.data is None


def test_depends_on_keeps_its_order_and_names_each_job_once() -> None:
    jobs = [JobSpec(command="a") for _ in range(3)]
    workflow = expand(*jobs, JobSpec(command="b", depends_on=("job_3", "job_1", "job_3")))
    assert workflow.jobs[3].depends_on == (3, 1)


# Commands


def words_in_bash(command: str | tuple[str, ...]) -> list[str]:
    """The words that a program called by a text command gets."""
    assert isinstance(command, str)
    text = f'show() {{ printf "%s\\0" "$@"; }}\n{command}'
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def test_placeholders_become_paths_quoted_for_the_shell_and_keys() -> None:
    (job,) = expand(
        JobSpec(command="show ${files.input.in} ${files.output.out} ${user_data.input.v}"),
        files=FILES,
        user_data=VALUES,
        first_key=100,
    ).jobs
    assert words_in_bash(job.command) == ["/home/a b/data/in put.csv", "/abs/out", "104"]


def test_placeholders_in_a_list_become_paths_as_they_are() -> None:
    (job,) = expand(
        JobSpec(command=("show", "--in=${files.input.in}", "${user_data.output.w}")),
        files=FILES,
        user_data=VALUES,
    ).jobs
    assert job.command == ("show", "--in=/home/a b/data/in put.csv", "5")


def test_placeholders_declare_what_they_name() -> None:
    (job,) = expand(
        JobSpec(
            command="${files.input.in} ${files.output.out} ${user_data.input.v} "
            "${user_data.output.w} ${files.input.in}",
            input_files=("in",),
        ),
        files=FILES,
        user_data=VALUES,
    ).jobs
    assert (job.input_files, job.output_files) == ((2,), (3,))
    assert (job.input_user_data, job.output_user_data) == ((4,), (5,))


def test_any_other_dollar_is_the_shells() -> None:
    text = "echo ${HOME} $files ${files} ${files.other.in} ${FILES.input.in} $${x} ${a:-{b}}"
    (job,) = expand(JobSpec(command=text), files=FILES).jobs
    assert job.command == text


def test_cli_arg_of_entries_is_appended_in_the_order_of_the_fields() -> None:
    as_text = JobSpec(
        command="show x \n",
        output_files=(Entry(name="out", cli_arg="--out"),),
        input_files=(Entry(name="in", cli_arg="--in"),),
        input_user_data=(Entry(name="v", cli_arg="--key"), Entry(name="w")),
    )
    as_list = msgspec.structs.replace(as_text, command=("show", "x"))
    expected = ["--in=/home/a b/data/in put.csv", "--out=/abs/out", "--key=4"]
    (text,) = expand(as_text, files=FILES, user_data=VALUES).jobs
    assert words_in_bash(text.command) == ["x", *expected]
    (words,) = expand(as_list, files=FILES, user_data=VALUES).jobs
    assert words.command == ("show", "x", *expected)


def test_an_invocation_script_on_one_line_stands_before_the_command() -> None:
    text, words = expand(
        JobSpec(command="printenv X", invocation_script="env X=1\n"),
        JobSpec(command=("printenv", "two words"), invocation_script="env 'two words=1'"),
    ).jobs
    for job in (text, words):
        assert isinstance(job.command, str)
        done = subprocess.run(["bash", "-c", job.command], capture_output=True, check=True)
        assert done.stdout == b"1\n"


def test_an_invocation_script_of_several_lines_runs_first_in_the_same_shell() -> None:
    script = "x=1\ny='a b'\n"
    (job,) = expand(JobSpec(command='show "$x" "$y"', invocation_script=script)).jobs
    assert words_in_bash(job.command) == ["1", "a b"]


# Rules


@pytest.mark.parametrize(
    ("job", "problem"),
    [
        (JobSpec(command=" \n"), ("jobs[0].command", "the command is empty")),
        (JobSpec(command=()), ("jobs[0].command", "the command is empty")),
        (JobSpec(command=("a", "b\0")), ("jobs[0].command[1]", "the text has a NUL character")),
        (JobSpec(command="a", name=""), ("jobs[0].name", "the name is empty")),
        (
            JobSpec(command="a", name="a\nb"),
            ("jobs[0].name", 'the name "a\\nb" has a line break or a NUL'),
        ),
        (JobSpec(command="a", cwd=""), ("jobs[0].cwd", "the directory is empty")),
        (JobSpec(command="a", cwd="\0"), ("jobs[0].cwd", "the text has a NUL character")),
        (
            JobSpec(command="a", invocation_script="\0"),
            ("jobs[0].invocation_script", "the text has a NUL character"),
        ),
        (
            JobSpec(command="a", env={"A": "\0"}),
            ("jobs[0].env.A", "the text has a NUL character"),
        ),
        (
            JobSpec(command="a", env={"": "x"}),
            ('jobs[0].env[""]', "the name of an environment variable is empty"),
        ),
        (
            JobSpec(command="a", env={"A=": "x"}),
            ('jobs[0].env["A="]', '"A=" cannot be the name of an environment variable'),
        ),
        (JobSpec(command="a", depends_on=("b",)), ("jobs[0].depends_on[0]", 'unknown job "b"')),
        (JobSpec(command="a", blocked_by=("b",)), ("jobs[0].blocked_by[0]", 'unknown job "b"')),
        (
            JobSpec(command="a", input_files=(Entry(name="b", cli_arg="\0"),)),
            ("jobs[0].input_files[0].cli_arg", "the text has a NUL character"),
        ),
        (
            JobSpec(command=("a", "${files.input.b}")),
            ("jobs[0].command[1]", 'unknown file "b"'),
        ),
        (
            JobSpec(command="${user_data.output.b}"),
            ("jobs[0].command", 'unknown user_data "b"'),
        ),
        (
            JobSpec(command="${files.input.f} ${files.output.f}"),
            ("jobs[0]", 'the job waits for itself: "job_1" -> "job_1" (through file "f")'),
        ),
        (
            JobSpec(command="a", depends_on=("job_1",)),
            ("jobs[0]", 'the job waits for itself: "job_1" -> "job_1" (by depends_on)'),
        ),
    ],
)
def test_a_wrong_job_is_refused(job: JobSpec, problem: tuple[str, str]) -> None:
    files = (FileSpec(name="f", path="f"),)
    assert problem in problems(job, files=files)
    with pytest.raises(InvalidSpec):
        expand(job, files=files)


def test_names_of_jobs_files_and_user_data_are_apart() -> None:
    assert not problems(
        JobSpec(command="a", name="x"),
        files=(FileSpec(name="x", path="x"),),
        user_data=(UserDataSpec(name="x"),),
    )


def test_a_workflow_without_jobs_is_refused() -> None:
    assert problems() == problems(jobs=None) == [("jobs", "there are no jobs")]


def test_a_workflow_of_too_many_jobs_is_refused() -> None:
    jobs = (JobSpec(command="a"),) * 3
    with pytest.raises(InvalidSpec) as refused:
        spec.expand(WorkflowSpec(jobs=jobs), directory="/", default_name="w", max_jobs=2)
    assert str(refused.value) == "jobs: the workflow has 3 jobs, and may have 2"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"[" * 65 + b"]" * 65, "levels deep"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'"\xff"', "not UTF-8"),
        (b"NaN", "NaN is not JSON"),
        (b'"' + b"x" * (16 * 1024 * 1024) + b'"', "16777218 bytes"),
    ],
)
def test_data_that_is_no_value_is_refused(data: bytes, problem: str) -> None:
    item = UserDataSpec(name="v", data=msgspec.Raw(data))
    ((path, message),) = problems(JobSpec(command="a"), user_data=(item,))
    assert path == "user_data[0].data"
    assert problem in message


def test_a_name_given_twice_in_one_list_is_only_a_warning() -> None:
    jobs = (JobSpec(command="a"), JobSpec(command="b", depends_on=("job_1", "job_1")))
    (warning,) = spec.check(WorkflowSpec(jobs=jobs))
    assert (warning.severity, warning.path) == ("warning", "jobs[1].depends_on[1]")
    assert expand(*jobs).jobs[1].depends_on == (1,)
    text = b"{jobs: [{command: 'a'},\n{command: 'b', depends_on: ['job_1', 'job_1']}]}"
    (with_line,) = spec.read(text, file="w.json5").warnings
    assert str(with_line) == (
        'w.json5:2:38: jobs[1].depends_on[1]: warning: job "job_1" is named twice'
    )


def test_the_nearest_name_is_found_among_very_many() -> None:
    jobs = [JobSpec(command="a", name=f"step_{n:05d}_run") for n in range(2000)]
    wrong = ("stpe_01234_run", "step_01234_rnu", "step_1234_run")
    jobs.append(JobSpec(command="b", depends_on=wrong))
    assert [p.hint for p in spec.check(WorkflowSpec(jobs=tuple(jobs)))][:2] == [
        'did you mean "step_01234_run"?'
    ] * 2


def test_a_long_cycle_is_named_in_part() -> None:
    ring = [JobSpec(command="a", depends_on=(f"job_{(n - 1) % 1000 + 1}",)) for n in range(1000)]
    ((path, message),) = problems(*ring)
    assert path == "jobs[0]"
    assert "… 981 more …" in message
    assert len(message) < 1000


@pytest.mark.large
def test_a_chain_of_a_hundred_thousand_jobs_expands() -> None:
    chain = [JobSpec(command="a")]
    chain += [JobSpec(command="a", depends_on=(f"job_{n}",)) for n in range(1, 100_000)]
    assert len(expand(*chain).jobs) == 100_000
