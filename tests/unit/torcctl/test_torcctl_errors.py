"""Exit codes, and how an error looks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.torcctl.canned_daemon import CannedDaemon, workflow
from tests.unit.torcctl.conftest import Run
from torcd import errors
from torcd.protocol import manager as m


def test_a_refusal_is_1_with_its_message(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.GetWorkflow, errors.UnknownWorkflow("no workflow yet", workflow_key=""))
    outcome = torcctl("status")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "torcctl: no workflow yet\n"


def test_an_error_in_json_has_its_code_and_its_facts(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.GetWorkflow, errors.WrongState("not now", status="paused"))
    assert json.loads(torcctl("status", "--json").err) == {
        "error": "io.torcd.Manager.WrongState",
        "message": "not now",
        "status": "paused",
    }


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("stauts",), "Did you mean 'status'?"),
        (("user-dta", "get", "n"), "Did you mean 'user-data'?"),
        (("data", "gte", "n"), "Did you mean 'get'?"),
        (("jobs", "--stauts", "failed"), "--status"),
        (("jobs", "--status", "fialed"), "'failed'"),
        (("logs",), "JOB"),
        (("wait", "--timeout", "inf"), "seconds"),
        (("wait", "--timeout", "-1"), "x>=0"),
        (("run", "x.json5", "-j", "0"), "x>=1"),
        (("--no-such",), "--no-such"),
        (("status", "extra"), "extra"),
    ],
)
def test_wrong_usage_is_2_and_points_at_the_right_one(
    words: tuple[str, ...], hint: str, torcctl: Run
) -> None:
    outcome = torcctl(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("torcctl: ")
    assert hint in outcome.err
    assert "--help" in outcome.err


def test_wrong_usage_in_json(torcctl: Run) -> None:
    outcome = torcctl("-F", "json", "stauts")
    assert json.loads(outcome.err)["error"] == "Usage"


def test_nobody_there_is_3_and_says_what_to_do(torcctl: Run) -> None:
    outcome = torcctl("ls")
    assert outcome.code == 3
    assert "torcctl daemon start" in outcome.err
    assert json.loads(torcctl("ls", "--json").err)["error"] == "NoDaemon"


def test_a_bug_leaves_its_traceback_in_a_file(
    daemon: CannedDaemon, torcctl: Run, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    def broken(_: object) -> None:
        raise LookupError("oops")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("torcctl.commands.status.workflow_text", broken)
    daemon.answer(m.GetWorkflow, m.WorkflowReply(workflow()))
    outcome = torcctl("status", fully=True)
    assert outcome.code == 1
    assert "bug" in outcome.err
    assert "Traceback" not in outcome.err
    (file,) = tmp_path.glob("torcctl-*.traceback")
    assert str(file) in outcome.err
    assert "LookupError: oops" in file.read_text()

    monkeypatch.setenv("TORCCTL_DEBUG", "1")
    assert "Traceback" in torcctl("status", fully=True).err


def test_ctrl_c_is_130_without_a_word(
    daemon: CannedDaemon, torcctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("torcctl.commands.wait.to_the_end", interrupted)
    outcome = torcctl("wait")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "")


@pytest.mark.parametrize("words", [("status",), ("data", "get", "n"), ("--help",)])
def test_a_closed_pipe_ends_quietly(words: tuple[str, ...], daemon: CannedDaemon) -> None:
    from tests.unit.torcctl.canned_daemon import record
    from torcd.protocol import user_data as u

    daemon.answer(m.GetWorkflow, m.WorkflowReply(workflow()))
    daemon.answer(u.Fetch, record("1"))
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "torcctl", *words], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("words", [("status",), ("data", "get", "n"), ("--help",)])
def test_a_full_disk_behind_standard_output_is_an_error(
    words: tuple[str, ...], unbuffered: str, daemon: CannedDaemon
) -> None:
    from tests.unit.torcctl.canned_daemon import record
    from torcd.protocol import user_data as u

    daemon.answer(m.GetWorkflow, m.WorkflowReply(workflow()))
    daemon.answer(u.Fetch, record("1"))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "torcctl", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    message = b"torcctl: cannot go on: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, message)


@pytest.mark.parametrize(
    ("words", "closed", "code", "error"),
    [
        ("status", ">&-", 0, b""),
        ("status", "2>&-", 0, b""),
        ("status", "<&- >&- 2>&-", 0, b""),
        ("frobnicate", "2>&-", 2, b""),
        ("validate -", "<&-", 1, b"torcctl: cannot read standard input: it is closed\n"),
    ],
)
def test_closed_standard_streams_are_no_trouble(
    words: str, closed: str, code: int, error: bytes, daemon: CannedDaemon
) -> None:
    daemon.answer(m.GetWorkflow, m.WorkflowReply(workflow()))
    command = f"{sys.executable} -m torcctl {words} {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (code, error)


@pytest.mark.parametrize("where", ["gone", "not UTF-8"])
def test_a_directory_that_cannot_be_a_job_s_is_named(where: str, tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(place)
    leave = b'rmdir "$0"; ' if where == "gone" else b""
    command = leave + os.fsencode(sys.executable) + b" -m torcctl validate -"
    done = subprocess.run(
        [b"bash", b"-c", command, place],
        cwd=place,
        input=b'{"jobs": [{"command": "true"}]}',
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert where.encode() in done.stderr
    assert b"bug" not in done.stderr


def test_arguments_that_are_not_utf_8_are_refused(daemon: CannedDaemon) -> None:
    for words in ([b"data", b"get", b"\xff"], [b"jobs", b"--name", b"\xff"]):
        done = subprocess.run(
            [sys.executable.encode(), b"-m", b"torcctl", *words], capture_output=True, check=False
        )
        assert done.returncode == 2
        assert b"not UTF-8" in done.stderr


def test_a_command_imports_only_what_it_needs(daemon: CannedDaemon) -> None:
    daemon.answer(m.ListWorkflows, m.WorkflowsReply([workflow()]))
    program = (
        "import sys\nfrom torcctl import entry\nassert entry.run(['ls']) == 0\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "torcctl.commands.ls" in loaded
    assert not loaded & {"rich", "asyncio", "torcd.spec", "torcctl.commands.run", "subprocess"}


def test_help_needs_none_of_what_speaks_to_the_daemon() -> None:
    program = "import sys\nfrom torcctl import entry\nentry.run(['--help'])\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "torcctl.main" in loaded
    assert not loaded & {"msgspec", "socket", "torcd.client", "torcctl.commands.status"}
