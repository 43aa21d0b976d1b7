"""Every example is read, planned and run, and does what its comments say."""

import collections
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.daemon_process import BIN, processes_mentioning
from tests.user_world import EXAMPLES, PATIENCE_SECONDS, User, a_user
from torcctl import main
from torcd import spec

SPECS = sorted(
    str(file.relative_to(EXAMPLES))
    for suffix in (".json5", ".yaml", ".toml", ".json", ".kdl")
    for file in EXAMPLES.rglob(f"*{suffix}")
    if file.name not in ("inputs.json", "word_count.json5")
)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Has a copy of the examples in their directory."""
    with a_user(tmp_path_factory.mktemp("user")) as somebody:
        _copy(EXAMPLES, somebody.directory / "examples")
        yield somebody


@pytest.fixture
def examples(user: User) -> Path:
    return user.directory / "examples"


def _copy(source: Path, target: Path) -> None:
    """Without what examples have made where they were run."""
    made = EXAMPLES.joinpath(".gitignore").read_text().splitlines()
    names = [Path(line).name for line in made if line.startswith("/")]
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*names))


WARNINGS = {
    "features/cluster_fields.yaml": [
        "project",
        "slurm_defaults",
        "slurm_schedulers",
        "resource_monitor",
        "compute_node_wait_for_new_jobs_seconds",
        "resource_requirements[0].num_nodes",
        "jobs[0].scheduler",
        "actions[0].action_type",
    ],
    "features/old_names.json5": [
        "jobs[1].scheduler",
        "schedulers",
        "config",
        "config.workflow_startup_script",
    ],
}
"""What `torcctl validate` names in examples that are about just that."""


@pytest.mark.parametrize("name", SPECS)
def test_every_example_is_valid_and_has_no_warning_but_those_it_is_about(name: str) -> None:
    found = spec.read((EXAMPLES / name).read_bytes(), file=name).warnings
    assert [problem.path for problem in found] == WARNINGS.get(name, [])


@pytest.mark.parametrize("name", SPECS)
def test_every_example_can_be_planned(name: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main.run(["--json", "plan", str(EXAMPLES / name)]) == 0
    items = json.loads(capfdbinary.readouterr().out)["items"]
    written = spec.read((EXAMPLES / name).read_bytes(), file=name).spec
    assert len(items) >= len(written.jobs or ())


def test_the_list_of_examples_has_each_once() -> None:
    listed = re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text())
    features = [name for name in SPECS if name.startswith("features/")]
    specs_of_the_top = {Path(name).stem for name in SPECS if "/" not in name}
    others = [
        entry.name
        for entry in EXAMPLES.iterdir()
        if entry.name not in ("README.md", ".gitignore", "features", "__pycache__")
        and not (entry.is_dir() and entry.name in specs_of_the_top)  # the scripts of a spec
    ]
    assert sorted(target for target in listed if not target.startswith("..")) == sorted(
        [*features, *others]
    )


def test_examples_name_their_schema_where_it_is() -> None:
    for file, comment in (
        ("greeting.yaml", r"# yaml-language-server: \$schema=(.*)"),
        ("greeting.toml", r"#:schema (.*)"),
        ("greeting.json", r' *"\$schema": "(.*)",'),
    ):
        directory = EXAMPLES / "formats"
        (target,) = re.findall(comment, (directory / file).read_text())
        assert (directory / target).resolve().name == "torc-workflow.schema.json"
        assert (directory / target).exists()


def test_values_pass_between_python_and_the_shell(user: User, examples: Path) -> None:
    user.torcctl("run", "passing_data.json5", cwd=examples)
    assert user.values() == {
        "measurement": {"samples": [1.0, 1.2, 1.4], "unit": "V"},
        "greeting": "hello from the shell",
        "lines_of_code": 10,
    }
    assert user.torcctl("logs", "evaluate") == "mean: 1.20 V\n"
    assert user.torcctl("logs", "print_greeting") == "hello from the shell\n"
    assert user.torcctl("logs", "print_lines_of_code") == '{"lines_of_code":10}\n'


# torc's document

AS_TORC_HAS_IT = """\
user_data: [ { name: "output_data1", } ]
jobs: [ { command: "python work1.py", output_user_data: ["output_data1"], },
        { command: "python work2.py", input_user_data: ["output_data1"], } ]
