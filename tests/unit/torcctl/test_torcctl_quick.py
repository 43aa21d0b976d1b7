"""`status` and `submit` as scripts run them: without click and msgspec, and otherwise the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.unit.torcctl.canned_daemon import HANG_UP, CannedDaemon, workflow
from tests.unit.torcctl.conftest import Run
from torcctl.fast import status, submit
from torcd import errors, spec
from torcd.protocol import envelope
from torcd.protocol import manager as m
from torcd.spec import schema

HEAVY = {"click", "msgspec", "asyncio", "rich", "typing", "pathlib", "socket", "re", "json"}


def loaded_by(*words: str) -> set[str]:
    program = (
        "import sys; before = set(sys.modules)\n"
        "from torcctl import entry\n"
        f"assert entry.run({list(words)!r}) == 0\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    command = [sys.executable, "-c", program]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stderr.split())


# status

WORKFLOWS = [
    workflow(),
    workflow("completed", jobs={"completed": 3, "disabled": 1}, owner="bob", archived=True),
    workflow("running", stopping=True, name='a "b"\\\x1b[31m\x7f\n', description="größe"),
    workflow("paused", frozen=True, held_up="the disk is full", actions={"failed": 1}),
    workflow(actions={}, user=None, started_at=None, max_parallel_jobs=10**20),
]


@pytest.mark.parametrize("seen", WORKFLOWS, ids=lambda w: f"{w.status.value} {w.archived}")
@pytest.mark.parametrize(
    "words",
    [("status",), ("status", "--json"), ("-k", "7", "status", "-F", "table"), ("status", "-q")],
    ids=" ".join,
)
def test_status_is_the_same_as_on_the_full_command_line(
    words: tuple[str, ...], seen: m.WorkflowInfo, daemon: CannedDaemon, torcctl: Run
) -> None:
    daemon.answer(m.GetWorkflow, m.WorkflowReply(seen))
    quick = torcctl(*words)
    asked = list(daemon.calls)
    daemon.calls.clear()
    assert quick == torcctl(*words, fully=True)
    assert asked == daemon.calls
    assert quick.code == 0


def test_status_is_that_of_the_workflow_of_the_environment(
    daemon: CannedDaemon, torcctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answer(m.GetWorkflow, m.WorkflowReply(workflow()))
    monkeypatch.setenv("TORC_WORKFLOW_KEY", "12")
    assert torcctl("status").code == 0
    assert daemon.asked(m.GetWorkflow) == [{"workflow_key": "12"}]


@pytest.mark.parametrize(
    "words", [("status",), ("status", "--json"), ("status", "a"), ("status", "-x")]
)
def test_what_goes_wrong_with_status_is_told_by_the_full_command_line(
    words: tuple[str, ...], daemon: CannedDaemon, torcctl: Run
) -> None:
    daemon.answer(m.GetWorkflow, errors.NotFound("there is no workflow 7"))
    quick = torcctl(*words)
    assert quick == torcctl(*words, fully=True)
    assert quick.code in (1, 2)


def test_status_is_taken_from_daemons_that_tell_more_or_less(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    class Newer(m.WorkflowInfo, frozen=True, kw_only=True):
        colour: str = "green"

    seen = workflow()
    newer = Newer(**{name: getattr(seen, name) for name in seen.__struct_fields__})
    daemon.answer(m.GetWorkflow, m.WorkflowReply(newer))
    shape = torcctl("status", "--json").json()
    assert shape.keys() == set(m.WorkflowInfo.__struct_fields__)


def test_the_quick_status_knows_all_fields_of_a_workflow() -> None:
    assert set(m.WorkflowInfo.__struct_encode_fields__) == status.FIELDS


def test_status_imports_next_to_nothing(daemon: CannedDaemon) -> None:
    daemon.answer(m.GetWorkflow, m.WorkflowReply(workflow()))
    loaded = loaded_by("status")
    assert "torcctl.render.standing" in loaded
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("torcd")} == {"torcd", "torcd.locations"}


# submit

DONE = m.Submitted(key="7", name='w "ö"', jobs=2, warnings=["job a asks for 9 CPUs"], doubts=0)

SPECS = {
    "least": '{"jobs": [{"command": "x"}]}',
    "indented": json.dumps(
        {"name": "größe", "jobs": [{"command": 'a  b\tc "q" \\', "priority": 3}]}, indent=2
    ),
    "values": '{"jobs": [{"command": "x", "input_user_data": ["v"]}], "user_data": [{"name": '
    '"v", "data": { "a": [1.10, 1e400, "b  c"], "d": 123456789012345678901234567890 } }]}',
    "numbers": '{"parameters": {"a": [1, 2.50, 1e2, -0, "x"]}, "jobs": [{"name": "{i}", "command": '
    '"x", "parameters": {"i": "1:3"}, "env": null}]}',
}


@pytest.mark.parametrize("text", SPECS.values(), ids=SPECS.keys())
@pytest.mark.parametrize(
    "words", [(), ("-j", "3", "--wait-for-inputs"), ("--json",), ("-q", "--spec-format=json")]
)
def test_submit_is_the_same_as_on_the_full_command_line(
    words: tuple[str, ...], text: str, daemon: CannedDaemon, torcctl: Run, tmp_path: Path
) -> None:
    daemon.answer(m.Submit, DONE)
    file = tmp_path / "w.json"
    file.write_text(text)
    quick = torcctl("submit", str(file), *words)
    full = torcctl("submit", str(file), *words, fully=True)
    assert quick == full
    assert quick.code == 0
    one, other = map(_meant, daemon.raw)
    assert one == other


def _meant(message: bytes) -> tuple[spec.WorkflowSpec, m.Submit]:
    """What the spec of the call is, and the rest of it."""
    given = msgspec.json.decode(envelope.decode_call(message).parameters, type=m.Submit)
    rest = msgspec.structs.replace(given, workflow=msgspec.Raw())
    return spec.decode(given.workflow), rest


def test_the_text_of_values_is_kept_but_for_space_between_its_parts(
    daemon: CannedDaemon, torcctl: Run, tmp_path: Path
) -> None:
    daemon.answer(m.Submit, DONE)
    (tmp_path / "w.json").write_text(SPECS["values"])
    torcctl("submit", str(tmp_path / "w.json"))
    torcctl("submit", str(tmp_path / "w.json"), fully=True)
    value = b'"data":{"a":[1.10,1e400,"b  c"],"d":123456789012345678901234567890}}'
    assert [value in message for message in daemon.raw] == [True, True]


NOT_PLAIN = {
    "comment": '{"jobs": [{"command": "x"}] /* all */}',
    "twice": '{"jobs": [{"command": "x", "command": "y"}]}',
    "cut": '{"jobs": [{"command": "x"}]',
    "more": '{"jobs": [{"command": "x"}]} {}',
    "list": "[]",
    "half a pair": '{"jobs": [{"command": "\\ud800"}]}',
    "not a number": '{"jobs": [{"command": "x", "priority": NaN}]}',
    "a schema": '{"jobs": [{"command": "x"}], "user_data": [{"name": "v", "schema": {"a": 1.0}}]}',
    "any JSON": '{"jobs": [{"command": "x"}], "config": {"a": 1.0}}',
    "for editors": '{"$schema": "x", "jobs": [{"command": "x"}]}',
    "deep": '{"jobs": ' + "[" * 100_000 + "]" * 100_000 + "}",
}


@pytest.mark.parametrize("text", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_what_is_no_plain_json_takes_the_full_command_line(
    text: str, daemon: CannedDaemon, torcctl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answer(m.Submit, DONE)
    file = tmp_path / "w.json"
    file.write_text(text)
    quick = torcctl("submit", str(file))
    asked = len(daemon.calls)
    assert quick == torcctl("submit", str(file), fully=True)
    assert len(daemon.calls) == 2 * asked
    monkeypatch.setattr("torcctl.main.run", lambda _: 99)
    assert torcctl("submit", str(file)).code == 99


def test_a_pipe_is_left_to_the_full_command_line(
    torcctl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "w.json")
    monkeypatch.setattr("torcctl.main.run", lambda _: 99)
    assert torcctl("submit", str(tmp_path / "w.json")).code == 99


def test_the_quick_submit_takes_no_field_that_any_json_may_stand_in() -> None:
    assert submit.PLAIN.issubset(schema.WorkflowSpec.__struct_fields__)
    assert not submit.PLAIN.intersection(schema.ANY_JSON)
    assert set(schema.ANY_JSON_OF_USER_DATA) == {"data", "schema"}


def test_a_spec_that_the_daemon_refuses_has_its_problems_told_at_their_lines(
    daemon: CannedDaemon, torcctl: Run, tmp_path: Path
) -> None:
    file = tmp_path / "w.json"
    file.write_text('{"jobs": [\n{"command": "x", "depends_on": ["y"]},\n{"command": ""}]}')
    daemon.answer(m.Submit, errors.InvalidSpec("no", problems=[]))
    outcome = torcctl("submit", str(file))
    assert len(daemon.calls) == 1
    assert outcome == torcctl("submit", str(file), fully=True)
    assert outcome.code == 1
    assert f"{file}:2:" in outcome.err
    assert f"{file}:3:" in outcome.err


def test_what_only_the_daemon_refuses_is_told_in_its_words(
    daemon: CannedDaemon, torcctl: Run, tmp_path: Path
) -> None:
    file = tmp_path / "w.json"
    file.write_text(SPECS["least"])
    daemon.answer(m.Submit, errors.MissingInputs("a file is not there", names=["f"]))
    outcome = torcctl("submit", str(file))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"torcctl: {file}: a file is not there\n"


def test_a_submit_whose_answer_is_lost_is_not_repeated(
    daemon: CannedDaemon, torcctl: Run, tmp_path: Path
) -> None:
    file = tmp_path / "w.json"
    file.write_text(SPECS["least"])
    daemon.answer(m.Submit, HANG_UP)
    quick = torcctl("submit", str(file))
    assert len(daemon.calls) == 1
    assert quick == torcctl("submit", str(file), fully=True)
    assert quick.code == 3


@pytest.mark.parametrize("doubts", [0, 1, None])
def test_what_is_doubtful_about_a_spec_is_told_at_its_line(
    doubts: int | None, daemon: CannedDaemon, torcctl: Run, tmp_path: Path
) -> None:
    """None: the daemon is older and does not say."""
    file = tmp_path / "w.json"
    file.write_text('{"jobs": [\n{"command": "x",\n"depends_on_regexes": ["y"]}]}')
    daemon.answer(m.Submit, m.Submitted(key="7", name="w", jobs=1, doubts=doubts))
    outcome = torcctl("submit", str(file))
    assert (outcome.code, outcome.out) == (0, "7\n")
    if doubts == 0:
        assert outcome.err == ""
    else:
        assert f"{file}:3:" in outcome.err
        assert outcome == torcctl("submit", str(file), fully=True)
        assert torcctl("submit", "-q", str(file)).err == ""


@pytest.mark.parametrize("path", ["w.json", "./w.json", "a/../w.json", "a//b.c/./w.x.json", "w"])
def test_where_a_spec_is_and_what_it_is_called(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "a").symlink_to("other")
    monkeypatch.chdir(tmp_path)
    for each in (path, f"{tmp_path}/{path}"):
        assert submit.directory_of(each) == str(
            Path(each).absolute().parent.resolve() if ".." in each else Path(each).absolute().parent
        )
        assert submit.stem_of(each) == spec.default_name(each)
    assert submit.directory_of("-") == str(tmp_path)


def test_submit_imports_next_to_nothing(daemon: CannedDaemon, tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text(SPECS["least"])
    daemon.answer(m.Submit, DONE)
    loaded = loaded_by("submit", str(tmp_path / "w.json"))
    assert "torcctl.fast.submit" in loaded
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("torcd")} == {"torcd", "torcd.locations"}
