"""The campaign: daemon, wardens and all are killed at any instant while jobs run by the thousand.

In `make test` a short one, with `--torture` (`make torture`) one of more than 20 000 jobs and 300
kills. `TORCD_SEED` chooses another course of it.
"""

import contextlib
import os
import random
import threading
import time
from collections import deque
from pathlib import Path

import pytest

from tests.crash.campaign import AT_ONCE, JOBS, Judge, Workflow
from tests.crash.striking import Striker
from tests.crash.test_killed_daemon import check_database
from tests.daemon_process import Daemon, processes_mentioning, running_daemon
from torcd.client import Client
from torcd.errors import TorcError, WrongState
from torcd.protocol import manager as m

MAX_UNDER_WAY = 12
"""Workflows: enough that some of their jobs run and wait at any instant."""

WORKFLOWS_A_STRIKE = 5


class Campaign:
    def __init__(self, daemon: Daemon, directory: Path, seed: int) -> None:
        self._daemon = daemon
        self._directory = directory
        self._dice = random.Random(seed)
        self.striker = Striker(daemon, self._dice)
        self.judge = Judge(daemon)
        self.judge.doubts = self.striker.doubts
        self._next = 1
        self._under_way: deque[Workflow] = deque()

    def run(self, kills: int, jobs: int) -> None:
        """At least so many."""
        while self.striker.kills < kills or self._next <= jobs:
            people = threading.Thread(target=self._act, args=(WORKFLOWS_A_STRIKE,))
            people.start()
            self.striker.pause()
            self.striker.strike()
            people.join(60)
            assert not people.is_alive(), "a client waits for ever"
            self._settle(MAX_UNDER_WAY)
        while self._under_way:
            self._act(0)
            self._settle(0)

    # What people do, until the daemon is gone

    def _act(self, count: int) -> None:
        with contextlib.suppress(TorcError, OSError), self._impatient() as client:
            self._find(client)
            for workflow in self._under_way:
                self._take_care_of(client, workflow)
            for _ in range(count):
                workflow = Workflow(self._dice, self._next, self._directory)
                self._next += JOBS
                self._under_way.append(workflow)
                self._take_care_of(client, workflow)

    def _find(self, client: Client) -> None:
        """Those whose submission nobody has answered: they may be there all the same."""
        there = {info.name: info.key for info in client.call(m.ListWorkflows()).items}
        for workflow in self._under_way:
            if workflow.key is None:
                workflow.key = there.get(workflow.name)
            else:
                assert there.get(workflow.name) == workflow.key, "what was acknowledged is gone"

    def _take_care_of(self, client: Client, workflow: Workflow) -> None:
        if workflow.key is None:
            request = m.Submit(
                workflow=workflow.raw_spec(),
                directory=str(self._directory),
                environment=self._daemon.environment,
                max_parallel_jobs=AT_ONCE,
            )
            workflow.key = client.call(request).key
        elif workflow.needs_canceling:
            workflow.may_be_canceled = True
            with contextlib.suppress(WrongState):  # it was, and nobody was told
                client.call(m.Cancel(workflow_key=workflow.key))
            workflow.is_canceled = True

    def _impatient(self) -> Client:
        return Client(str(self._daemon.socket), restart_timeout_seconds=0)

    # What became of it

    def _settle(self, left: int) -> None:
        """Wait for the oldest, and look at them."""
        while len(self._under_way) > left:
            workflow = self._under_way[0]
            if workflow.key is None or workflow.needs_canceling:
                self._act(0)
            if workflow.key is None:
                continue
            with self._daemon.client() as client:
                client.wait(workflow.key, timeout=60)
            self.judge.look_at(workflow)
            self._under_way.popleft()


@pytest.mark.timeout(4 * 3600)
def test_whoever_is_killed_every_job_runs_once_and_its_end_is_true(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills, count = (300, 20_000) if pytestconfig.getoption("--torture") else (12, 600)
    seed = int(os.environ.get("TORCD_SEED", "4"))
    began = time.monotonic()
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    with running_daemon(tmp_path) as daemon:
        campaign = Campaign(daemon, jobs, seed)
        campaign.run(kills, count)
        check_database(daemon)
        left = {*processes_mentioning(str(daemon.state_dir))}
        assert not left.intersection(processes_mentioning("TORC_JOB_KEY=")), (
            "jobs run that are over"
        )
    striker, found = campaign.striker, campaign.judge.found
    print(f"seed {seed}: {time.monotonic() - began:.0f} s, {striker.kills} kills: ", end="")
    print(", ".join(f"{way}: {n}" for way, n in sorted(striker.struck.items())))
    wardens = sorted(striker.killed_wardens.items())
    print(", ".join(f"warden {number} killed: {n}" for number, n in wardens))
    print(", ".join(f"{what}: {n}" for what, n in sorted(found.items())))
    assert found["jobs"] >= count
    assert found["lost"] <= found["jobs"] // 20
