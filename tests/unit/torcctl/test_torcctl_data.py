"""`data get` and `data put`: the quick path, and the full command line, which must do the same."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.torcctl.canned_daemon import HANG_UP, CannedDaemon, record
from tests.unit.torcctl.conftest import Run
from torcctl import fast
from torcctl.fast import values
from torcd import errors
from torcd.protocol import user_data as u

HOSTILE = '{"é\\u00e9": [1.0, 1E+400, 12345678901234567890123, "\\"}"], "data": {"record": null}}'


def test_a_value_is_printed_exactly_as_it_was_stored(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(u.Fetch, record(HOSTILE))
    assert torcctl("data", "get", "n").bytes == HOSTILE.encode() + b"\n"


def test_integers_beyond_pythons_own_limit_pass_through(daemon: CannedDaemon, torcctl: Run) -> None:
    digits = "9" * 20_000
    daemon.answer(u.Fetch, record(digits))
    daemon.answer(u.Store, record(digits))
    assert torcctl("data", "get", "n").out == digits + "\n"
    assert torcctl("data", "put", "n", digits).code == 0
    assert digits.encode() in daemon.raw[-1]


def test_a_value_is_sent_exactly_as_it_was_given(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(u.Store, record("1"))
    assert torcctl("data", "put", "n", f"  {HOSTILE}\n").code == 0
    assert f'"data":{HOSTILE},'.encode() in daemon.raw[-1]


def test_a_value_cannot_smuggle_parameters_into_the_message(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    outcome = torcctl("data", "put", "n", '1, "workflow_key": "99"')
    assert outcome.code == 1
    assert "not JSON" in outcome.err
    assert not daemon.calls


def test_raw_prints_a_text_without_its_quotes_and_anything_else_as_it_is(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    daemon.answer(u.Fetch, record('"a\\n\\u00e9"'))
    assert torcctl("data", "get", "-r", "n").bytes == "a\né\n".encode()
    daemon.answer(u.Fetch, record("[1, 2]"))
    assert torcctl("data", "get", "-r", "n").out == "[1, 2]\n"


def test_record_prints_the_text_of_the_whole_record(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(u.Fetch, record("1.0"))
    outcome = torcctl("data", "get", "n", "--record")
    assert outcome.json()["revision"] == 3
    assert '"data":1.0,' in outcome.out


def test_put_says_which_revision_it_made_or_prints_the_record(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    daemon.answer(u.Store, record("5"))
    assert torcctl("data", "put", "n", "5") == torcctl("data", "put", "n", "5", fully=True)
    outcome = torcctl("data", "put", "n", "5")
    assert (outcome.out, outcome.err) == ("", "stored n, revision 3\n")
    assert torcctl("-q", "data", "put", "n", "5").err == ""
    assert torcctl("-F", "json", "data", "put", "n", "5").json()["revision"] == 3


def test_a_value_may_come_from_standard_input_or_a_file(
    daemon: CannedDaemon, torcctl: Run, tmp_path
) -> None:
    daemon.answer(u.Store, record("5"))
    (tmp_path / "v.json").write_bytes(b'{"a": 1}\n')
    assert torcctl("data", "put", "n", "-", stdin=b" [1,\n2] ").code == 0
    assert torcctl("data", "put", "n", f"@{tmp_path}/v.json").code == 0
    assert [call["data"] for call in daemon.asked(u.Store)] == [[1, 2], {"a": 1}]


def test_a_negative_number_is_a_value_and_no_option(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(u.Store, record("-5"))
    for fully in (False, True):
        assert torcctl("data", "put", "n", "-5", fully=fully).code == 0
    assert [call["data"] for call in daemon.asked(u.Store)] == [-5, -5]


@pytest.mark.parametrize("fully", [False, True])
class TestWhoAsks:
    def test_a_person_is_known_by_the_workflow(
        self, daemon: CannedDaemon, torcctl: Run, fully: bool, monkeypatch
    ) -> None:
        daemon.answer(u.Fetch, record("1"))
        torcctl("data", "get", "n", fully=fully)
        torcctl("-k", "3", "data", "get", "n", fully=fully)
        monkeypatch.setenv("TORC_WORKFLOW_KEY", "4")
        torcctl("data", "get", "n", fully=fully)
        torcctl("data", "get", "n", "-k", "5", fully=fully)
        assert daemon.asked(u.Fetch) == [
            {"name": "n"},
            {"name": "n", "workflow_key": "3"},
            {"name": "n", "workflow_key": "4"},
            {"name": "n", "workflow_key": "5"},
        ]

    def test_a_job_is_known_by_its_token_unless_another_workflow_is_named(
        self, daemon: CannedDaemon, torcctl: Run, fully: bool, monkeypatch
    ) -> None:
        daemon.answer(u.Fetch, record("1"))
        monkeypatch.setenv("TORC_WORKFLOW_KEY", "4")
        monkeypatch.setenv("TORC_TOKEN", "secret")
        torcctl("data", "get", "n", fully=fully)
        torcctl("-k", "4", "data", "get", "n", fully=fully)
        torcctl("-k", "5", "data", "get", "n", fully=fully)
        assert daemon.asked(u.Fetch) == [
            {"name": "n", "token": "secret"},
            {"name": "n", "token": "secret"},
            {"name": "n", "workflow_key": "5"},
        ]


CASES = [
    ("data", "get", "n"),
    ("user-data", "get", "n"),
    ("data", "get", "n", "--record"),
    ("data", "get", "-r", "n"),
    ("data", "get", "--raw", "n", "--json"),
    ("data", "get", "n", "--wait"),
    ("data", "get", "n", "--timeout", "2.5"),
    ("data", "get", "n", "--timeout=2.5"),
    ("data", "get", "n", "--revision", "2"),
    ("-k", "7", "-F", "json", "-q", "data", "get", "n"),
    ("--format=json", "--key=7", "--quiet", "data", "get", "n"),
    ("--json", "-F", "table", "data", "put", "n", "1"),
    ("-F", "table", "--json", "data", "put", "n", "1"),
    ("data", "put", "n", "1", "-q"),
    ("data", "put", "n", "nope"),
    ("data", "put", "n", "NaN"),
    ("data", "put", "n", "[1, Infinity]"),
    ("data", "put", "n", '{"a": "\\ud800"}'),
    ("data", "put", "n", '"\\uD83D\\uDE00"'),
    ("data", "put", "n", ""),
    ("data", "put", "n", "1 2"),
    ("data", "put", "n", "[" * 100_000),
    ("data", "put", "n", "@/nowhere", "--json"),
    ("data", "put", "n", "--json", "{"),
    ("data", "put", "absent", "1"),
    ("data", "get", "absent"),
    ("data", "get", "absent", "-F", "json"),
    ("data", "get", "slow", "--timeout", "1"),
    # Beyond the quick path, or wrong.
    ("data", "get"),
    ("data", "get", "n", "m"),
    ("data", "get", "n", "--recrod"),
    ("data", "get", "n", "--timeout", "soon"),
    ("data", "get", "n", "--timeout", "nan"),
    ("data", "get", "n", "--revision", "0"),
    ("data", "get", "n", "-F", "xml"),
    ("-k", "", "data", "get", "n"),
    ("data", "put", "n", "1", "--wait"),
    ("data", "put", "--", "n", "1"),
    ("data", "put", "n"),
    ("data", "get", "--help"),
]


@pytest.mark.parametrize("words", CASES, ids=lambda words: " ".join(words)[:60])
def test_the_quick_path_and_the_full_command_line_do_the_same(
    words: tuple[str, ...], daemon: CannedDaemon, torcctl: Run
) -> None:
    def fetch(parameters: dict[str, object]) -> object:
        match parameters["name"]:
            case "absent":
                return errors.NotFound("no user_data 'absent'\x1b[31m", name="absent")
            case "slow":
                return errors.TimedOut("no value within 1 s", timeout_seconds=1.0)
        return record('"a\\u00e9"')

    daemon.answer(u.Fetch, fetch)
    daemon.answer(u.Store, fetch)
    quick = torcctl(*words)
    asked = list(daemon.calls)
    daemon.calls.clear()
    assert quick == torcctl(*words, fully=True)
    assert asked == daemon.calls


def test_the_usual_ways_to_write_it_take_the_quick_path() -> None:
    for words in CASES[:28]:
        assert values.parse(words) is not None, words
    for words in CASES[28:]:
        assert values.parse(words) is None, words


def test_whoever_has_settings_takes_the_full_command_line(home, daemon: CannedDaemon) -> None:
    (home / "config/torcd").mkdir(parents=True)
    (home / "config/torcd/torcctl.toml").write_text('format = "json"\n')
    for words in (("data", "get", "n"), ("status",)):
        assert fast.perform(words, {}) is None
    assert daemon.calls == []


def test_errors_of_the_daemon_have_their_exit_codes_and_are_fit_for_a_terminal(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    daemon.answer(u.Fetch, errors.NoValue("'n' has no value yet\x1b[2J", name="n"))
    outcome = torcctl("data", "get", "n")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "torcctl: 'n' has no value yet\\x1b[2J\n"
    daemon.answer(u.Fetch, errors.TimedOut("too late", timeout_seconds=1.0))
    outcome = torcctl("--json", "data", "get", "n", "--wait", "--timeout", "1")
    assert outcome.code == 124
    assert json.loads(outcome.err) == {
        "error": "io.torcd.Manager.TimedOut",
        "message": "too late",
        "timeout_seconds": 1.0,
    }


def test_without_a_daemon_it_is_3_at_once(torcctl: Run) -> None:
    outcome = torcctl("data", "get", "n")
    assert outcome.code == 3
    assert "torcctl daemon start" in outcome.err


def test_standard_input_is_still_there_when_the_daemon_hangs_up_and_the_client_asks_again(
    daemon: CannedDaemon, torcctl: Run, monkeypatch
) -> None:
    monkeypatch.setenv("TORC_TOKEN", "secret")
    answers = [HANG_UP, HANG_UP, record("1")]
    daemon.answer(u.Store, lambda _: answers.pop(0))
    assert torcctl("data", "put", "n", "-", stdin=b"[1]").code == 0
    assert [call["data"] for call in daemon.asked(u.Store)] == [[1], [1], [1]]


@pytest.mark.parametrize("value", ["{'a': 1}", "[1,", '"', "nope", "NaN", "[" * 100_000, ""])
def test_what_is_not_json_is_told_also_while_the_json_module_is_not_loaded(value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "torcctl", "data", "put", "n", value],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("torcctl: the value for 'n' is not JSON: ")


@pytest.mark.parametrize("answer", [b"{", b"[]", b"{}", b'{"parameters": {"record"', b"\xff"])
def test_an_answer_that_is_none_is_an_error_and_no_traceback(
    answer: bytes, home: Path, torcctl: Run
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "s"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer + b"\0")

        thread = threading.Thread(target=serve)
        thread.start()
        outcome = torcctl("data", "get", "n")
        thread.join()
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("torcctl: the daemon's answer")


def test_the_quick_path_imports_next_to_nothing(daemon: CannedDaemon) -> None:
    daemon.answer(u.Fetch, record("1"))
    program = (
        "import sys; before = set(sys.modules); sys.argv = ['torcctl', 'data', 'get', 'n']\n"
        "from torcctl import entry\n"
        "assert entry.run(sys.argv[1:]) == 0\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = done.stderr.split()
    assert done.stdout == "1\n"
    heavy = {"click", "msgspec", "asyncio", "rich", "typing", "pathlib", "torcd.errors", "tempfile"}
    assert not heavy.intersection(loaded)
    assert [name for name in loaded if name.startswith("torcd")] == ["torcd", "torcd.locations"]
