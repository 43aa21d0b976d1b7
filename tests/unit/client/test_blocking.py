"""The blocking client against a daemon that answers well, badly, late or not at all."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import msgspec
import pytest

from tests.unit.client.scripted_daemon import Call, InTurn, Peer, ScriptedDaemon, record, workflow
from torcd import errors
from torcd.client import Client, calls
from torcd.model import JobStatus
from torcd.protocol import manager as m
from torcd.protocol import user_data as u
from torcd.spec import JobSpec, UserDataSpec, WorkflowSpec


@pytest.fixture
def client(daemon: ScriptedDaemon) -> Iterator[Client]:
    with Client(daemon.path, restart_timeout_seconds=0) as client:
        yield client


@pytest.fixture
def patient(daemon: ScriptedDaemon) -> Iterator[Client]:
    with Client(daemon.path, restart_timeout_seconds=30) as client:
        yield client


def stores(call: Call, peer: Peer) -> None:
    peer.reply(record=record(call.parameters["name"], data=call.parameters["data"]))


def closes(_: Call, peer: Peer) -> None:
    peer.close()


def before_each_pause(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Call `action` where the client would sleep before it tries again."""
    pause = calls.pause

    def act(*arguments: Any) -> None:
        pause(*arguments)
        action()

    monkeypatch.setattr(calls, "pause", act)


# Requests and replies


def test_a_value_is_stored_by_its_name_for_the_newest_workflow(
    daemon: ScriptedDaemon, client: Client
) -> None:
    daemon.script = stores
    stored = client.store("x", {"result": [1.5, None, "é"]})
    assert stored.revision == 1
    assert isinstance(stored.data, msgspec.Raw)
    (call,) = daemon.calls
    assert call.whole == {
        "method": "io.torcd.UserData.Store",
        "parameters": {"name": "x", "data": {"result": [1.5, None, "é"]}},
    }


def test_a_fetched_value_is_python_data_with_integers_of_any_size(
    daemon: ScriptedDaemon, client: Client
) -> None:
    digits = "9" * 10_000
    text = f'{{"parameters":{{"record":{{"key":"1","name":"x","workflow_key":"1",\
"is_ephemeral":false,"data":[{digits},-{digits},1.5,{{"a":null}}],"revision":3}}}}}}'
    daemon.script = lambda call, peer: peer.raw(text.encode() + b"\0")
    big = 10**10_000 - 1
    assert client.fetch("x") == [big, -big, 1.5, {"a": None}]


def test_the_record_has_the_text_of_its_value(daemon: ScriptedDaemon, client: Client) -> None:
    daemon.script = lambda call, peer: peer.raw(
        b'{"parameters":{"record":{"key":"1","name":"x","workflow_key":"1","is_ephemeral":false,'
        b'"data":1.50e2,"revision":3,"stored_by":null}}}\0'
    )
    found = client.record("x", revision=3)
    assert isinstance(found.data, msgspec.Raw)
    assert bytes(found.data) == b"1.50e2"
    assert daemon.calls[0].parameters == {"name": "x", "revision": 3}


