"""One of several wardens, spoken to by hand: its share of a lane, and what is withdrawn from it."""

import json
import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from tests.executor_world import alive
from tests.full_disk import private_mounts
from tests.integration.test_warden_channel import Home, Wire
from torcd.executors.warden import processes
from torcd.executors.warden.journal import replay

SLEEP = ("sleep", "1000")


class Daemon:
    """What one hears of a warden."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.hello: dict[str, object] = {}
        self.synced: dict[str, object] = {}
        self.reports: list[list[object]] = []
        self.shared: list[list[object]] = []
        self.withdrawn: list[list[int]] = []
        self.held_up = ""
        while not self.synced:
            self.hear()
        self.say(environment=["base", {"PATH": os.environ["PATH"]}])

    def say(self, **message: object) -> None:
        self.wire.say(**message)

    def hear(self) -> None:
        message = self.wire.hear()
        assert message is not None
        self.hello = message.get("hello", self.hello)  # type: ignore[assignment]
        self.synced = message.get("synced", self.synced)  # type: ignore[assignment]
        self.reports += message.get("reports", [])  # type: ignore[arg-type]
        self.shared += message.get("shared", [])  # type: ignore[arg-type]
        self.held_up = message.get("held_up", self.held_up)  # type: ignore[assignment]
        if "withdrawn" in message:
            self.withdrawn.append(message["withdrawn"])  # type: ignore[arg-type]

    def withdraw(self, *keys: int) -> list[int]:
        """The answer."""
        number = len(self.withdrawn)
        self.say(withdraw=keys)
        while len(self.withdrawn) == number:
            self.hear()
        return self.withdrawn[-1]

    def started(self) -> list[int]:
        return [report[1] for report in self.reports if report[0] == "started"]  # type: ignore[misc]

    def ended(self) -> dict[object, list[object]]:
        ends = [report for report in self.reports if report[0] != "started"]
        found = {report[1]: report for report in ends}
        assert len(found) == len(ends), "told twice"
        return found

    def end_of(self, key: int) -> list[object]:
        while key not in self.ended():
            self.hear()
        return self.ended()[key]

    def start_of(self, key: int) -> None:
        while key not in self.started():
            self.hear()

    def stop(self, *keys: int) -> None:
        self.say(stop=[[key, None] for key in keys])
        for key in keys:
            self.end_of(key)


@pytest.fixture
def daemon(home: Home) -> Daemon:
    return Daemon(home.launch()[1])


def run_another(home: Home, daemon: Daemon, key: int) -> None:
    """In a lane of its own. When it has ended, all that could start before it has been told."""
    daemon.say(start=[home.order(key, "true", lane=key)])
    daemon.end_of(key)


def journal(home: Home) -> str:
    return (home.directory / "warden.journal").read_text()


def test_a_warden_says_that_it_knows_of_shares(daemon: Daemon) -> None:
    assert daemon.hello["takes_shares"] is True


def test_a_share_bounds_what_runs_and_one_that_is_raised_starts_what_waits(
    home: Home, daemon: Daemon
) -> None:
    daemon.say(shares=[[1, 1, 0]], start=[home.order(key, *SLEEP) for key in (1, 2, 3)])
    run_another(home, daemon, 50)
    assert daemon.started() == [1, 50]
    daemon.say(shares=[[1, 2, 0]])
    run_another(home, daemon, 51)
    assert daemon.started() == [1, 50, 2, 51]
    daemon.say(shares=[[1, None, 0]])
    run_another(home, daemon, 52)
    assert daemon.started() == [1, 50, 2, 51, 3, 52]
    daemon.stop(1, 2, 3)


def test_a_share_counts_whatever_orders_say(home: Home, daemon: Daemon) -> None:
    """They may have been given before the limit was raised."""
    daemon.say(shares=[[1, 2, 0]], start=[home.order(k, *SLEEP, lane_limit=1) for k in (1, 2, 3)])
    run_another(home, daemon, 50)
    assert daemon.started() == [1, 2, 50]
    daemon.say(start=[home.order(4, *SLEEP, lane_limit=4)])
    run_another(home, daemon, 51)
    assert daemon.started() == [1, 2, 50, 51]
    daemon.stop(1, 2, 3, 4)


def test_a_limit_that_comes_with_what_is_known_counts(home: Home, daemon: Daemon) -> None:
    daemon.say(start=[home.order(key, *SLEEP, lane_limit=1) for key in (1, 2, 3, 4)])
    daemon.start_of(1)
    second = Daemon(home.connect())
    second.say(start=[home.order(1, *SLEEP, lane_limit=2)])
    second.start_of(2)
    second.say(start=[home.order(3, *SLEEP, lane_limit=1)])
    second.stop(1)
    run_another(home, second, 50)
    assert second.started() == [1, 1, 2, 50]
    second.stop(2, 3, 4)


def test_a_share_is_answered_with_what_runs(home: Home, daemon: Daemon) -> None:
    daemon.say(start=[home.order(key, *SLEEP, lane_limit=2) for key in (1, 2, 3)])
    daemon.say(start=[home.order(4, *SLEEP, lane=2)])
    daemon.start_of(4)
    daemon.say(shares=[[1, 1, 17], [3, 1, 18]])
    while not daemon.shared:
        daemon.hear()
    assert daemon.shared == [[1, 17, [1, 2]], [3, 18, []]]
    daemon.stop(1, 2, 3, 4)


def test_a_share_holds_while_the_lane_is_empty(home: Home, daemon: Daemon) -> None:
    daemon.say(shares=[[1, 1, 0]], start=[home.order(1, "true")])
    daemon.end_of(1)
    daemon.say(start=[home.order(key, *SLEEP) for key in (2, 3)])
    run_another(home, daemon, 50)
    assert daemon.started() == [1, 2, 50]
    daemon.stop(2, 3)


def test_a_share_holds_for_the_next_daemon_but_for_lanes_of_which_it_is_not_told(
    home: Home, daemon: Daemon
) -> None:
    daemon.say(
        shares=[[1, 1, 0], [2, 1, 0]],
        start=[home.order(1, *SLEEP), home.order(2, "true", lane=2)],
    )
    daemon.end_of(2)
    second = Daemon(home.connect())
    assert second.synced["lanes"] == [[1, 1, 1]]
    second.say(start=[home.order(3, *SLEEP)])
    second.say(start=[home.order(key, *SLEEP, lane=2) for key in (4, 5)])
    run_another(home, second, 50)
    assert second.started() == [1, 2, 4, 5, 50]
    second.stop(1, 3, 4, 5)


def test_a_lower_share_lets_what_runs_run(home: Home, daemon: Daemon) -> None:
    daemon.say(start=[home.order(key, *SLEEP) for key in (1, 2, 3)])
    daemon.start_of(3)
    daemon.say(shares=[[1, 1, 0]], start=[home.order(4, *SLEEP)])
    run_another(home, daemon, 50)
    daemon.stop(1, 2)
    run_another(home, daemon, 51)
    assert daemon.started() == [1, 2, 3, 50, 51]
    daemon.stop(3)
    run_another(home, daemon, 52)
    assert daemon.started() == [1, 2, 3, 50, 51, 4, 52]
    daemon.stop(4)


def test_what_waits_is_withdrawn_without_a_trace(home: Home, daemon: Daemon) -> None:
    daemon.say(
        start=[
            home.order(1, *SLEEP, lane_limit=1),
            home.order(2, "true", lane_limit=1),
            home.order(3, "true", lane_limit=1),
        ]
    )
    assert daemon.withdraw(2, 2, 99) == [2]
    daemon.stop(1)
    daemon.end_of(3)
    assert list(daemon.ended()) == [1, 3]
    assert daemon.started() == [1, 3]
    assert set(replay(journal(home)).entries) == {1, 3}
    second = Daemon(home.connect())
    assert {report[1] for report in second.reports} == {1, 3}
    assert second.synced["queued"] == []


def test_what_runs_or_has_ended_is_not_withdrawn(home: Home, daemon: Daemon) -> None:
    daemon.say(start=[home.order(1, *SLEEP), home.order(2, "true")])
    daemon.end_of(2)
    assert daemon.withdraw(1, 2) == []
    assert daemon.withdraw() == []
    run_another(home, daemon, 50)
    assert 1 not in daemon.ended()
    daemon.say(stop=[[1, None]])
    assert daemon.end_of(1)[2] == -signal.SIGKILL


def test_one_that_was_withdrawn_can_be_ordered_again(home: Home, daemon: Daemon) -> None:
    daemon.say(start=[home.order(1, *SLEEP, lane_limit=1), home.order(2, "true", lane_limit=1)])
    assert daemon.withdraw(2) == [2]
    daemon.say(start=[home.order(2, "false", lane_limit=1)])
    daemon.stop(1)
    assert daemon.end_of(2)[2] == 1
    run_another(home, daemon, 50)
    assert daemon.started() == [1, 2, 50]


def test_those_that_come_after_one_that_is_withdrawn_are_over_and_told(
    home: Home, daemon: Daemon
) -> None:
    daemon.say(
        start=[
            home.order(1, *SLEEP, lane_limit=1),
            home.order(2, "true", lane_limit=1),
            home.order(3, "true", lane_limit=1, after=2),
            home.order(4, "true", lane_limit=1, after=3),
        ]
    )
    assert daemon.withdraw(2) == [2]
    for key in (3, 4):
        word, _, _, problem = daemon.end_of(key)
        assert (word, problem) == ("not_started", None)
    daemon.stop(1)
    run_another(home, daemon, 50)
    assert 2 not in daemon.ended()


def test_one_that_comes_after_another_can_be_withdrawn_with_it_or_alone(
    home: Home, daemon: Daemon
) -> None:
    daemon.say(
        start=[
            home.order(1, "sh", "-c", "read x; exit 0", lane_limit=1),
            home.order(2, *SLEEP, lane_limit=1),
            home.order(3, "true", lane_limit=1, after=2),
            home.order(4, "true", lane_limit=1, after=2),
        ]
    )
    daemon.end_of(1)
    assert daemon.withdraw(4) == [4]
    # What has its key now comes after nobody.
    daemon.say(start=[home.order(4, *SLEEP, lane=2)])
    assert daemon.withdraw(3, 2) == [3]
    daemon.stop(2)
    run_another(home, daemon, 50)
    assert daemon.started() == [1, 2, 4, 50]
    assert set(daemon.ended()) == {1, 2, 50}
    daemon.stop(4)


def test_a_new_daemon_is_told_what_waits_and_how_much_may_run(home: Home, daemon: Daemon) -> None:
    daemon.say(
        shares=[[1, 2, 0], [7, 1, 0]],
        start=[
            *(home.order(key, *SLEEP) for key in (1, 2, 3)),
            home.order(4, *SLEEP, after=1),
            home.order(5, *SLEEP, lane=2, lane_limit=3),
        ],
    )
    daemon.start_of(5)
    daemon.say(shares=[[1, 1, 0]])
    run_another(home, daemon, 50)
    daemon.say(acknowledge=[50])
    second = Daemon(home.connect())
    assert second.started() == [1, 2, 5]
    assert second.synced == {"orphans": [], "queued": [3, 4], "lanes": [[1, 1, 2], [2, 3, 1]]}
    second.stop(1, 2, 3, 5)


def test_a_successor_tells_how_many_of_a_lane_run_and_has_no_share(
    home: Home, daemon: Daemon
) -> None:
    daemon.say(shares=[[1, 1, 0]], start=[home.order(key, *SLEEP) for key in (1, 2)])
    run_another(home, daemon, 50)
    kill(home, daemon)
    second = Daemon(home.launch()[1])
    assert second.synced["queued"] == []
    assert second.synced["lanes"] == [[1, 0, 1]]
    second.say(start=[home.order(2, *SLEEP)])
    run_another(home, second, 51)
    assert sorted(second.started()) == [1, 2, 50, 51]
    second.stop(1, 2)


def kill(home: Home, daemon: Daemon) -> None:
    pid = daemon.hello["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)


# What one warden takes for an attempt's process when others wear markers, too


def wear(pid: int, marker: int) -> None:
    hard = resource.prlimit(pid, processes.RLIMIT_LOCKS)[1]
    resource.prlimit(pid, processes.RLIMIT_LOCKS, (marker, hard))


def test_a_successor_takes_no_other_warden_for_an_attempt_s_process(
    home: Home, daemon: Daemon
) -> None:
    other, wire = home.launch(1)
    Daemon(wire)
    daemon.say(start=[home.order(1, *SLEEP)])
    run_another(home, daemon, 50)
    wear(other, processes.marker(home.state_id, 1))
    kill(home, daemon)
    second = Daemon(home.launch()[1])
    assert second.synced["orphans"] == [[1, daemon.reports[0][2]]]
    second.stop(1)
    assert alive(other)


def test_a_successor_takes_no_other_warden_for_the_leader_of_what_was_claimed(home: Home) -> None:
    other, wire = home.launch(1)
    Daemon(wire)
    wear(other, processes.marker(home.state_id, 1))
    header = {"journal": 1, "boot": "boot", "state": home.state_id, "warden": 0, "cgroups": ""}
    lines = [json.dumps(header), '["claimed",[[1,1]]]', ""]
    (home.directory / "warden.journal").write_text("\n".join(lines))
    daemon = Daemon(home.launch()[1])
    assert daemon.synced["orphans"] == []
    assert daemon.ended()[1][0] == "lost"


def test_another_warden_is_not_frozen_with_an_attempt(home: Home, daemon: Daemon) -> None:
    other, wire = home.launch(1)
    beside = Daemon(wire)
    daemon.say(start=[home.order(1, *SLEEP)])
    daemon.start_of(1)
    wear(other, processes.marker(home.state_id, 1))
    daemon.say(freeze=[1])
    run_another(home, daemon, 50)
    run_another(home, beside, 60)
    daemon.stop(1)


@pytest.mark.parametrize("grace_seconds", [None, 1000.0])
def test_a_stopped_attempt_s_tree_ends_before_another_warden_that_it_has_started(
    home: Home, daemon: Daemon, tmp_path: Path, grace_seconds: float | None
) -> None:
    """As the job does that starts a daemon where there is none."""
    program = (
        "from pathlib import Path; from torcd.executors.local import launching\n"
        f"directory = Path({str(home.directory)!r}, 'warden.1')\n"
        "directory.mkdir()\n"
        f"launched = launching.launch(directory, 'boot', {home.state_id}, leave_children=False,"
        " heir=False, cgroups='')\n"
        "launched[1].recv(1)\n"
        f"Path({str(tmp_path / 'gate')!r}).write_text(str(launched[0]))\n"
        "import signal; signal.pause()"
    )
    os.mkfifo(tmp_path / "gate")
    daemon.say(start=[home.order(1, sys.executable, "-c", program)])
    other = int((tmp_path / "gate").read_text())
    beside = Daemon(home.connect(1))
    beside.say(start=[home.order(2, *SLEEP)])
    beside.start_of(2)
    wear(other, processes.marker(home.state_id, 1))
    daemon.say(stop=[[1, grace_seconds]])
    daemon.end_of(1)
    run_another(home, daemon, 50)
    assert alive(other)
    beside.stop(2)
    assert beside.end_of(2)[2] == -signal.SIGKILL
    beside.say(acknowledge=[2], retire=True)
    assert beside.wire.hear() is None


def test_a_warden_that_is_started_by_an_attempt_is_no_part_of_it(home: Home) -> None:
    before, hard = resource.getrlimit(processes.RLIMIT_LOCKS)
    processes.wear_marker(processes.marker(home.state_id, 1))
    try:
        pid, wire = home.launch()
    finally:
        resource.setrlimit(processes.RLIMIT_LOCKS, (before, hard))
    Daemon(wire)
    assert processes.key_of(processes.read_marker(pid), home.state_id) is None


def test_one_for_which_there_is_no_room_can_be_withdrawn_and_its_warden_is_no_part_of_it(
    home: Home, tmp_path: Path
) -> None:
    with private_mounts() as mount:
        disk = mount(tmp_path / "logs", 1 << 20)
        disk.use_up_inodes()
        pid, wire = home.launch()
        daemon = Daemon(wire)
        order = home.order(1, "true")
        daemon.say(start=[order | {"stdout": str(disk.path / "out"), "stderr": None}])
        while not daemon.held_up:
            daemon.hear()
        assert daemon.withdraw(1) == [1]
        assert processes.key_of(processes.read_marker(pid), home.state_id) is None
        assert replay(journal(home)).entries == {}
        assert Daemon(home.connect()).synced["queued"] == []
