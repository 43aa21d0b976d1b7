"""The commands that take a spec: validate, plan, submit, run."""

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from tests.unit.spec import messages
from tests.unit.torcctl.canned_daemon import CannedDaemon, daemon_status, job, result, workflow
from tests.unit.torcctl.conftest import Run
from torcd import errors
from torcd.protocol import manager as m

DIAMOND = """
jobs:
  - {name: last, command: [echo, "a b"], input_files: [left, right]}
  - {name: left, command: touch l, depends_on: [first], output_files: [left]}
  - {name: right, command: touch r, depends_on: [first], output_files: [right]}
  - {name: first, command: "true"}
files:
  - {name: left, path: l}
  - {name: right, path: r}
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "diamond.yaml"
    path.write_text(DIAMOND)
    return str(path)


GREEDY = """{jobs: [{command: "x", resource_requirements: "r"}],
resource_requirements: [{name: "r", num_cpus: 99999}]}"""


@pytest.fixture
def bad(tmp_path: Path) -> str:
    path = tmp_path / "bad.yaml"
    path.write_text("jobs:\n  - {name: a, comand: x}\n  - {name: b, command: x, depends_on: [c]}\n")
    return str(path)


def test_a_right_spec_is_valid_without_a_daemon(spec: str, torcctl: Run) -> None:
    outcome = torcctl("validate", spec)
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == f"{spec}: valid\n"
    assert torcctl("validate", spec, "--json").json() == {"valid": True, "items": []}


@pytest.mark.parametrize("command", ["plan", "submit", "run"])
def test_a_refused_spec_has_each_of_its_problems_on_a_line_of_its_own(
    command: str, bad: str, torcctl: Run
) -> None:
    outcome = torcctl(command, bad)
    assert (outcome.code, outcome.out) == (1, "")
    first, *problems = outcome.err.splitlines()
    assert first == f"torcctl: {bad} is refused:"
    assert problems == torcctl("validate", bad).out.splitlines()
    assert len(problems) > 1


def test_problems_go_to_standard_output_with_their_lines(bad: str, torcctl: Run) -> None:
    outcome = torcctl("validate", bad)
    assert (outcome.code, outcome.err) == (1, "")
    assert f"{bad}:2" in outcome.out
    assert "command" in outcome.out
    shown = torcctl("validate", bad, "--json")
    assert shown.code == 1
    document = shown.json()
    assert document["valid"] is False
    for item in document["items"]:
        assert list(item) == ["severity", "file", "line", "column", "path", "message", "hint"]
    assert {item["line"] for item in document["items"]} >= {2, 3}


def test_validate_says_how_many_problems_it_leaves_out(torcctl: Run) -> None:
    jobs = ",".join(['{command: "x", depends_on: ["nobody"]}'] * 1003)
    outcome = torcctl("validate", "-", stdin=f"{{jobs: [{jobs}]}}".encode())
    assert len(outcome.out.splitlines()) == 1000
    assert outcome.err == "… and 3 more problems\n"


@pytest.mark.parametrize("name", ["many.json5", "many.yaml", "many.toml", "many.kdl"])
def test_validate_prints_what_the_golden_texts_say(
    name: str, torcctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(messages.GOLDEN)
    outcome = torcctl("validate", name)
    expected = messages.golden(messages.GOLDEN / name).read_text()
    assert (outcome.code, outcome.out, outcome.err) == (1, expected, "")
    items = torcctl("validate", name, "--json").json()["items"]
    assert len(items) == len(expected.splitlines())


def test_standard_input_is_json5_unless_told_otherwise(torcctl: Run) -> None:
    assert torcctl("validate", "-", stdin=b"{jobs: [{command: 'x'}]}").code == 0
    assert torcctl("validate", "-", stdin=DIAMOND.encode()).code == 1
    assert torcctl("validate", "-", "--spec-format", "yaml", stdin=DIAMOND.encode()).code == 0


def test_plan_shows_stages_and_who_waits_for_whom(spec: str, torcctl: Run) -> None:
    items = torcctl("plan", spec, "--json").json()["items"]
    assert [(item["stage"], item["name"]) for item in items] == [
        (1, "first"),
        (2, "left"),
        (2, "right"),
        (3, "last"),
    ]
    assert [(w["kind"], w["name"], w["by"]) for w in items[3]["waits_for"]] == [
        ("file", "left", "input_files"),
        ("file", "right", "input_files"),
    ]
    assert [" ".join(line.split()) for line in torcctl("plan", spec).out.splitlines()] == [
        "STAGE NAME WAITS FOR COMMAND",
        "1 first - true",
        '2 left "first" (by depends_on) touch l',
        '2 right "first" (by depends_on) touch r',
        """3 last "left" (through file "left"); "right" (through file "right") echo 'a b'""",
    ]


def test_plan_says_what_has_to_be_there_and_tells_a_barrier_in_a_few_words(
    tmp_path: Path, torcctl: Run
) -> None:
    path = tmp_path / "w.json5"
    path.write_text("""{parameters: {i: "1:100"}, jobs: [
    {name: "a_{i}", command: "true", use_parameters: ["i"], output_files: ["f_{i}"]},
    {name: "b_{i}", command: "x", use_parameters: ["i"], depends_on_regexes: ["^a_"]},
    {name: "c", command: "x", input_files: ["in"], input_user_data: ["v"],
     input_file_regexes: ["^f_", "^i"]},
    {name: "d", command: "x", depends_on: ["a_1", "a_2", "a_3", "a_4", "a_5", "a_6", "a_7"]}],
    files: [{name: "f_{i}", path: "f{i}", use_parameters: ["i"]}, {name: "in", path: "in.txt"}],
    user_data: [{name: "v"}],
    actions: [{trigger_type: "on_jobs_complete", action_type: "run_commands",
               jobs: ["c", "d"], commands: ["x", "y"]}]}""")
    lines = torcctl("plan", str(path)).out.splitlines()
    rows = {line.split()[1]: " ".join(line.split()) for line in lines if line}
    assert rows["b_7"] == '2 b_7 100 jobs (by depends_on_regexes "^a_") x'
    assert rows["c"] == (
        f'2 c file "in" ({tmp_path}/in.txt), which no job makes; '
        '101 files (by input_file_regexes "^f_", "^i"), made by 100 jobs, 1 of them by none; '
        'user_data "v", which no job makes x'
    )
    assert rows["d"].endswith('"a_4" (by depends_on); "a_5" (by depends_on) and 2 more x')
    assert lines[-3:] == [
        "ACTION  TRIGGER           OF    COMMAND",
        "     1  on_jobs_complete  c, d  x",
        "     1  on_jobs_complete  c, d  y",
    ]


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_asking_for_more_than_this_machine_has_is_a_warning(command: str, torcctl: Run) -> None:
    outcome = torcctl(command, "-", stdin=GREEDY.encode())
    assert outcome.code == 0
    assert (outcome.out + outcome.err).count("asks for 99999 CPUs") == 1


def test_what_is_submitted_is_compared_with_what_the_daemon_has_and_no_more(
    torcctl: Run, daemon: CannedDaemon
) -> None:
    submitted = m.Submitted(key="7", name="w", jobs=1, warnings=['"job_1" asks for 99999 CPUs'])
    daemon.answer(m.Submit, submitted)
    outcome = torcctl("submit", "-", stdin=GREEDY.encode())
    assert outcome.err == 'warning: "job_1" asks for 99999 CPUs\n'


@pytest.mark.parametrize("command", ["validate", "plan", "submit", "run"])
def test_a_spec_that_does_not_exist_is_1(command: str, torcctl: Run) -> None:
    outcome = torcctl(command, "/nowhere.yaml")
    assert (outcome.code, outcome.out) == (1, "")
    assert "/nowhere.yaml" in outcome.err


@pytest.mark.parametrize("command", ["plan", "submit", "run"])
def test_problems_are_an_error_and_nothing_is_submitted(
    command: str, bad: str, torcctl: Run, daemon: CannedDaemon
) -> None:
    outcome = torcctl(command, bad)
    assert (outcome.code, outcome.out) == (1, "")
    assert f"{bad}:2" in outcome.err
    assert f"{bad}:3" in outcome.err
    assert not daemon.calls


def test_submit_sends_the_spec_and_where_it_was_given(
    spec: str, tmp_path: Path, torcctl: Run, daemon: CannedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "x")
    monkeypatch.setitem(os.environ, "UNSENDABLE", "\udcff")
    daemon.answer(m.Submit, m.Submitted(key="7", name="diamond", jobs=4, warnings=["careful"]))
    outcome = torcctl("submit", spec, "-j", "3", "--wait-for-inputs")
    assert (outcome.code, outcome.out) == (0, "7\n")
    assert "careful" in outcome.err
    assert "UNSENDABLE" in outcome.err
    (given,) = daemon.asked(m.Submit)
    assert [job["name"] for job in given["workflow"]["jobs"]] == ["last", "left", "right", "first"]
    assert given["directory"] == str(tmp_path)
    assert given["default_name"] == "diamond"
    assert given["environment"]["MINE"] == "x"
    assert "UNSENDABLE" not in given["environment"]
    assert given["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert given["max_parallel_jobs"] == 3
    assert given["wait_for_inputs"] is True


def test_submit_in_json_and_from_standard_input(
    tmp_path: Path, torcctl: Run, daemon: CannedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    daemon.answer(m.Submit, m.Submitted(key="7", name="workflow", jobs=1))
    outcome = torcctl("submit", "-", "--json", stdin=b"{jobs: [{command: 'x'}]}")
    assert outcome.json() == {"key": "7", "name": "workflow", "jobs": 1}
    (given,) = daemon.asked(m.Submit)
    assert given["directory"] == str(tmp_path)
    assert given["default_name"] == "workflow"
    assert "max_parallel_jobs" not in given


def test_the_settings_say_how_many_at_once_where_j_does_not(
    spec: str, torcctl: Run, daemon: CannedDaemon
) -> None:
    daemon.answer(m.Submit, m.Submitted(key="7", name="diamond", jobs=4))
    torcctl("config", "set", "max_parallel_jobs", "2")
    torcctl("submit", spec)
    torcctl("submit", spec, "-j", "5")
    assert [given["max_parallel_jobs"] for given in daemon.asked(m.Submit)] == [2, 5]


def test_submit_without_a_daemon_is_3(spec: str, torcctl: Run) -> None:
    assert torcctl("submit", spec).code == 3


class TestRun:
    @pytest.fixture(autouse=True)
    def daemon_with_a_failing_workflow(self, daemon: CannedDaemon, tmp_path: Path) -> None:
        (tmp_path / "left.err").write_text(
            "".join(f"line {n}\n" for n in range(30)) + "\x1b[31mbad\n"
        )
        failed = job("left", "failed", reason="exit", message="exit code 1", return_code=1)
        daemon.answer(m.Submit, m.Submitted(key="7", name="diamond", jobs=4))
        daemon.answer(
            m.FollowWorkflow,
            [
                m.WorkflowReply(workflow("running", jobs={"running": 2})),
                m.WorkflowReply(workflow("running", jobs={"failed": 1, "running": 1})),
                m.WorkflowReply(workflow("failed", jobs={"failed": 1, "canceled": 1})),
            ],
        )
        daemon.answer(m.ListJobs, m.JobsReply([failed]))
        stderr = str(tmp_path / "left.err")
        daemon.answer(m.ListResults, m.ResultsReply([result("left", "failed", stderr=stderr)]))

    def test_it_ends_with_4_and_a_summary_of_what_failed(self, spec: str, torcctl: Run) -> None:
        outcome = torcctl("run", spec)
        assert (outcome.code, outcome.out) == (4, "")
        assert outcome.err.splitlines()[:4] == [
            "workflow 7 diamond: 4 jobs",
            "failed: left: exit code 1",
            "workflow 7 diamond failed in 1m05s: 0 of 2 done, 1 failed, 1 canceled",
            "  left failed (exit)",
        ]
        assert "    | line 29\n    | \\x1b[31mbad\n" in outcome.err
        assert "line 20\n" not in outcome.err

    def test_no_fail_makes_it_0(self, spec: str, torcctl: Run) -> None:
        assert torcctl("run", spec, "--no-fail").code == 0

    def test_in_json_the_last_line_is_the_status(self, spec: str, torcctl: Run) -> None:
        outcome = torcctl("run", spec, "-F", "json", "-q")
        assert outcome.code == 4
        (line,) = outcome.out.splitlines()
        assert json.loads(line)["jobs"]["failed"] == 1
        assert outcome.err == ""

    def test_ctrl_c_detaches_and_says_how_to_come_back(
        self, spec: str, torcctl: Run, monkeypatch: pytest.MonkeyPatch, daemon: CannedDaemon
    ) -> None:
        def interrupted(*_: object) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr("torcctl.commands.run.changes", interrupted)
        outcome = torcctl("run", spec)
        assert (outcome.code, outcome.out) == (130, "")
        assert "torcctl -k 7 wait" in outcome.err
        assert not daemon.asked(m.Cancel)

    def test_ctrl_c_cancels_where_that_was_asked_for(
        self, spec: str, torcctl: Run, monkeypatch: pytest.MonkeyPatch, daemon: CannedDaemon
    ) -> None:
        from torcctl.follow import changes

        rounds = 0

        def interrupted_once(*given: Any) -> Any:
            nonlocal rounds
            rounds += 1
            if rounds == 1:
                raise KeyboardInterrupt
            return changes(*given)

        monkeypatch.setattr("torcctl.commands.run.changes", interrupted_once)
        daemon.answer(m.Cancel, m.Changed(workflow_key="7", jobs=["left"]))
        outcome = torcctl("run", spec, "--cancel-on-interrupt")
        assert outcome.code == 130
        assert daemon.asked(m.Cancel) == [{"workflow_key": "7"}]
        assert "workflow 7 diamond failed" in outcome.err

    def test_a_refusal_of_the_daemon_is_1(
        self, spec: str, torcctl: Run, daemon: CannedDaemon
    ) -> None:
        daemon.answer(m.Submit, errors.MissingInputs("f1 is not there", names=["f1"]))
        outcome = torcctl("run", spec)
        assert (outcome.code, outcome.err) == (1, f"torcctl: {spec}: f1 is not there\n")


def test_run_starts_a_daemon_at_its_socket_if_none_answers(
    spec: str, torcctl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torcctl import daemon_process

    started: list[CannedDaemon] = []

    def start(path: str) -> daemon_process.Started:
        canned = CannedDaemon(path)
        started.append(canned)
        canned.answer(m.GetStatus, daemon_status(1))
        canned.answer(m.Submit, m.Submitted(key="1", name="diamond", jobs=4))
        canned.answer(m.FollowWorkflow, [m.WorkflowReply(workflow("completed"))])
        return daemon_process.Started(path, 4321)

    monkeypatch.setattr(daemon_process, "start", start)
    outcome = torcctl("run", spec, "--socket", str(tmp_path / "other"))
    assert outcome.code == 0
    assert [canned.path for canned in started] == [str(tmp_path / "other")]
    assert "started torcd (pid 4321)" in outcome.err
    started[0].close()