def test_a_workflow_that_is_named_goes_before_the_one_of_the_environment(
    daemon: ScriptedDaemon, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.script = lambda call, peer: peer.reply(items=[])
    monkeypatch.setenv("TORC_WORKFLOW_KEY", "5")
    client.list(workflow_key="9", relation="stores", job_key="11")
    client.history("x")
    assert [call.parameters for call in daemon.calls] == [
        {"relation": "stores", "job_key": "11", "workflow_key": "9"},
        {"name": "x", "workflow_key": "5"},
    ]


def test_with_a_token_requests_speak_as_that_job_unless_they_name_a_workflow(
    daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.script = stores
    monkeypatch.setenv("TORC_WORKFLOW_KEY", "5")
    with Client(daemon.path, token="secret") as client:
        client.store("x", 1)
        client.store("x", 2, workflow_key="9")
    assert [call.parameters for call in daemon.calls] == [
        {"name": "x", "data": 1, "token": "secret"},
        {"name": "x", "data": 2, "workflow_key": "9"},
    ]


def test_the_methods_for_workflows_send_what_they_are_given(
    daemon: ScriptedDaemon, client: Client, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies: dict[str, dict[str, Any]] = {
        "Submit": {"key": "1", "name": "w", "jobs": 1},
        "GetWorkflow": {"workflow": workflow("paused")},
        "ListJobs": {"items": []},
        "ListResults": {"items": []},
        "Cancel": {"workflow_key": "1", "jobs": ["a"]},
    }
    daemon.script = lambda call, peer: peer.reply(**replies[call.method])
    monkeypatch.chdir(tmp_path)
    spec = {"jobs": [{"command": "true"}]}
    assert client.submit(spec, directory="sub", environment={"A": "1", "B": "\udcff"}).key == "1"
    client.submit(WorkflowSpec(jobs=(JobSpec(command="true"),)), environment={})
    client.submit(b'{"jobs": []}', name="w", environment={}, max_parallel_jobs=3)
    assert client.status("1").status.value == "paused"
    assert client.jobs("a*", statuses=[JobStatus.FAILED]) == []
    assert client.results(["a"], run_id=2) == []
    assert client.cancel(["a"], workflow_key="1").jobs == ["a"]
    assert [call.parameters for call in daemon.calls] == [
        {"workflow": spec, "directory": f"{tmp_path}/sub", "environment": {"A": "1"}},
        {"workflow": spec, "directory": str(tmp_path), "environment": {}},
        {
            "workflow": {"jobs": []},
            "directory": str(tmp_path),
            "default_name": "w",
            "environment": {},
            "max_parallel_jobs": 3,
        },
        {"workflow_key": "1"},
        {"statuses": ["failed"], "jobs": ["a*"]},
        {"run_id": 2, "jobs": ["a"]},
        {"workflow_key": "1", "jobs": ["a"]},
    ]


@pytest.mark.parametrize(
    ("workflow", "path", "said"),
    [
        (WorkflowSpec(parameters={"x": float("inf")}), "parameters.x", "inf is not JSON"),
        ({"jobs": [{"command": "\ud800"}]}, "jobs[0].command", "surrogate"),
        ({"jobs": [{"command": object()}]}, "jobs[0].command", "type object"),
        (
            WorkflowSpec(user_data=(UserDataSpec(name="d", data=msgspec.Raw(b"[1,}")),)),
            "",
            "not JSON",
        ),
        (b"{", "", "not JSON: Input data was truncated"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "", "nested too deep", id="nested"),
        (b"\xff", "", "not JSON"),
    ],
)
def test_a_workflow_that_json_cannot_say_is_an_invalid_spec(
    daemon: ScriptedDaemon, client: Client, workflow: Any, path: str, said: str
) -> None:
    with pytest.raises(errors.InvalidSpec) as refused:
        client.submit(workflow)
    [problem] = refused.value.facts["problems"]  # type: ignore[misc, union-attr]
    assert problem["path"] == path  # type: ignore[index]
    assert said in problem["message"]  # type: ignore[index, operator]
    assert refused.value.message.startswith(path)
    assert daemon.calls == []


def test_calls_share_a_connection(daemon: ScriptedDaemon, client: Client) -> None:
    daemon.script = stores
    for value in range(5):
        client.store("x", value)
    assert len(daemon.peers) == 1


def test_answers_in_pieces_and_answers_together_are_told_apart(
    daemon: ScriptedDaemon, client: Client
) -> None:
    def script(call: Call, peer: Peer) -> None:
        for byte in b'{"parameters":{"workflow":':
            peer.raw(bytes([byte]))
        text = msgspec.json.encode(workflow())
        peer.raw(text + b'},"continues":true}\0{"parameters":{"workflow":' + text + b"}}\0")

    daemon.script = script
    replies = list(client.stream(m.FollowWorkflow()))
    assert [reply.workflow.name for reply in replies] == ["w", "w"]
    assert daemon.calls[0].whole["more"] is True


def test_a_value_of_16_mib_goes_both_ways(daemon: ScriptedDaemon, client: Client) -> None:
    daemon.script = stores
    value = "x" * (16 * 1024 * 1024 - 2)
    client.store("x", value)
    daemon.script = lambda call, peer: peer.reply(record=record(data=value))
    assert client.fetch("x") == value


# Errors


def test_an_error_of_the_daemon_is_raised_as_its_class_with_message_and_facts(
    daemon: ScriptedDaemon, client: Client
) -> None:
    daemon.script = lambda call, peer: peer.raw(
        b'{"error":"io.torcd.UserData.NotDeclared","parameters":'
        b'{"message":"you did not declare it","name":"x","self":"odd"}}\0'
    )
    with pytest.raises(errors.NotDeclared, match="you did not declare it") as caught:
        client.fetch("x")
    assert caught.value.facts == {"name": "x", "self": "odd"}
    daemon.script = stores
    client.store("x", 1)
    assert len(daemon.peers) == 1


def test_an_error_that_is_not_known_says_its_name(daemon: ScriptedDaemon, client: Client) -> None:
    daemon.script = lambda call, peer: peer.error("io.torcd.Moon.Eclipse", message="dark")
    with pytest.raises(errors.TorcError, match=r"dark .*io\.torcd\.Moon\.Eclipse") as caught:
        client.fetch("x")
    assert caught.value.facts == {"error": "io.torcd.Moon.Eclipse"}


def test_a_method_that_the_daemon_does_not_know_makes_a_clear_error(
    daemon: ScriptedDaemon, client: Client
) -> None:
    daemon.script = lambda call, peer: peer.error("org.varlink.service.MethodNotFound", method="M")
    with pytest.raises(errors.MethodNotFound, match="older than this client"):
        client.history("x")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\0",
        b"\0",
        b"[]\0",
        b"null\0",
        b'{"parameters": 1}\0',
        b'{"parameters": null}\0',
        b'{"parameters": {"record": {"key": 1}}}\0',
        b'{"error": 1}\0',
        b'{"parameters": {"record": "\xff"}}\0',
        b'{"parameters":' + b"[" * 5000 + b"\0",
        b"\xff\xfe\0",
    ],
)
def test_garbage_is_an_error_and_the_next_call_has_a_new_connection(
    daemon: ScriptedDaemon, client: Client, answer: bytes
) -> None:
    daemon.script = lambda call, peer: peer.raw(answer + b'{"parameters": {}}\0')
    with pytest.raises(errors.InvalidMessage):
        client.fetch("x")
    daemon.script = stores
    client.store("x", 1)
    assert len(daemon.peers) == 2


@pytest.mark.parametrize("parameters", [None, "text", {"message": 5, "name": "x"}, [1]])
def test_an_error_with_odd_parameters_is_still_that_error(
    daemon: ScriptedDaemon, client: Client, parameters: object
) -> None:
    text = msgspec.json.encode({"error": "io.torcd.UserData.NoValue", "parameters": parameters})
    daemon.script = lambda call, peer: peer.raw(text + b"\0")
    with pytest.raises(errors.NoValue):
        client.fetch("x")


def test_fields_of_a_newer_daemon_are_passed_over(daemon: ScriptedDaemon, client: Client) -> None:
    daemon.script = lambda call, peer: peer.reply(record=record(data=1, colour="red"), extra=1)
    assert client.fetch("x") == 1


@pytest.mark.parametrize("sent", [b"", b'{"parameters": {', b'{"parameters": {}}'])
def test_a_connection_that_ends_without_a_whole_answer_is_no_daemon(
    daemon: ScriptedDaemon, client: Client, sent: bytes
) -> None:
    def script(call: Call, peer: Peer) -> None:
        peer.raw(sent)
        peer.close()

    daemon.script = script
    with pytest.raises(errors.NoDaemon, match="went away before it answered Fetch"):
        client.fetch("x")


def test_nobody_at_the_socket_is_no_daemon_and_says_what_to_do(tmp_path: Any) -> None:
    path = str(tmp_path / "none.sock")
    with pytest.raises(errors.NoDaemon, match="torcctl daemon start") as caught:
        Client(path, restart_timeout_seconds=0).status()
    assert caught.value.facts == {"socket": path}


@pytest.mark.parametrize("path", ["x" * 200, "/dev/null/torcd.sock"])
def test_a_socket_that_can_never_be_is_not_waited_for(path: str) -> None:
    with pytest.raises(errors.NoDaemon, match="cannot be used"):
        Client(path, restart_timeout_seconds=1000).status()


@pytest.mark.parametrize("answer", [None, "io.torcd.UserData.TooLarge"])
def test_a_huge_value_that_the_daemon_does_not_read_is_too_large(
    daemon: ScriptedDaemon, patient: Client, answer: str | None
) -> None:
    daemon.read_calls = False
    accept = daemon._serve

    def serve(peer: Peer) -> None:
        if answer is not None:
            peer.error(answer, message="the daemon says so")
        accept(peer)

    daemon._serve = serve  # type: ignore[method-assign]
    with pytest.raises(errors.TooLarge, match="the daemon says so" if answer else "20000002"):
        patient.store("x", "x" * 20_000_000)


def test_a_workflow_that_is_too_large_for_a_message_is_told_what_takes_less(
    daemon: ScriptedDaemon, patient: Client
) -> None:
    daemon.read_calls = False
    with pytest.raises(errors.TooLarge, match=r"Submit has 20\d+ bytes.*regexes"):
        patient.submit({"jobs": [{"command": "x" * 20_000_000}]}, directory="/")


# A daemon that restarts


def test_a_read_waits_for_a_daemon_that_is_starting(
    daemon: ScriptedDaemon, patient: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.script = lambda call, peer: peer.reply(record=record(data=1))
    daemon.stop()
    before_each_pause(monkeypatch, daemon.start)
    assert patient.fetch("x") == 1


def test_an_idle_connection_of_an_earlier_daemon_is_not_noticed(
    daemon: ScriptedDaemon, client: Client
) -> None:
    daemon.script = stores
    client.store("x", 1)
    daemon.stop()
    daemon.start()
    client.store("x", 2)
    assert [call.parameters["data"] for call in daemon.calls] == [1, 2]


def test_a_store_whose_answer_is_lost_is_sent_again(
    daemon: ScriptedDaemon, patient: Client
) -> None:
    daemon.script = InTurn(closes, stores)
    assert patient.store("x", 1).revision == 1
    assert [call.method for call in daemon.calls] == ["Store", "Store"]


def test_a_request_that_is_not_safe_to_repeat_is_sent_once(
    daemon: ScriptedDaemon, patient: Client
) -> None:
    daemon.script = closes
    with pytest.raises(errors.NoDaemon, match="may or may not have done Cancel"):
        patient.cancel()
    assert len(daemon.calls) == 1


def test_a_request_that_is_not_safe_to_repeat_never_goes_into_an_old_connection(
    daemon: ScriptedDaemon, client: Client
) -> None:
    daemon.script = lambda call, peer: peer.reply(
        record=record(), workflow_key="1", jobs=[], data=None
    )
    client.store("x", 1)
    daemon.stop()
    daemon.start()
    client.cancel()
    assert [call.method for call in daemon.calls] == ["Store", "Cancel"]


def test_a_daemon_that_is_shutting_down_is_asked_again_whatever_the_request(
    daemon: ScriptedDaemon, patient: Client
) -> None:
    daemon.script = InTurn(
        lambda call, peer: peer.error("io.torcd.Manager.ShuttingDown", message="bye"),
        lambda call, peer: peer.reply(workflow_key="1", jobs=[]),
    )
    assert patient.cancel().workflow_key == "1"


def test_a_daemon_that_stays_away_is_given_up(daemon: ScriptedDaemon, client: Client) -> None:
    daemon.script = lambda call, peer: peer.error("io.torcd.Manager.ShuttingDown", message="bye")
    with pytest.raises(errors.ShuttingDown, match="bye"):
        client.fetch("x")


def test_a_wait_goes_on_after_a_restart_with_what_is_left_of_its_time(
    daemon: ScriptedDaemon, patient: Client
) -> None:
    daemon.script = InTurn(closes, lambda call, peer: peer.reply(record=record(data=5)))
    assert patient.fetch("x", wait=True, timeout=60) == 5
    first, second = (call.parameters for call in daemon.calls)
    assert first == {"name": "x", "wait": True, "timeout_seconds": 60}
    assert 0 < second["timeout_seconds"] < 60


def test_a_daemon_that_never_answers_is_a_timeout(daemon: ScriptedDaemon) -> None:
    daemon.script = lambda call, peer: None
    with (
        Client(daemon.path, restart_timeout_seconds=0.05) as client,
        pytest.raises(errors.TimedOut, match=r"no answer to Fetch within 0\.05 s"),
    ):
        client.fetch("x", wait=True, timeout=0.05)
    assert daemon.peers[0].gone.wait(10)


# Streams


def test_a_stream_that_is_left_early_closes_its_connection(
    daemon: ScriptedDaemon, client: Client
) -> None:
    daemon.script = lambda call, peer: peer.reply(continues=True, record=record())
    stream = client.stream(u.Watch())
    next(stream)
    stream.close()
    assert daemon.peers[0].gone.wait(10)


def test_a_stream_that_breaks_in_the_middle_is_no_daemon(
    daemon: ScriptedDaemon, patient: Client
) -> None:
    def script(call: Call, peer: Peer) -> None:
        peer.reply(continues=True, record=record())
        peer.close()

    daemon.script = script
    stream = patient.stream(u.Watch())
    next(stream)
    with pytest.raises(errors.NoDaemon):
        next(stream)
    assert len(daemon.calls) == 1


def test_a_stream_may_end_in_an_error(daemon: ScriptedDaemon, client: Client) -> None:
    def script(call: Call, peer: Peer) -> None:
        peer.reply(continues=True, event={"number": 1, "at": "t", "kind": "k", "workflow_key": "1"})
        peer.error("io.torcd.Manager.Lagged", message="too slow", next=2)

    daemon.script = script
    stream = client.stream(m.FollowEvents())
    assert next(stream).event.number == 1
    with pytest.raises(errors.Lagged) as caught:
        next(stream)
    assert caught.value.facts == {"next": 2}


def test_a_watch_goes_on_after_a_restart_and_shows_no_record_twice(
    daemon: ScriptedDaemon, patient: Client
) -> None:
    def first(call: Call, peer: Peer) -> None:
        peer.reply(continues=True, record=record("x", key="1", revision=0))
        peer.reply(continues=True, record=record("y", key="2", revision=4))
        peer.reply(continues=True, record=record("x", key="1", revision=1))
        peer.close()

    def lagged(call: Call, peer: Peer) -> None:
        peer.error("io.torcd.Manager.Lagged", message="too slow", next=9)

    def second(call: Call, peer: Peer) -> None:
        peer.reply(continues=True, record=record("x", key="1", revision=1))
        peer.reply(continues=True, record=record("y", key="2", revision=6))
        peer.reply(record=record("x", key="1", revision=2))

    daemon.script = InTurn(first, lagged, second)
    seen = [(found.name, found.revision) for found in patient.watch()]
    assert seen == [("x", 0), ("y", 4), ("x", 1), ("y", 6), ("x", 2)]


def test_a_wait_for_a_workflow_goes_on_after_a_restart_and_ends_when_it_is_over(
    daemon: ScriptedDaemon, patient: Client
) -> None:
    def first(call: Call, peer: Peer) -> None:
        peer.reply(continues=True, workflow=workflow(key="3"))
        peer.close()

    def second(call: Call, peer: Peer) -> None:
        peer.reply(continues=True, workflow=workflow(key="3", stopping=True))
        peer.reply(workflow=workflow("canceled", key="3"))

    daemon.script = InTurn(first, second)
    assert patient.wait().status.value == "canceled"
    assert [call.parameters for call in daemon.calls] == [{}, {"workflow_key": "3"}]


def test_a_wait_for_a_workflow_times_out(daemon: ScriptedDaemon, patient: Client) -> None:
    daemon.script = lambda call, peer: peer.reply(continues=True, workflow=workflow())
    with pytest.raises(errors.TimedOut) as caught:
        patient.wait(timeout=0.05)
    assert caught.value.facts == {"timeout_seconds": 0.05}


# Threads, forks, interrupts


def test_a_thread_that_waits_does_not_keep_another_from_storing(
    daemon: ScriptedDaemon, client: Client
) -> None:
    stored = threading.Event()

    def script(call: Call, peer: Peer) -> None:
        if call.method == "Store":
            stores(call, peer)
            stored.set()
        else:
            assert stored.wait(10)
            peer.reply(record=record(data=1))

    daemon.script = script
    fetched: list[Any] = []
    waiting = threading.Thread(target=lambda: fetched.append(client.fetch("x", wait=True)))
    waiting.start()
    client.store("x", 1)
    waiting.join(10)
    assert fetched == [1]


_FORKING = """
import os, sys
from torcd.client import Client
client = Client(sys.argv[1])
client.store("x", "before")
child = os.fork()
client.store("x", "child" if child == 0 else "parent")
if child:
    os.waitpid(child, 0)
os._exit(0)
"""


def test_a_fork_has_a_connection_of_its_own(daemon: ScriptedDaemon) -> None:
    daemon.script = stores
    subprocess.run([sys.executable, "-c", _FORKING, daemon.path], check=True, timeout=30)
    values = sorted(call.parameters["data"] for call in daemon.calls)
    assert values == ["before", "child", "parent"]
    assert len(daemon.peers) == 2


def test_a_call_that_was_interrupted_leaves_no_answer_for_the_next(
    daemon: ScriptedDaemon, client: Client
) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    def late(call: Call, peer: Peer) -> None:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGUSR1)

    daemon.script = InTurn(late, lambda call, peer: peer.reply(record=record(data="second")))
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Interrupted):
            client.fetch("x")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert client.fetch("x") == "second"
    assert len(daemon.peers) == 2
