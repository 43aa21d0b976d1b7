"""`torcctl logs`, and following a file."""

import json
import threading
from pathlib import Path

import msgspec
import pytest

from tests.unit.torcctl.canned_daemon import (
    CannedDaemon,
    failed_action,
    job,
    result,
    workflow,
)
from tests.unit.torcctl.conftest import Run
from torcctl import logfile
from torcctl.specfile import CannotRead
from torcd.model import JobStatus, Reason
from torcd.protocol import manager as m


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a.1.1.out"
    path.write_bytes(b"one\ntwo \xff\n")
    return path


def answers(daemon: CannedDaemon, jobs: list[m.JobInfo], results: list[m.Result]) -> None:
    daemon.answer(m.ListJobs, m.JobsReply(jobs))
    daemon.answer(m.ListResults, m.ResultsReply(results))


def test_the_bytes_of_the_newest_attempt_are_printed_as_they_are(
    daemon: CannedDaemon, torcctl: Run, log: Path
) -> None:
    old = result("a", stdout="/nowhere")
    answers(daemon, [job("a")], [result("a", attempt_id=2, stdout=str(log)), old])
    outcome = torcctl("logs", "a")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.bytes == b"one\ntwo \xff\n"


def test_an_attempt_and_standard_error_may_be_chosen(
    daemon: CannedDaemon, torcctl: Run, log: Path
) -> None:
    first = result("a", attempt_id=1, stderr=str(log))
    answers(daemon, [job("a")], [first, result("a", attempt_id=2)])
    assert torcctl("logs", "a", "--stderr", "--attempt", "1").bytes == log.read_bytes()
    outcome = torcctl("logs", "a", "--attempt", "3")
    assert outcome.code == 1
    assert "no attempt 3" in outcome.err


def test_in_json_the_log_is_a_text(daemon: CannedDaemon, torcctl: Run, log: Path) -> None:
    answers(daemon, [job("a")], [result("a", stdout=str(log))])
    shown = torcctl("logs", "a", "--json").json()
    assert shown["text"] == "one\ntwo \ufffd\n"
    assert (shown["path"], shown["stream"], shown["attempt_id"]) == (str(log), "stdout", 1)


def test_a_job_that_has_not_started_has_nothing_to_print(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    answers(daemon, [job("a", "blocked", attempt_id=None)], [])
    outcome = torcctl("logs", "a")
    assert outcome.code == 1
    assert "has not started" in outcome.err
    assert "torcctl explain a" in outcome.err


@pytest.mark.parametrize("words", [("logs", "a"), ("logs", "a", "-f")])
def test_a_job_that_never_ran_says_so(
    words: tuple[str, ...], daemon: CannedDaemon, torcctl: Run
) -> None:
    answers(daemon, [job("a", "canceled", attempt_id=None)], [])
    outcome = torcctl(*words)
    assert outcome.code == 1
    assert "never ran (it is canceled)" in outcome.err


@pytest.mark.parametrize("words", [("logs", "a"), ("logs", "a", "-f"), ("logs", "a", "--stderr")])
def test_a_job_that_could_not_be_started_says_why(
    words: tuple[str, ...], daemon: CannedDaemon, torcctl: Run
) -> None:
    why = {"reason": Reason.START_FAILED, "message": "there is no program x", "started_at": None}
    failed = result("a", status="failed", stdout="/nowhere", stderr="/nowhere", **why)
    answers(daemon, [job("a", "failed")], [failed])
    outcome = torcctl(*words)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "torcctl: job 'a' did not start: there is no program x\n"


def test_a_job_that_keeps_no_log_says_so(daemon: CannedDaemon, torcctl: Run) -> None:
    answers(daemon, [job("a", stdio="none")], [result("a")])
    outcome = torcctl("logs", "a")
    assert outcome.code == 1
    assert "stdio: none" in outcome.err


def test_a_pattern_that_means_several_jobs_is_refused(daemon: CannedDaemon, torcctl: Run) -> None:
    answers(daemon, [job("a1"), job("a2", key="9")], [])
    outcome = torcctl("logs", "a*")
    assert outcome.code == 1
    assert "a1, a2" in outcome.err


def test_a_log_that_is_gone_is_an_error(daemon: CannedDaemon, torcctl: Run) -> None:
    answers(daemon, [job("a")], [result("a", stdout="/nowhere/log")])
    outcome = torcctl("logs", "a")
    assert outcome.code == 1
    assert "/nowhere/log" in outcome.err


def test_follow_waits_for_the_job_to_start_and_ends_with_it(
    daemon: CannedDaemon, torcctl: Run, log: Path
) -> None:
    states = iter(
        [
            (job("a", "blocked", attempt_id=None), []),
            (job("a", "running"), [result("a", "running", stdout=str(log))]),
            (job("a", "completed"), [result("a", stdout=str(log))]),
        ]
    )
    now = next(states)

    def stream(_: object) -> list[msgspec.Struct]:
        nonlocal now
        now = next(states)
        return [m.WorkflowReply(workflow())]

    daemon.answer(m.ListJobs, lambda _: m.JobsReply([now[0]]))
    daemon.answer(m.ListResults, lambda _: m.ResultsReply(now[1]))
    daemon.answer(m.FollowWorkflow, stream)
    outcome = torcctl("logs", "a", "-f", "--json")
    assert outcome.code == 0
    assert "has not started" in outcome.err
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert "".join(line["text"] for line in lines) == "one\ntwo \ufffd\n"


def test_what_is_written_is_seen_at_once_and_the_last_of_it_too(log: Path) -> None:
    end = threading.Event()
    followed = logfile.follow(str(log), end.wait)
    assert next(followed) == b"one\ntwo \xff\n"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"three\n")
        assert next(followed) == b"three\n"
        writer.write(b"the end\n")
    end.set()
    assert b"".join(followed) == b"the end\n"