"""


def test_torcs_document_runs_as_it_stands(user: User, examples: Path) -> None:
    directory = examples / "torc_document"
    assert (directory / "torc_document.json5").read_text() == "{\n" + AS_TORC_HAS_IT + "}\n"
    user.torcctl("run", "torc_document.json5", cwd=directory)
    assert user.values() == {"output_data1": {"result": 1.2}}
    assert user.torcctl("logs", "job_2") == "output_data1 {'result': 1.2}\n"


def test_torcs_join_prints_what_the_job_consumes(user: User, examples: Path) -> None:
    join = (
        "torcctl -k $TORC_WORKFLOW_KEY -F json collections join job-consumes-data "
        "-f key=$TORC_JOB_KEY"
    )
    text = "{" + AS_TORC_HAS_IT.replace("python work2.py", join) + "}"
    user.torcctl("run", "-", stdin=text, cwd=examples / "torc_document")
    (item,) = json.loads(user.torcctl("logs", "job_2"))["items"]
    assert item["from"]["name"] == "job_2"
    assert item["from"]["_key"].isdigit()
    assert item["to"].pop("_key").isdigit()
    assert item["to"] == {
        "name": "output_data1",
        "is_ephemeral": False,
        "data": {"result": 1.2},
    }


# Diamonds


def test_a_diamond_passes_files(user: User, examples: Path) -> None:
    directory = examples / "diamond_by_files"
    user.torcctl("run", "diamond_by_files.yaml", cwd=directory)
    assert json.loads((directory / "result.json").read_text()) == {"result": 15}
    assert user.torcctl("logs", "postprocess") == "the result is 15\n"
    waits = {(pair["from"]["name"], pair["to"]["name"]) for pair in _join(user, "job-blocks")}
    assert waits == {
        ("preprocess", "work1"),
        ("preprocess", "work2"),
        ("work1", "postprocess"),
        ("work2", "postprocess"),
    }


def _join(user: User, name: str) -> list[dict[str, dict[str, str]]]:
    items: list[dict[str, dict[str, str]]] = user.asks("collections", "join", name)["items"]
    return items


def test_a_diamond_passes_user_data(user: User, examples: Path) -> None:
    user.torcctl("run", "diamond_by_user_data.json5", cwd=examples / "diamond_by_user_data")
    assert user.values() == {
        "inputs": {"val": 5},
        "first": {"val": 6},
        "second": {"val": 7},
        "first_plus_one": {"val": 7},
        "second_plus_one": {"val": 8},
        "result": {"result": 15},
    }


# Word count


def test_two_hundred_jobs_count_the_words_of_the_standard_library(
    user: User, examples: Path
) -> None:
    directory = examples / "word_count"
    text = user.types(["python", "make_spec.py"], cwd=directory)
    (directory / "word_count.json5").write_text(text)
    user.torcctl("run", "word_count.json5", cwd=directory)
    assert len(user.job_states()) > 200

    top = _top_words(directory)
    assert user.values()["top_words"] == [{"word": word, "count": count} for word, count in top]
    printed = user.torcctl("logs", "report").split()
    assert printed == [item for word, count in top for item in (str(count), word)]


def _top_words(directory: Path) -> list[tuple[str, int]]:
    files = runpy.run_path(str(directory / "make_spec.py"))["library_files"]()
    counts = collections.Counter[str]()
    for file in files:
        text = file.read_text("utf-8", "replace").lower()
        counts.update(re.findall("[a-z_]+", text))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]


# A mapped function


def test_a_function_is_mapped_over_twenty_sets_of_parameters(user: User, examples: Path) -> None:
    directory = examples / "mapped_function"
    text = user.types(["python", "build.py"], cwd=directory)
    user.torcctl("run", "-", cwd=directory, stdin=text)
    assert len(user.job_states()) == 22
    final = user.values()["dice_postprocess_result"]
    assert list(final) == [str(total) for total in range(2, 13)]
    assert sum(final.values()) == 20 * 1000
    assert final == _mapped_here(directory)
    assert json.loads(user.torcctl("logs", "show")) == final
    assert user.torcctl("logs", "dice_7") == "seed 7: 11 different sums\n"


def _mapped_here(directory: Path) -> object:
    simulation = runpy.run_path(str(directory / "simulation.py"))
    results = [simulation["run"]({"seed": n, "dice": 2, "rolls": 1000}) for n in range(1, 21)]
    return simulation["postprocess"](results)


# Formats and features


@pytest.mark.parametrize("suffix", ["json5", "yaml", "toml", "json", "kdl"])
def test_a_workflow_is_the_same_in_every_format(user: User, examples: Path, suffix: str) -> None:
    directory = examples / "formats"
    user.torcctl("run", f"greeting.{suffix}", cwd=directory)
    assert user.values() == {"who": ["world", "everybody"], "letters": 5}
    assert json.loads(user.torcctl("logs", "greet")) == ["world", "everybody"]
    assert user.torcctl("logs", "count") == "5\n"

    def read(name: str) -> bytes:
        return msgspec.json.encode(spec.read((directory / name).read_bytes(), file=name).spec)

    assert read(f"greeting.{suffix}").replace(b", ", b",") == read("greeting.json5")


def test_a_value_makes_jobs_and_their_values_are_added_up(user: User, examples: Path) -> None:
    user.torcctl("run", "for_each.yaml", cwd=examples / "features")
    assert user.torcctl("logs", "total") == "9\n"


def test_parameters_make_jobs_and_references_gather_them(user: User, examples: Path) -> None:
    directory = examples / "features"
    user.torcctl("run", "parameters.yaml", cwd=directory)
    assert directory.joinpath("all_10.txt").read_text() == "".join(
        f"size 10, seed {seed}\n" for seed in (1, 2, 3)
    )


def test_a_regex_is_a_barrier(user: User, examples: Path) -> None:
    user.torcctl("run", "regexes.yaml", cwd=examples / "features")
    assert {user.torcctl("logs", f"compare_{n:02d}") for n in (1, 20)} == {"20\n"}


def test_commands_are_texts_or_lists(user: User, examples: Path) -> None:
    user.torcctl("run", "list_commands.yaml", cwd=examples / "features")
    assert user.torcctl("logs", "text") == "one\ntwo\n"
    assert user.torcctl("logs", "list") == "two words\n$HOME\n*\n"
    assert user.torcctl("logs", "script") == "3\n"


def test_a_failure_cancels_what_depends_on_it_but_for_those_that_say_otherwise(
    user: User, examples: Path
) -> None:
    user.torcctl("run", "after_failure.yaml", cwd=examples / "features", code=4)
    assert user.job_states() == {
        "fails": "failed",
        "canceled": "canceled",
        "canceled_too": "canceled",
        "cleans_up": "completed",
        "independent": "completed",
    }


def test_output_goes_to_two_files_to_one_or_nowhere(user: User, examples: Path) -> None:
    user.torcctl("run", "stdio.yaml", cwd=examples / "features")
    assert user.torcctl("logs", "separate") == "out\n"
    assert user.torcctl("logs", "separate", "--stderr") == "err\n"
    assert user.torcctl("logs", "combined") == "out\nerr\n"
    user.torcctl("logs", "none", code=1)


def test_jobs_have_their_own_directories_and_variables(user: User, examples: Path) -> None:
    user.torcctl("run", "environment.yaml", cwd=examples / "features")
    assert user.torcctl("logs", "workflow_env") == "blue round\n"
    assert user.torcctl("logs", "own_env") == "red round\n"
    assert user.torcctl("logs", "own_cwd") == "examples\n"
    assert user.torcctl("logs", "who_am_i") == "who_am_i, attempt 1 of run 1\n"
    assert user.torcctl("logs", "invocation_script") == "green\n"


def test_jobs_are_told_what_they_were_granted(user: User, examples: Path) -> None:
    user.torcctl("run", "resources.yaml", cwd=examples / "features")
    assert user.torcctl("logs", "granted") == f"1 CPU, {64 << 20} bytes\n"
    assert user.torcctl("logs", "granted_cpus_only") == "1 CPU, no limit\n"
    assert user.torcctl("logs", "asks_for_nothing") == "no CPUs of its own\n"


def test_jobs_that_take_too_long_are_stopped_one_of_them_gently(user: User, examples: Path) -> None:
    user.torcctl("run", "runtime_limit.yaml", cwd=examples / "features", code=4)
    jobs = {job["name"]: job for job in user.asks("jobs")["items"]}
    assert [jobs[name]["status"] for name in ("stubborn", "tidy", "report")] == [
        "terminated",
        "terminated",
        "completed",
    ]
    assert (jobs["stubborn"]["return_code"], jobs["tidy"]["return_code"]) == (-9, 0)
    assert jobs["tidy"]["reason"] == "timeout"
    assert user.torcctl("logs", "tidy") == "working\ntidied up\n"


def test_a_failure_handler_has_the_job_tried_again(user: User, examples: Path) -> None:
    user.torcctl("run", "failure_handlers.yaml", cwd=examples / "features")
    (job,) = user.asks("jobs")["items"]
    assert (job["status"], job["return_code"], job["attempt_id"]) == ("completed", 0, 2)
    ends = [(r["attempt_id"], r["status"], r["return_code"]) for r in user.asks("results")["items"]]
    assert ends == [(1, "failed", 7), (2, "completed", 0)]


def test_a_job_without_its_outputs_has_failed(user: User, examples: Path) -> None:
    user.torcctl("run", "missing_output.yaml", cwd=examples / "features", code=4)
    jobs = {job["name"]: job for job in user.asks("jobs")["items"]}
    for name, missing in (("forgets_the_file", "table.csv"), ("forgets_the_value", "total")):
        assert (jobs[name]["status"], jobs[name]["return_code"]) == ("failed", 0)
        assert jobs[name]["reason"] == "missing_output"
        assert missing in jobs[name]["message"]
    assert jobs["reader"]["status"] == "canceled"


def test_an_ephemeral_value_is_one_that_passes_between_jobs(user: User, examples: Path) -> None:
    user.torcctl("run", "ephemeral.yaml", cwd=examples / "features")
    records = {item["name"]: item for item in user.asks("data", "list")["items"]}
    assert {name: item["is_ephemeral"] for name, item in records.items()} == {
        "scratch": True,
        "answer": False,
    }
    assert records["answer"]["data"] == 42
    assert not Path(records["scratch"]["data"]).exists()


def test_placeholders_become_quoted_paths_and_keys(user: User, examples: Path) -> None:
    directory = examples / "features"
    user.torcctl("run", "placeholders.yaml", cwd=directory)
    assert user.torcctl("logs", "print") == "3\n"
    assert user.torcctl("logs", "shell") == f"{directory}/a table\n"
    assert ("write", "count") in {
        (pair["from"]["name"], pair["to"]["name"]) for pair in _join(user, "job-blocks")
    }


def test_files_go_to_the_command_line(user: User, examples: Path) -> None:
    directory = examples / "features"
    user.torcctl("run", "cli_arg.yaml", cwd=directory)
    assert (directory / "first lines.txt").read_text() == "# torc's {"
    assert user.torcctl("logs", "show") == f"--file={directory}/first lines.txt\n"


def test_invocation_scripts_set_the_stage(user: User, examples: Path) -> None:
    user.torcctl("run", "invocation_script.yaml", cwd=examples / "features")
    assert user.torcctl("logs", "in_front") == "green\n"
    assert user.torcctl("logs", "several_lines") == "red\n"


def test_parameters_go_side_by_side_and_own_ones_go_before_shared_ones(
    user: User, examples: Path
) -> None:
    user.torcctl("run", "zip.yaml", cwd=examples / "features")
    assert user.torcctl("logs", "visit_Norway") == "Oslo is in Norway\n"
    assert user.torcctl("logs", "visit_Peru") == "Lima is in Peru\n"
    assert list(user.job_states()) == [
        "visit_Norway",
        "visit_Peru",
        "measure_0000",
        "measure_0050",
        "measure_0100",
    ]
    assert user.torcctl("logs", "measure_0050") == "Rome\n5.0e+01\n"


def test_each_combination_has_a_value_of_its_own(user: User, examples: Path) -> None:
    user.torcctl("run", "user_data_parameters.yaml", cwd=examples / "features")
    values = user.values()
    assert values["settings_large"] == {"model": "large", "layers": 3, "path": "models/large.bin"}
    assert user.torcctl("logs", "compare") == "models/small.bin, fold 1\nmodels/large.bin, fold 2\n"


def test_the_urgent_goes_first(user: User, examples: Path) -> None:
    directory = examples / "features"
    user.torcctl("run", "-j", "1", "priority.yaml", cwd=directory)
    order = (directory / "order.txt").read_text().split()
    assert order == ["urgent", "ordinary", "whenever", "last"]


def test_jobs_wait_for_inputs_from_outside(user: User, examples: Path) -> None:
    directory = examples / "features"
    user.torcctl("submit", "wait_for_inputs.yaml", cwd=directory, code=1)
    user.torcctl("submit", "--wait-for-inputs", "wait_for_inputs.yaml", cwd=directory)
    assert user.job_states()["multiply"] == "blocked"
    (directory / "arrives.txt").write_text("3\n")
    user.torcctl("data", "put", "factor", "5")
    user.torcctl("wait", "--timeout", str(PATIENCE_SECONDS))
    assert user.values() == {"factor": 5, "product": 15}


def test_values_pass_through_two_files(user: User, examples: Path) -> None:
    user.torcctl("run", "inputs_and_output.yaml", cwd=examples / "features")
    assert user.values() == {"numbers": [3, 1, 2], "unit": "m", "largest": 3, "text": "3 m"}
    assert json.loads(user.torcctl("logs", "show")) == {"largest": 3, "text": "3 m"}


def test_a_spec_for_a_cluster_runs_on_one_machine(user: User, examples: Path) -> None:
    directory = examples / "features"
    user.torcctl("run", "cluster_fields.yaml", cwd=directory)
    assert user.torcctl("logs", "work") == "just the same\n"
    assert (directory / "worker.txt").read_text() == "started\n"


def test_a_spec_of_torcs_python_years_runs(user: User, examples: Path) -> None:
    directory = examples / "features"
    user.torcctl("run", "old_names.json5", cwd=directory)
    waits = {(pair["from"]["name"], pair["to"]["name"]) for pair in _join(user, "job-blocks")}
    assert waits == {("first", "second"), ("first", "last"), ("second", "last")}
    assert not (directory / "output").exists()


def test_a_consumer_starts_while_its_producer_runs(user: User, examples: Path) -> None:
    user.torcctl("run", "-j", "2", "on_store.yaml", cwd=examples / "features")
    assert user.torcctl("logs", "server") == "hello, server\n"


def test_what_does_not_fit_a_schema_is_refused_and_the_job_tries_again(
    user: User, examples: Path
) -> None:
    user.torcctl("run", "schema.yaml", cwd=examples / "features")
    refused = user.torcctl("logs", "sensor", "--stderr")
    assert 'data.unit: expected one of ["V", "mV"]' in refused
    assert user.torcctl("logs", "reader") == '{"unit": "V", "samples": [1.5]}\n'


def test_actions_run_around_the_jobs_and_their_failure_changes_nothing(
    user: User, examples: Path
) -> None:
    directory = examples / "features"
    user.torcctl("run", "actions.yaml", cwd=directory)
    assert (directory / "report.txt").read_text() == "1\n2\n3\n"
    assert not (directory / "temp").exists()
    assert (directory / "progress.txt").read_text().splitlines() == [
        "started",
        "ended: simulate_1 simulate_2 simulate_3",
        "over",
    ]
    listed = json.loads(user.torcctl("actions", "--json"))["items"]
    assert [action["status"] for action in listed] == [
        "completed",
        "completed",
        "failed",
        "completed",
    ]


# The demo


class Demo:
    """A clone, of which the demo needs the examples only."""

    def __init__(self, clone: Path) -> None:
        self.clone = clone
        _copy(EXAMPLES, clone / "configs" / "examples")
        self.process: subprocess.Popen[str] | None = None

    def start(self, spec_file: Path | None = None) -> subprocess.Popen[str]:
        words = [str(self.clone / "configs" / "examples" / "demo.sh")]
        self.process = subprocess.Popen(
            words if spec_file is None else [*words, str(spec_file)],
            # It has to find everything else, and keep away from this user's own daemon.
            env={**os.environ, "BIN": str(BIN), "TORC_SOCKET": "/nowhere"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def ends(self) -> tuple[int, str, str]:
        assert self.process is not None
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, out, err

    def leaves_nothing(self) -> bool:
        return not ((self.clone / ".demo").exists() or self._processes() or self._sockets())

    def clean_up(self) -> None:
        """What a demo that is not right has left."""
        for pid in self._processes():
            os.kill(pid, signal.SIGKILL)
        for directory in self._sockets():
            shutil.rmtree(directory)

    def _processes(self) -> list[int]:
        return processes_mentioning(str(self.clone))

    def _sockets(self) -> list[Path]:
        assert self.process is not None
        return list(Path("/tmp").glob(f"torcd-demo.{self.process.pid}.*"))


@pytest.fixture
def demo() -> Iterator[Demo]:
    """In a clone whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="clone-") as directory:
        demo = Demo(Path(directory) / "clone")
        yield demo
        demo.clean_up()


