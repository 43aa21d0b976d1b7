"""Specs that no client of ours would send: refused in words, and the daemon serves on as before."""

import json
import os
import socket
from pathlib import Path

import pytest

from tests.daemon_process import Daemon

DEEP = 10_000
MIB = 1 << 20

JOB = '{"command": "true"}'


def with_job(**fields: str) -> str:
    """A workflow of one right job and these fields, given as JSON."""
    return "{" + ", ".join([f'"jobs": [{JOB}]', *(f'"{k}": {v}' for k, v in fields.items())]) + "}"


def job(**fields: str) -> str:
    """A workflow of one job with these fields, given as JSON."""
    return '{"jobs": [{' + ", ".join(f'"{k}": {v}' for k, v in fields.items()) + "}]}"


def deep(opening: str, closing: str) -> str:
    return opening * DEEP + "1" + closing * DEEP


LISTS, MAPPINGS, MIXED = deep("[", "]"), deep('{"a":', "}"), deep('[{"a":', "}]")
BIG = "9" * 100_000

REFUSED = {
    "null": "null",
    "a_text": '"jobs"',
    "a_list": "[]",
    "no_jobs": "{}",
    "null_jobs": '{"jobs": null}',
    "wrong_jobs": '{"jobs": {}}',
    "job_without_command": '{"jobs": [{}]}',
    "deep_lists": LISTS,
    "deep_mappings": MAPPINGS,
    "deep_unknown_field": with_job(unknown=MIXED),
    "deep_name": with_job(name=LISTS),
    "deep_env": with_job(env=MAPPINGS),
    "deep_parameters": with_job(parameters=MAPPINGS),
    "deep_data": with_job(user_data=f'[{{"name": "d", "data": {MIXED}}}]'),
    "deep_schema": with_job(user_data=f'[{{"name": "d", "schema": {LISTS}}}]'),
    "schema_that_is_none": with_job(user_data='[{"name": "d", "schema": {"type": 5}}]'),
    "data_in_half": with_job(user_data='[{"name": "d", "data": "\\ud800"}]'),
    "exponent": with_job(user_data=f'[{{"name": "d", "data": 1e{BIG}}}]'),
    "big_priority": job(command='"x"', priority=BIG),
    "big_float_priority": job(command='"x"', priority="1e400"),
    "big_parameter": job(command='"x"', parameters=f'{{"i": {BIG}}}'),
    "infinite_parameter": job(command='"x"', parameters='{"i": 1e400}'),
    "nan": job(command='"x"', parameters='{"i": NaN}'),
    "million_and_one": job(command='"x{i}"', parameters='{"i": "1:1000001"}'),
    "far_too_many": job(
        command='"x"', parameters='{"i": "1:1000000", "j": "1:1000000", "k": "1:1000000"}'
    ),
    "far_too_wide": job(command='"{i:0999999999d}"', parameters='{"i": "1:9"}'),
    "far_too_long": job(
        command='"' + "x" * MIB + '{i}"', name='"{i}"', parameters='{"i": "1:1000000"}'
    ),
    "far_too_long_range": job(command='"x"', parameters='{"i": "0:1e300:1e-300"}'),
    "zip_of_unequal": job(
        command='"x"', parameters='{"i": "1:2", "j": "1:3"}', parameter_mode='"zip"'
    ),
    "unknown_parameter": job(command='"x"', use_parameters='["i"]'),
    "unknown_job": job(command='"x"', depends_on='["y"]'),
    "waits_for_itself": job(name='"a"', command='"x"', depends_on='["a"]'),
    "bad_regex": job(command='"x"', depends_on_regexes='["("]'),
    "deep_regex": job(command='"x"', depends_on_regexes=f'["{"(" * DEEP}"]'),
    "big_repeat": job(command='"x"', depends_on_regexes='["a{99999999999999999999}"]'),
    "endless_regex": job(
        name='"' + "a" * 40 + '"', command='"x"', depends_on_regexes='["(a+a+)+$x"]'
    ),
    "nul_in_command": job(command='"a\\u0000b"'),
    "half_a_pair": job(command='"a\\ud800b"'),
    "empty_list_command": job(command="[]"),
    "line_break_in_name": job(name='"a\\nb"', command='"x"'),
    "empty_name": with_job(name='""'),
    "equals_in_env": with_job(env='{"A=B": "c"}'),
    "nul_in_env": with_job(env='{"A": "\\u0000"}'),
    "number_in_env": with_job(env='{"A": 1}'),
    "unknown_everything": "{" + ",".join(f'"k{n}": 1' for n in range(20_000)) + "}",
    "wrong_throughout": '{"jobs": ['
    + ",".join(['{"command": "x", "depends_on": ["y"]}'] * 20_000)
    + "]}",
    "not_json": '{"jobs": [}',
    "half": '{"jobs": [{"command": "x"',
}


def submission(workflow: str, directory: str = "/") -> bytes:
    directory = json.dumps(directory)
    return (
        '{"method": "io.torcd.Manager.Submit", "parameters": '
        f'{{"directory": {directory}, "workflow": {workflow}}}}}'
    ).encode() + b"\0"


def answers(daemon: Daemon, *messages: bytes) -> list[dict[str, object]]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(50)
        sock.connect(str(daemon.socket))
        sock.sendall(b"".join(messages))
        text = b""
        while text.count(b"\0") < len(messages):
            piece = sock.recv(MIB)
            if not piece:
                break
            text += piece
    return [json.loads(part) for part in text.split(b"\0")[:-1]]


def peak_bytes(daemon: Daemon) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def cpu_seconds(daemon: Daemon) -> float:
    """Of the daemon, and of what it started and has waited for."""
    assert daemon.process is not None
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.timeout(120)
def test_a_spec_that_nobody_should_send_is_refused_in_words(daemon: Daemon) -> None:
    before = peak_bytes(daemon)
    slow = []
    for name, workflow in REFUSED.items():
        begun = cpu_seconds(daemon)
        told = answers(daemon, submission(workflow))
        if cpu_seconds(daemon) - begun > MAX_CPU_SECONDS:
            slow.append(name)
        # What is no JSON at all ends the connection: where the next message begins is not known.
        (answer,) = told
        error = str(answer.get("error", ""))
        allowed = {"InvalidSpec", "InvalidParameter", "InvalidMessage", "TooLarge", "InvalidValue"}
        assert error.rpartition(".")[2] in allowed, (name, answer)
        parameters = answer["parameters"]
        assert isinstance(parameters, dict)
        lines = str(parameters.get("message", "")).splitlines()
        assert all(len(line) < 500 for line in lines), (name, max(lines, key=len)[:600])
        assert len(lines) <= 1_001, name
    assert slow == []
    assert peak_bytes(daemon) - before < 150 * MIB
    assert answers(daemon, submission(with_job(name='"good"')))[0]["parameters"]
    assert "Traceback" not in daemon.log.read_text()


MAX_CPU_SECONDS = 4
"""A regex without end has a second, and the kernel counts whole ones; the rest is for a machine
that counts slowly."""
