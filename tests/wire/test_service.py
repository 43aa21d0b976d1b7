"""The wire of a real daemon: other people's clients, and bytes nobody should send."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import varlink

from tests.daemon_process import Daemon
from torcd.protocol.registry import INTERFACES
from torcd.server.listener import MAX_CONNECTIONS

JOB = {"jobs": [{"command": "true"}], "user_data": [{"name": "v", "data": {"a": 1.50}}]}


def connect(daemon: Daemon) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(daemon.socket))
    return sock


def send(sock: socket.socket, message: object) -> None:
    sock.sendall(json.dumps(message).encode() + b"\0")


def receive(sock: socket.socket) -> Any:
    """The next message; None when the daemon has closed the connection."""
    data = b""
    while not data.endswith(b"\0"):
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            return None
        if not piece:
            return None
        data += piece
    return json.loads(data[:-1])


def ask(daemon: Daemon, method: str, **parameters: object) -> Any:
    with connect(daemon) as sock:
        send(sock, {"method": method, "parameters": parameters})
        return receive(sock)


def test_a_value_that_does_not_fit_its_schema_is_an_invalid_value(daemon: Daemon) -> None:
    data = {"name": "v", "data": 1, "schema": {"type": "integer"}}
    key = daemon.submit({**JOB, "user_data": [data]})
    assert ask(daemon, "io.torcd.UserData.Store", name="v", data="s", workflow_key=key) == {
        "error": "io.torcd.UserData.InvalidValue",
        "parameters": {
            "message": "the value of 'v' does not fit its schema: "
            "data: expected integer, not string",
            "name": "v",
            "problem": "data: expected integer, not string",
        },
    }
    stored = ask(daemon, "io.torcd.UserData.Store", name="v", data=2, workflow_key=key)
    assert stored["parameters"]["record"]["revision"] == 2


def test_a_spec_whose_data_does_not_fit_is_refused_by_the_daemon_itself(daemon: Daemon) -> None:
    data = {"name": "v{i}", "data": "{i}", "schema": {"const": "1"}, "parameters": {"i": "1:2"}}
    answer = ask(
        daemon,
        "io.torcd.Manager.Submit",
        workflow={"jobs": [{"command": "true"}], "user_data": [data]},
        directory="/",
    )
    assert answer["error"] == "io.torcd.Manager.InvalidSpec"
    (problem,) = answer["parameters"]["problems"]
    assert problem["path"] == "user_data[0].data"
    assert problem["message"] == 'the data does not fit its schema: expected "1"'
    assert ask(daemon, "io.torcd.Manager.ListWorkflows")["parameters"] == {"items": []}


def test_another_varlink_client_finds_its_way(daemon: Daemon) -> None:
    key = daemon.submit(JOB)
    with varlink.Client(f"unix:{daemon.socket}") as client:
        info = client.get_interfaces()
        assert set(info) == {interface.name for interface in INTERFACES}
        with client.open("io.torcd.UserData") as connection:
            record = connection.Fetch(name="v", workflow_key=key)["record"]
            assert (record["data"], record["revision"]) == ({"a": 1.5}, 1)
            with pytest.raises(varlink.VarlinkError) as refused:
                connection.Fetch(name="w", workflow_key=key)
            assert refused.value.error() == "io.torcd.UserData.NotFound"
        with client.open("io.torcd.Manager") as connection:
            assert connection.GetStatus()["version"]


def test_every_method_of_the_description_is_answered(daemon: Daemon) -> None:
    daemon.submit(JOB)
    for interface in INTERFACES:
        for method in interface.methods:
            answer = ask(daemon, f"{interface.name}.{method.name}", surely_unknown=1)
            assert answer.get("error") not in (
                "org.varlink.service.MethodNotFound",
                "io.torcd.Manager.Internal",
            )


def test_the_text_of_a_value_is_passed_through(daemon: Daemon) -> None:
    key = daemon.submit(JOB)
    with connect(daemon) as sock:
        call = b'{"method":"io.torcd.UserData.Fetch","parameters":{"name":"v","workflow_key":"%s"}}'
        sock.sendall(call % key.encode() + b"\0")
        answer = b""
        while not answer.endswith(b"\0"):
            answer += sock.recv(65536)
    assert b'"data":{"a":1.5' in answer.replace(b" ", b"")


def test_a_value_is_absent_and_not_null_where_there_is_none(daemon: Daemon) -> None:
    daemon.submit({"jobs": [{"command": "true"}], "user_data": [{"name": "v"}]})
    (record,) = ask(daemon, "io.torcd.UserData.List")["parameters"]["items"]
    assert "data" not in record
    assert record["revision"] == 0


@pytest.mark.parametrize(
    ("method", "parameters", "error", "fact"),
    [
        ("io.torcd.UserData.Fetch", {"name": 5}, "InvalidParameter", ("parameter", "name")),
        ("io.torcd.UserData.Fetch", {"nam": "v"}, "InvalidParameter", ("parameter", "nam")),
        ("io.torcd.UserData.Store", {"name": "v"}, "InvalidParameter", ("parameter", "data")),
        ("io.torcd.UserData.Watch", {}, "ExpectedMore", None),
        ("io.torcd.UserData.Nothing", {}, "MethodNotFound", None),
        ("io.torcd.Nothing.Fetch", {}, "InterfaceNotFound", ("interface", "io.torcd.Nothing")),
        ("Fetch", {}, "InterfaceNotFound", None),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(
    daemon: Daemon,
    method: str,
    parameters: dict[str, object],
    error: str,
    fact: tuple[str, str] | None,
) -> None:
    answer = ask(daemon, method, **parameters)
    assert answer["error"] == f"org.varlink.service.{error}"
    if fact is not None:
        assert answer["parameters"][fact[0]] == fact[1]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0",
        b"hello\0",
        b"[]\0",
        b'{"method": 5}\0',
        b'{"parameters": {}}\0',
        b"\xff\xfe\xfd\0",
        b"[" * 100_000 + b"\0",
        b'{"method":"io.torcd.Manager.GetStatus","parameters":[]}\0',
        b"GET / HTTP/1.1\r\n\r\n\0",
    ],
)
def test_garbage_costs_only_its_sender(daemon: Daemon, garbage: bytes) -> None:
    with connect(daemon) as sock:
        sock.sendall(garbage)
        answer = receive(sock)
        assert answer is None or "error" in answer
    assert "parameters" in ask(daemon, "io.torcd.Manager.GetStatus")


@pytest.mark.parametrize("text", [b"NaN", b"-Infinity", b'"\\ud800"', b"[1,"])
def test_a_value_that_is_no_json_is_told_so(daemon: Daemon, text: bytes) -> None:
    key = daemon.submit(JOB)
    call = b'{"method":"io.torcd.UserData.Store","parameters":{"name":"v","data":%s}}\0'
    with connect(daemon) as sock:
        sock.sendall(call % text)
        assert receive(sock)["error"] == "io.torcd.UserData.InvalidValue"
        assert receive(sock) is None
    assert ask(daemon, "io.torcd.UserData.Fetch", name="v", workflow_key=key)["parameters"]


def test_a_message_without_end_is_cut_off(daemon: Daemon) -> None:
    with connect(daemon) as sock, pytest.raises((BrokenPipeError, ConnectionResetError)):
        sock.sendall(b"x" * (40 << 20))
    assert "parameters" in ask(daemon, "io.torcd.Manager.GetStatus")


def test_calls_of_one_connection_are_answered_in_order(daemon: Daemon) -> None:
    daemon.submit(JOB)
    with connect(daemon) as sock:
        for number in range(200):
            send(
                sock,
                {
                    "method": "io.torcd.UserData.Store",
                    "parameters": {"name": "v", "data": number},
                },
            )
        revisions = []
        data = b""
        while len(revisions) < 200:
            data += sock.recv(65536)
            *whole, data = data.split(b"\0")
            revisions += [json.loads(m)["parameters"]["record"]["revision"] for m in whole]
    assert revisions == list(range(2, 202))


def test_a_oneway_call_is_carried_out_and_not_answered(daemon: Daemon) -> None:
    daemon.submit(JOB)
    with connect(daemon) as sock:
        store = {"method": "io.torcd.UserData.Store", "parameters": {"name": "v", "data": 7}}
        send(sock, {**store, "oneway": True})
        send(sock, {"method": "io.torcd.UserData.Fetch", "parameters": {"name": "v"}})
        assert receive(sock)["parameters"]["record"]["data"] == 7


def test_who_closes_their_side_early_still_gets_the_answer(daemon: Daemon) -> None:
    with connect(daemon) as sock:
        send(sock, {"method": "org.varlink.service.GetInfo"})
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock)["parameters"]["product"] == "torcd"
        assert receive(sock) is None


def test_connections_are_capped_and_the_rest_told_so(daemon: Daemon) -> None:
    sockets = []
    try:
        for _ in range(MAX_CONNECTIONS):
            sock = connect(daemon)
            send(sock, {"method": "org.varlink.service.GetInfo"})
            sockets.append(sock)
        for sock in sockets:
            assert "parameters" in receive(sock)
        with connect(daemon) as late:
            answer = receive(late)
            assert answer["error"] == "io.torcd.UserData.Denied"
            assert "too many" in answer["parameters"]["message"]
        sockets.pop().close()
        assert "parameters" in ask_until_served(daemon)
    finally:
        for sock in sockets:
            sock.close()


def ask_until_served(daemon: Daemon) -> Any:
    """The daemon sees a closed connection a moment after we closed it."""
    answer = ask(daemon, "org.varlink.service.GetInfo")
    while "error" in answer:
        answer = ask(daemon, "org.varlink.service.GetInfo")
    return answer


def test_the_socket_is_for_its_owner_only(daemon: Daemon) -> None:
    assert daemon.socket.stat().st_mode & 0o777 == 0o600
    assert daemon.socket.parent.stat().st_mode & 0o077 == 0
    assert daemon.state_dir.stat().st_mode & 0o077 == 0
    assert (daemon.state_dir / "torcd.db").stat().st_mode & 0o777 == 0o600


def test_the_socket_of_a_killed_daemon_is_replaced(daemon: Daemon) -> None:
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()
    assert "parameters" in ask(daemon, "io.torcd.Manager.GetStatus")
    daemon.stop()
    assert not daemon.socket.exists()


def test_what_is_in_the_way_of_the_socket_is_left_alone(daemon: Daemon) -> None:
    daemon.stop()
    daemon.socket.write_text("precious")
    with pytest.raises(AssertionError, match="something is there that is no socket"):
        daemon.start()
    assert Path(daemon.socket).read_text() == "precious"