@pytest.fixture
def deep_demo(tmp_path: Path) -> Iterator[Demo]:
    """In one whose path is too long."""
    demo = Demo(tmp_path / ("d" * 60) / ("e" * 60) / "clone with a space")
    yield demo
    demo.clean_up()


def test_the_demo_shows_values_and_leaves_nothing(demo: Demo) -> None:
    demo.start()
    code, out, err = demo.ends()
    assert code == 0, err
    assert "5 of 5 done" in err
    assert "hello from the shell" in out
    assert demo.leaves_nothing()


def test_the_demo_keeps_even_its_socket_in_the_clone(demo: Demo, blocking_spec: Path) -> None:
    process = demo.start(blocking_spec)
    blocking_spec.with_name("started").read_text()
    assert (demo.clone / ".demo" / "run" / "torcd" / "torcd.sock").is_socket()
    process.terminate()
    demo.ends()


def test_the_demo_works_in_a_clone_too_deep_for_a_socket(deep_demo: Demo) -> None:
    deep_demo.start()
    code, out, err = deep_demo.ends()
    assert code == 0, err
    assert "hello from the shell" in out
    assert deep_demo.leaves_nothing()


def test_a_demo_that_fails_says_so_and_leaves_nothing(demo: Demo) -> None:
    demo.start(EXAMPLES / "features" / "after_failure.yaml")
    code, _, err = demo.ends()
    assert code == 4
    assert "fails failed" in err
    assert demo.leaves_nothing()


@pytest.fixture
def blocking_spec(tmp_path: Path) -> Path:
    """Its one job writes to the pipe `started`, and never ends."""
    started = tmp_path / "started"
    os.mkfifo(started)
    command = ["bash", "-c", f"echo > {started}; exec sleep 1000000"]
    file = tmp_path / "blocking.json"
    file.write_text(json.dumps({"jobs": [{"command": command}]}))
    return file


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_nothing(
    demo: Demo, blocking_spec: Path, number: signal.Signals, code: int
) -> None:
    process = demo.start(blocking_spec)
    blocking_spec.with_name("started").read_text()  # returns when the job is there
    process.send_signal(number)
    assert demo.ends()[0] == code
    assert demo.leaves_nothing()
