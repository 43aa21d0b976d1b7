"""No token, variable or value is in any log, error or default output."""

import contextlib
import json
import socket
from pathlib import Path

import pytest

from tests.daemon_process import BIN, Daemon, running_daemon
from torcd.protocol import manager as m
from torcd.protocol.registry import INTERFACES, full_name

SECRET = "s3cr3t"
"""In all that must not be seen, and nowhere else."""

SPEC = {
    "env": {"OF_THE_SPEC": f"{SECRET}-env", "PATH": f"/{SECRET}-path:/usr/bin:/bin"},
    "user_data": [
        {"name": "given", "data": {"k": f"{SECRET}-given"}},
        {"name": "made"},
        {"name": "number", "schema": {"type": "integer", "maximum": 3}},
        {"name": "passed"},
    ],
    "jobs": [
        {
            "name": "good",
            "command": 'printf \'made="%s"\\n\' "$OF_THE_SPEC" >> "$TORC_OUTPUT";'
            " echo $TORC_TOKEN > token; torcctl data put passed '\"'$OF_THE_SPEC'\"' >/dev/null",
            "env": {"OF_THE_JOB": f"{SECRET}-job", "PATH": f"{BIN}:/usr/bin:/bin"},
            "input_user_data": ["given"],
            "output_user_data": ["made", "passed"],
        },
        {"name": "no_program", "command": ["no-such-program"]},
        {"name": "too_large", "command": "true", "env": {"X": SECRET * 40_000}},
        *(
            {
                "name": f"bad_{n}",
                "command": f"printf '%s\\n' '{line}' | sed \"s/@/$OF_THE_SPEC/g\""
                ' >> "$TORC_OUTPUT"',
                "output_user_data": ["number"],
            }
            for n, line in enumerate(
                (
                    'number="@"',
                    "number=@",
                    'number="@',
                    'number={"@":"@"',
                    "number=[@",
                    '"url": "https://x/?key=@"',
                    "@",
                    "number=4",
                    'number={"a":"@"}',
                )
            )
        ),
    ],
}

BAD_VALUES = [
    '"@"',
    "@",
    '"@',
    '{"a":"@"',
    "[@]",
    '{"a":"@"}',
    '{"a":NaN,"b":"@"}',
    '"@\\ud800"',
    "[" * 70 + '"@"' + "]" * 70,
    '"@' + "x" * (17 << 20) + '"',
    "[" + '"@",' * 400_000 + "NaN]",
]

OUTPUTS = [
    ["jobs"],
    ["results"],
    ["results", "--all"],
    ["events"],
    ["status"],
    ["ls"],
    ["files"],
    ["actions"],
    ["collections", "list"],
    ["collections", "join", "job-blocks"],
    ["collections", "join", "job-results"],
    *(["explain", str(job["name"])] for job in SPEC["jobs"]),
    ["logs", "good"],
    ["logs", "bad_0"],
    ["logs", "no_program"],
    ["daemon", "status"],
    ["config", "show"],
]


def ask(daemon: Daemon, message: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(daemon.socket))
        try:
            sock.sendall(message + b"\0")
            return sock.recv(1 << 20)
        except ConnectionError:
            return b""


def wrong_calls(token: str) -> list[bytes]:
    """With the secret in every place where a secret may stand."""
    calls = []
    for interface in INTERFACES:
        for method in interface.methods:
            fields = method.parameters.__struct_fields__
            for field in {"token", "data", "environment", "workflow"} & set(fields):
                for wrong in (
                    f'"{SECRET}"',
                    f'"{token}x"',
                    f'["{SECRET}"]',
                    f'{{"{SECRET}":["{SECRET}"]}}',
                    f'{{"X":"{SECRET}"}}',
                    SECRET,
                    f'"{SECRET}',
                    f'"{SECRET}\\ud800"',
                ):
                    parameters = f'{{"{field}":{wrong},"name":"number"}}'
                    if method.name == "Submit":
                        rest = '"workflow":{"jobs":[{"command":"true","cwd":5}]},"directory":"/"'
                        parameters = f'{{"{field}":{wrong},{rest}}}'
                    name = full_name(method.parameters)
                    more = "true" if method.streams else "false"
                    call = f'{{"method":"{name}","more":{more},"parameters":{parameters}}}'
                    calls.append(call.encode())
    return calls


