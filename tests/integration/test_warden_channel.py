"""The warden's socket, spoken to by hand: what a daemon may do to it."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.executor_world import PATIENCE_SECONDS, alive
from torcd.executors.local import launching


class Wire:
    """A connection to a warden."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.settimeout(PATIENCE_SECONDS)
        self._file = connection.makefile("rb")

    def say(self, **message: object) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, object] | None:
        """The next message; None: it has hung up."""
        line = self._file.readline()
        return json.loads(line) if line else None

    def synced(self) -> int:
        """Listen until it has told all it knows; the warden's pid."""
        hello = self.hear()
        assert hello is not None
        while "synced" not in (self.hear() or {}):
            pass
        return hello["hello"]["pid"]  # type: ignore[index,no-any-return]

    def ends(self, number: int) -> dict[int, list[object]]:
        """The next so many final reports, by key."""
        found: dict[int, list[object]] = {}
        while len(found) < number:
            message = self.hear()
            assert message is not None
            for report in message.get("reports", []):  # type: ignore[attr-defined]
                if report[0] != "started":
                    found[report[1]] = report
        return found

    def close(self) -> None:
        self._file.close()
        self.socket.close()


class Home:
    """The directory of a warden, and all that was started there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "attempts"
        self.state_id = launching.prepare(self.directory)
        self._wires: list[Wire] = []
        self._pids: list[int] = []

    def launch(self, number: int = 0) -> tuple[int, Wire]:
        """A warden, or another one beside it, which has a directory of its own in the first's."""
        directory = self._directory_of(number)
        directory.mkdir(exist_ok=True)
        pid, connection = launching.launch(
            directory, "boot", self.state_id, leave_children=False, heir=False, cgroups=""
        )
        self._pids.append(pid)
        return pid, self._wire(connection)

    def _directory_of(self, number: int) -> Path:
        return launching.warden_directory(self.directory, number)

    def connect(self, number: int = 0) -> Wire:
        connection = launching.connect(self._directory_of(number))
        assert connection is not None
        return self._wire(connection)

    def _wire(self, connection: socket.socket) -> Wire:
        self._wires.append(Wire(connection))
        return self._wires[-1]

    def order(
        self, key: int, *argv: str, lane: int = 1, lane_limit: int = 4, after: int | None = None
    ) -> dict[str, object]:
        return {
            "key": key,
            "lane": lane,
            "lane_limit": lane_limit,
            "argv": argv,
            "base": "base",
            "env": {},
            "cwd": "/",
            "stdout": None,
            "stderr": None,
            "after": None if after is None else [after, "/nowhere/at/all"],
        }

    def close(self) -> None:
        for wire in self._wires:
            wire.close()
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.fixture
def wire(home: Home) -> Wire:
    """To a warden that has an environment called base."""
    _, wire = home.launch()
    wire.synced()
    wire.say(environment=["base", {"PATH": os.environ["PATH"]}])
    return wire


def test_an_order_may_arrive_byte_by_byte(home: Home, wire: Wire) -> None:
    for byte in json.dumps({"start": [home.order(1, "false")]}).encode() + b"\n":
        wire.socket.sendall(bytes([byte]))
    assert wire.ends(1)[1][:3] == ["exited", 1, 1]


def test_what_a_newer_daemon_adds_is_ignored(home: Home, wire: Wire) -> None:
    wire.say(news={"x": 1}, start=[home.order(1, "true") | {"nice": 7}])
    assert wire.ends(1)[1][2] == 0


def test_who_is_asked_tells_at_once_what_there_is_be_it_nothing(home: Home, wire: Wire) -> None:
    sleeps = [home.order(key, "sleep", "1000", lane_limit=1) for key in (1, 2, 3)]
    wire.say(start=sleeps, tell=True)
    told = wire.hear()
    assert told is not None
    [report] = told["reports"]  # type: ignore[misc]
    assert report[:2] == ["started", 1]
    assert told["waiting"] == 2
    for _ in range(2):
        wire.say(tell=True)
        assert wire.hear() == {"reports": [], "waiting": 2}


def test_who_has_told_what_is_being_decided_does_not_answer(home: Home, wire: Wire) -> None:
    wire.say(start=[home.order(1, "true"), home.order(2, "sleep", "1000", lane=2)])
    wire.ends(1)
    wire.say(tell=True, environment=["one", {}])
    wire.say(tell=True, shares=[[7, 1, 1]])
    assert wire.hear() == {"shared": [[7, 1, []]]}
    wire.say(tell=True, acknowledge=[1])
    assert wire.hear() == {"reports": [], "waiting": 0}


def test_while_a_place_is_empty_nothing_is_told_to_wait(home: Home, wire: Wire) -> None:
    """However many wait in other lanes."""
    sleeps = [home.order(key, "sleep", "1000", lane_limit=1) for key in (1, 2, 3)]
    wire.say(start=[*sleeps, home.order(4, "sleep", "1000", lane=2)], tell=True)
    told = wire.hear()
    assert told is not None
    assert told["waiting"] == 2
    wire.say(stop=[[4, None]])
    told = wire.hear()
    assert told is not None
    assert told["reports"][0][:2] == ["exited", 4]  # type: ignore[index]
    assert told["waiting"] == 0


