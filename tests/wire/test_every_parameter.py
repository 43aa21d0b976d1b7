"""Each parameter of each method, given what it should not be: a clear answer, and no bug behind."""

import socket

import msgspec

from tests.daemon_process import Daemon
from torcd.protocol.registry import INTERFACES, Method, full_name

WRONG = [
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1.5",
    b"1e999999999",
    b"9223372036854775808",
    b"-99999999999999999999999999",
    b"9" * 5_000,
    b"NaN",
    b'""',
    b'"*"',
    b'"[z-a]"',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\xff"',
    b'"999999999999999999"',
    b"[]",
    b"{}",
    b"[null]",
    b'["k", "*"]',
    b'{"a": 1}',
    b"[" * 10_000 + b"]" * 10_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'"' + b"x" * 100_000 + b'"',
]

RIGHT = {
    "data": b"1",
    "directory": b'"/tmp"',
    "jobs": b'["k"]',
    "workflow": b'{"jobs": [{"command": "true"}]}',
}

SPEC = {
    "jobs": [
        {"name": "j", "command": "sleep 1000", "output_user_data": ["x"]},
        {"name": "k", "command": "true", "depends_on": ["j"]},
    ],
    "user_data": [{"name": "x", "data": 1}],
}


def _message(method: Method, field: str, value: bytes) -> bytes:
    parameters = {
        f.encode_name: RIGHT.get(f.name, b'"x"')
        for f in msgspec.structs.fields(method.parameters)
        if f.required
    }
    if "name" in method.parameters.__struct_fields__:
        parameters["name"] = b'"x"'
    parameters[field] = value
    body = b",".join(b'"%s":%s' % (name.encode(), text) for name, text in parameters.items())
    more = b"true" if method.streams else b"false"
    return b'{"method":"%s","more":%s,"parameters":{%s}}\0' % (
        full_name(method.parameters).encode(),
        more,
        body,
    )


def _first_answer(daemon: Daemon, message: bytes) -> bytes:
    """Nothing, when the connection was closed or the answer may take as long as it likes."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(0.05 if b'"more":true' in message else 20)
        sock.connect(str(daemon.socket))
        try:
            sock.sendall(message)
            return sock.recv(1 << 16)
        except (ConnectionError, TimeoutError):
            return b""


def test_no_wrong_parameter_finds_a_bug(daemon: Daemon) -> None:
    daemon.submit(SPEC)
    for interface in INTERFACES:
        for method in interface.methods:
            if method.name == "Stop":
                continue
            for field in msgspec.structs.fields(method.parameters):
                for value in WRONG:
                    message = _message(method, field.encode_name, value)
                    answer = _first_answer(daemon, message)
                    assert b"Internal" not in answer, (method.name, field.name, value[:50])
    log = daemon.log.read_text()
    assert "Traceback" not in log
    assert "exception" not in log