def see(found: list[str], where: str, text: str, secrets: tuple[str, ...]) -> None:
    for secret in secrets:
        at = text.find(secret)
        if at >= 0:
            found.append(f"{where}: …{text[max(0, at - 150) : at + 50]}…")


@pytest.fixture
def daemon(tmp_path: Path) -> "Daemon":  # type: ignore[misc]
    with running_daemon(tmp_path, 'log_level = "debug"\n') as running:
        running.environment["OF_THE_USER"] = f"{SECRET}-inherited"
        yield running


def test_no_secret_is_seen_where_nobody_asked_for_it(daemon: Daemon) -> None:
    found: list[str] = []
    done = daemon.run(SPEC)
    assert done.returncode == 4, done.stderr
    token = (daemon.directory / "token").read_text().strip()
    secrets = (SECRET, token)
    see(found, "run", done.stdout + done.stderr, secrets)
    jobs = {job["name"]: job for job in daemon.json("jobs")["items"]}
    assert jobs["good"]["status"] == "completed", jobs["good"]
    failed = {name: job["reason"] for name, job in jobs.items() if name != "good"}
    assert failed.pop("no_program") == failed.pop("too_large") == "start_failed"
    assert set(failed.values()) == {"bad_output"}

    for words in OUTPUTS:
        for form in ([], ["-F", "json"]):
            done = daemon.torcctl(*form, *words)
            assert done.stdout + done.stderr or words[0] == "logs"
            see(found, " ".join([*form, *words]), done.stdout + done.stderr, secrets)
    for text in BAD_VALUES:
        value = daemon.directory / "bad.json"
        value.write_text(text.replace("@", SECRET))
        for form in ([], ["-F", "json"]):
            done = daemon.torcctl(*form, "data", "put", "number", f"@{value}")
            assert done.returncode == 1
            see(found, f"put {text[:20]}", done.stdout + done.stderr, secrets)
    for call in wrong_calls(token):
        see(found, call.decode()[:100], ask(daemon, call).decode(), secrets)
    bad_spec = {**SPEC, "jobs": [{"command": "true", "env": {"A": [SECRET]}, "unknown": 1}]}
    done = daemon.torcctl("submit", "-", stdin=json.dumps(bad_spec))
    assert done.returncode == 1
    see(found, "submit", done.stdout + done.stderr, secrets)

    with daemon.client() as client:
        warden = client.call(m.GetStatus()).warden_pid
    talk_nonsense_to_the_warden(daemon)
    assert warden is not None
    assert daemon.stop() == 0
    for name in ("warden.log", "warden.journal"):
        see(found, name, (daemon.state_dir / "attempts" / name).read_text(), secrets)
    log = daemon.log.read_text()
    assert "Traceback" not in log
    see(found, "daemon.log", log, secrets)
    assert found == []


def talk_nonsense_to_the_warden(daemon: Daemon) -> None:
    """Its log is for what a daemon sent that is no order."""
    log = daemon.state_dir / "attempts" / "warden.log"
    for n, line in enumerate(
        (
            f'"{SECRET}"'.encode(),
            f'{{"start":["{SECRET}"]}}'.encode(),
            f'{{"environment":"{SECRET}"}}'.encode(),
            SECRET.encode(),
            SECRET.encode() + b"\xff",
        ),
        1,
    ):
        # The daemon comes back at once and takes the place of this connection, or starts another.
        while log.read_text().count("no order") < n:
            with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
                sock.settimeout(20)
                sock.connect(str(log.with_name("warden.sock")))
                sock.sendall(line + b"\n")
                while sock.recv(1 << 16):
                    pass


def test_a_bug_in_a_handler_shows_where_it_is_and_no_values(tmp_path: Path) -> None:
    """Of a traceback only the places: the values of variables are not in it."""
    import io

    import structlog

    from torcd import log

    for form in ("console", "json"):
        logger = log.set_up("debug", form)  # type: ignore[arg-type]
        written = io.StringIO()
        logger = structlog.wrap_logger(structlog.WriteLogger(written))
        try:
            call_with(f"{SECRET}-value")
        except ZeroDivisionError:
            logger.exception("a request failed")
        assert "call_with" in written.getvalue()
        assert SECRET not in written.getvalue()
    structlog.reset_defaults()


def call_with(value: str) -> float:
    return len(value) / 0