def test_an_error_of_whoever_tells_the_end_is_not_lost(log: Path) -> None:
    def broken() -> None:
        raise LookupError("daemon gone")

    followed = logfile.follow(str(log), broken)
    assert next(followed)
    with pytest.raises(LookupError, match="daemon gone"):
        list(followed)


def test_a_file_that_does_not_exist_cannot_be_followed() -> None:
    with pytest.raises(CannotRead, match="/nowhere"):
        list(logfile.follow("/nowhere", lambda: None))


# Of actions


def action(*commands: tuple[str, Path | None]) -> m.ActionInfo:
    """Its commands, each with its state and its log of both streams; the last state is its own."""
    plain = failed_action()
    replace = msgspec.structs.replace
    return replace(
        plain,
        status=JobStatus(commands[-1][0]),
        commands=[
            replace(
                plain.commands[0],
                number=n,
                status=JobStatus(status),
                stdout=None if log is None else str(log),
                stderr=None if log is None else f"{log}.err",
            )
            for n, (status, log) in enumerate(commands, 1)
        ],
    )


def test_the_newest_command_of_an_action_that_has_begun_is_printed(
    daemon: CannedDaemon, torcctl: Run, log: Path
) -> None:
    other = log.with_name("other")
    other.write_text("first\n")
    Path(f"{log}.err").write_text("oops\n")
    found = action(("completed", other), ("failed", log), ("canceled", None))
    daemon.answer(m.ListActions, m.ActionsReply([found]))
    assert torcctl("logs", "--action", "1").bytes == log.read_bytes()
    assert torcctl("logs", "--action", "1", "--stderr").out == "oops\n"
    assert torcctl("logs", "--action", "1", "--command", "1").out == "first\n"
    shown = torcctl("logs", "--action", "1", "--json").json()
    assert (shown["action"], shown["command"], shown["job_key"]) == (1, 2, None)
    assert shown["text"] == "one\ntwo \ufffd\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--action 2", "the workflow has 1 action, and no number 2; 'torcctl actions' lists them"),
        ("--action 1 --command 3", "action 1 has 2 commands, and no number 3"),
        ("--action 1 --command 2", "command 2 of action 1 never ran, because command 1 failed"),
        ("--action 1 --command 2 -f", "command 2 of action 1 never ran, because command 1 failed"),
    ],
)
def test_what_has_no_log_says_so(
    words: str, message: str, daemon: CannedDaemon, torcctl: Run
) -> None:
    daemon.answer(m.ListActions, m.ActionsReply([failed_action()]))
    outcome = torcctl("logs", *words.split())
    assert (outcome.code, outcome.err) == (1, f"torcctl: {message}\n")


def test_an_action_that_has_not_begun_may_be_waited_for(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.ListActions, m.ActionsReply([action(("blocked", None))]))
    outcome = torcctl("logs", "--action", "1")
    assert (outcome.code, outcome.err) == (
        1,
        "torcctl: action 1 has not begun; -f waits for it\n",
    )


def test_a_command_that_could_not_be_started_says_why(daemon: CannedDaemon, torcctl: Run) -> None:
    found = action(("failed", Path("/nowhere")))
    command = msgspec.structs.replace(
        found.commands[0], reason=Reason.START_FAILED, message="there is no directory x"
    )
    found = msgspec.structs.replace(found, commands=[command])
    daemon.answer(m.ListActions, m.ActionsReply([found]))
    outcome = torcctl("logs", "--action", "1")
    assert outcome.err == "torcctl: command 1 of action 1 did not start: there is no directory x\n"


def test_follow_waits_for_an_action_to_begin_and_ends_with_its_command(
    daemon: CannedDaemon, torcctl: Run, log: Path
) -> None:
    blocked = action(("blocked", None), ("blocked", None))
    running = action(("running", log), ("blocked", None))
    ended = action(("completed", log), ("running", log))
    states = iter([blocked, blocked, running, running, ended])
    daemon.answer(m.ListActions, lambda _: m.ActionsReply([next(states)]))
    daemon.answer(m.FollowWorkflow, [m.WorkflowReply(workflow())] * 9)
    outcome = torcctl("logs", "--action", "1", "-f", "--json")
    assert outcome.code == 0
    assert "action 1 has not begun; waiting" in outcome.err
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert "".join(line["text"] for line in lines) == "one\ntwo \ufffd\n"
    assert {line["command"] for line in lines} == {1}
    assert next(states, None) is None


@pytest.mark.parametrize(
    "words", ["", "--command 1 a", "a --action 1", "--action 1 --attempt 2", "--action 0"]
)
def test_a_log_is_asked_for_in_one_way(words: str, torcctl: Run) -> None:
    assert torcctl("logs", *words.split()).code == 2
