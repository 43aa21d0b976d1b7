"""Daemon and warden are written apart, and speak the same language."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import torcd
from torcd.accounts import Account
from torcd.executors.base import After, AttemptOrder, Exited, Lost, NotStarted, Report, Started
from torcd.executors.local import messages
from torcd.executors.warden import channel, ledger
from torcd.executors.warden.ledger import Order
from torcd.model import AttemptKey, Timestamp

KEY, AT = AttemptKey(3), Timestamp(1_700_000_000_000_000)


def exited(
    return_code: int, cpu_seconds: float | None = None, peak_memory_bytes: int | None = None
) -> Exited:
    return Exited(
        KEY,
        return_code=return_code,
        at=AT,
        cpu_seconds=cpu_seconds,
        peak_memory_bytes=peak_memory_bytes,
    )


@pytest.mark.parametrize(
    ("line", "report"),
    [
        (ledger.started(3, 4711, AT, None), Started(KEY, pid=4711, at=AT)),
        (ledger.started(3, 4711, AT, 12), Started(KEY, pid=4711, at=AT)),
        (ledger.exited(3, -9, AT), exited(return_code=-9)),
        (
            ledger.exited(3, 0, AT, 0.25, 4096),
            exited(return_code=0, cpu_seconds=0.25, peak_memory_bytes=4096),
        ),
        (ledger.not_started(3, None, AT), NotStarted(KEY, at=AT, problem=None)),
        (
            ledger.not_started(3, 'no "x"\udcff', AT),
            NotStarted(KEY, at=AT, problem='no "x"\\udcff'),
        ),
        (ledger.lost(3, "gone", AT), Lost(KEY, at=AT, problem="gone")),
    ],
)
def test_what_the_warden_writes_the_daemon_reads(line: str, report: Report) -> None:
    assert messages.decode(b'{"reports":[%s]}' % line.encode()).reports == [report]


def test_a_daemon_takes_what_a_newer_warden_adds() -> None:
    message = messages.decode(b'{"reports":[["started",3,4,5,null,"new"]],"news":1}')
    assert message.reports == [Started(AttemptKey(3), pid=4, at=Timestamp(5))]


def test_a_daemon_takes_what_an_older_warden_does_not_say() -> None:
    message = messages.decode(
        b'{"hello":{"protocol":1,"pid":2,"version":"1"},"synced":{"orphans":[]}}'
    )
    assert message.hello is not None
    assert not message.hello.takes_shares
    assert message.synced == messages.Synced(orphans=[], queued=[], lanes=[])
    assert message.withdrawn is None


def test_that_nothing_was_withdrawn_is_an_answer() -> None:
    assert messages.decode(b'{"withdrawn":[]}').withdrawn == []
    assert messages.decode(b'{"withdrawn":[3,4]}').withdrawn == [3, 4]


def test_what_waits_and_how_much_may_run_is_understood() -> None:
    line = b'{"synced":{"orphans":[[1,2]],"queued":[3],"lanes":[[4,5,6]]}}'
    assert messages.decode(line).synced == messages.Synced(
        orphans=[(1, 2)], queued=[3], lanes=[(4, 5, 6)]
    )


def order(**changes: object) -> AttemptOrder:
    facts: dict[str, object] = {
        "attempt_key": KEY,
        "lane": 1,
        "lane_limit": 2,
        "argv": ("echo", "ä"),
        "plain": ("x", "y"),
        "base_environment": "base",
        "environment": {"A": "b"},
        "cwd": "/tmp",
        "stdout": "/tmp/out",
        "stderr": None,
    }
    return AttemptOrder(**(facts | changes))  # type: ignore[arg-type]


def test_what_the_daemon_orders_the_warden_understands() -> None:
    line = messages.line(start=[order()])
    assert line.endswith(b"\n")
    (told,) = json.loads(line)["start"]
    assert (told["key"], told["lane"], told["lane_limit"], told["base"]) == (3, 1, 2, "base")
    understood = Order(told, {"B": "c"})
    assert (understood.argv, understood.plain) == (["echo", "ä"], ["x", "y"])
    assert (understood.env, understood.base) == ({"A": "b"}, {"B": "c"})
    assert (understood.cwd, understood.stdout, understood.stderr) == ("/tmp", "/tmp/out", None)
    assert (understood.user, understood.after) == (None, None)


def test_it_understands_whose_an_order_is_and_what_it_comes_after() -> None:
    theirs = order(
        user=Account(1, 2, "x", (2, 3), ((7, 10, 20),)), after=After(AttemptKey(9), "/left")
    )
    (told,) = json.loads(messages.line(start=[theirs]))["start"]
    understood = Order(told, {})
    assert (understood.after, understood.unless_exists) == (9, "/left")
    assert understood.user is not None
    assert [understood.user[name] for name in ("uid", "gid", "groups", "limits")] == [
        1,
        2,
        [2, 3],
        [[7, 10, 20]],
    ]


def test_bytes_that_are_no_utf_8_reach_the_warden() -> None:
    odd = order(argv=("echo", "\udcff"))
    (told,) = json.loads(messages.line(start=[odd]))["start"]
    assert told["argv"] == ["echo", "\udcff"]


def test_both_speak_the_same_protocol() -> None:
    assert messages.PROTOCOL == channel.PROTOCOL


def test_the_warden_imports_next_to_nothing() -> None:
    root = str(Path(torcd.__file__).parent.parent)
    program = (
        f"import sys; sys.path.insert(0, {root!r}); import torcd.executors.warden.__main__; "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "torcd.executors.warden.warden" in modules
    assert not modules & {"typing", "asyncio", "subprocess", "pathlib", "dataclasses", "inspect"}
    assert not {name for name in modules if name.split(".")[0] in {"msgspec", "anyio", "logging"}}