@pytest.mark.parametrize(
    "nonsense",
    [b"nonsense\n", b"[1]\n", b'{"start":[{"key":1}]}\n', b'{"stop":7}\n', b"\xff\xfe\n", b"\0\n"],
)
def test_nonsense_ends_the_connection_and_not_the_warden(
    home: Home, wire: Wire, nonsense: bytes
) -> None:
    wire.say(start=[home.order(1, "sleep", "1000")])
    wire.hear()
    wire.socket.sendall(nonsense)
    assert wire.hear() is None
    second = home.connect()
    second.synced()
    second.say(stop=[[1, None]])
    assert second.ends(1)[1][2] == -signal.SIGKILL
    assert "no order" in (home.directory / "warden.log").read_text()


def test_a_new_daemon_replaces_the_old(home: Home, wire: Wire) -> None:
    wire.say(start=[home.order(1, "sleep", "1000")])
    wire.hear()
    second = home.connect()
    second.synced()
    assert wire.hear() is None
    second.say(stop=[[1, None]])
    second.ends(1)


def test_a_daemon_that_does_not_read_holds_up_no_job(home: Home, wire: Wire) -> None:
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    number = 4000
    wire.say(start=[home.order(k, "/no/such/program") for k in range(1, number)])
    os.mkfifo(home.directory / "fifo")
    wire.say(start=[home.order(number, "sh", "-c", f"echo x > {home.directory}/fifo")])
    # Only now that the last of them has run is a word read of what was said.
    assert (home.directory / "fifo").read_text() == "x\n"
    assert len(wire.ends(number)) == number


def test_a_daemon_that_comes_later_is_told_everything(home: Home, wire: Wire) -> None:
    number = 1500
    wire.say(start=[home.order(k, "/no/such/program") for k in range(1, number)])
    wire.say(start=[home.order(number, "sleep", "1000")])
    wire.ends(number - 1)
    second = home.connect()
    hello = second.hear()
    assert hello is not None
    told: list[list[object]] = []
    while "synced" not in (message := second.hear() or {}):
        told += message["reports"]  # type: ignore[arg-type]
    assert [report[:2] for report in told] == [
        *(["not_started", key] for key in range(1, number)),
        ["started", number],
    ]
    second.say(stop=[[number, None]])
    second.ends(1)


def test_a_state_directory_may_have_a_long_path(tmp_path: Path) -> None:
    home = Home(tmp_path / ("d" * 120))
    try:
        pid, wire = home.launch()
        assert wire.synced() == pid
        assert home.connect().synced() == pid
    finally:
        home.close()


def test_state_is_for_its_owner_only(home: Home, wire: Wire) -> None:
    wire.say(start=[home.order(1, "true")])
    wire.ends(1)
    assert home.directory.stat().st_mode & 0o777 == 0o700
    for name in ("warden.sock", "warden.journal", "warden.lock", "warden.log"):
        assert (home.directory / name).stat().st_mode & 0o077 == 0, name


def test_a_second_warden_waits_until_the_first_is_gone(home: Home) -> None:
    first, wire = home.launch()
    wire.synced()
    second, other = home.launch()
    while f"-> POSIX  ADVISORY  WRITE {second} " not in Path("/proc/locks").read_text():
        pass  # it is about to ask for the lock
    assert home.connect().synced() == first
    os.kill(first, signal.SIGKILL)
    assert other.synced() == second
    assert home.connect().synced() == second


def test_a_warden_with_nothing_to_do_waits_without_a_timeout(home: Home, wire: Wire) -> None:
    wire.say(start=[home.order(k, "sh", "-c", "sleep 0 & exit 0") for k in range(20)])
    wire.ends(20)
    wire.say(acknowledge=list(range(20)), stop=[[99, 5.0]])
    header = (home.directory / "warden.journal").read_text().partition("\n")[0]
    pid = json.loads(header)["warden"]
    while True:  # until it sleeps: microseconds
        call = Path(f"/proc/{pid}/syscall").read_text().split()
        if call[0] != "running" and Path(f"/proc/{pid}/stat").read_text().split()[2] == "S":
            break
    assert int(call[4], 16) & 0xFFFFFFFF == 0xFFFFFFFF  # epoll_wait's timeout: -1


def test_an_end_that_is_acknowledged_twice_in_one_breath_is_forgotten_once(
    home: Home, wire: Wire
) -> None:
    wire.say(start=[home.order(1, "true")])
    wire.ends(1)
    wire.say(acknowledge=[1, 1])
    wire.say(start=[home.order(2, "true")])
    assert list(wire.ends(1)) == [2]


def test_a_retired_warden_ends_when_all_is_done_and_acknowledged(home: Home) -> None:
    pid, wire = home.launch()
    wire.synced()
    wire.say(environment=["base", {}], start=[home.order(1, "/bin/true")], retire=True)
    assert wire.ends(1)[1][2] == 0
    assert alive(pid)
    wire.say(acknowledge=[1])
    assert wire.hear() is None
