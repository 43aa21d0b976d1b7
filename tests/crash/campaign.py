"""Workflows whose jobs' ends can be known beforehand, and the judge of what became of them.

Every job has a number. It appends a line to a file of that name when it starts, and exits with a
status that depends on the number. So the files say what ran, and how often; the numbers say how it
must have ended; and the database is held against both.
"""

import random
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from tests.daemon_process import Daemon
from torcd.client import Client
from torcd.model import JobStatus, Reason
from torcd.protocol import manager as m

MIX = ("plain", "plain", "plain", "chain", "chain", "values", "stores", "limits", "endless")
"""What a job's workflow is made of; see `Workflow`."""

JOBS = 16
"""In a workflow."""

AT_ONCE = 6
"""So many of a workflow's jobs may run; what waits with the wardens beyond that is shared."""


class Job(msgspec.Struct, frozen=True):
    number: int
    code: int
    """With which it exits if nobody stops it."""
    after: int | None = None
    """The number of the job it depends on."""
    stores: bool = False
    """It stores its number over the socket, and notes when that was acknowledged."""
    writes: bool = False
    """It writes its number to TORC_OUTPUT."""
    is_limited: bool = False
    """It does not end before its runtime limit."""
    is_endless: bool = False
    """It does not end."""


class Workflow:
    def __init__(self, dice: random.Random, first: int, directory: Path) -> None:
        self.name = f"w{first}"
        self.directory = directory
        self.kind = dice.choice(MIX)
        self.key: str | None = None
        """When somebody has been told it, or has found it."""
        self.is_canceled = False
        """That was acknowledged."""
        self.may_be_canceled = False
        """Somebody asked for it."""
        self.jobs = [self._job(dice, first + n, n) for n in range(JOBS)]
        self._seconds = [dice.choice((0, 0, 0, 0.05, 0.3)) for _ in self.jobs]

    def _job(self, dice: random.Random, number: int, position: int) -> Job:
        code = number % 5
        match self.kind:
            case "chain":
                # Most go on to the end; the others break somewhere.
                code = 0 if dice.random() < 0.9 else 1 + number % 5
                return Job(number, code, after=number - 1 if position % 8 else None)
            case "values":
                makes = position % 2 == 0
                return Job(number, 0, after=None if makes else number - 1, writes=makes)
            case "stores":
                return Job(number, code, stores=position < 3)
            case "limits":
                return Job(number, code, is_limited=position % 4 == 0)
            case "endless":
                return Job(number, code, is_endless=position % 4 == 0)
        return Job(number, code)

    def raw_spec(self) -> msgspec.Raw:
        jobs = [self._spec_of(job, s) for job, s in zip(self.jobs, self._seconds, strict=True)]
        data = [{"name": f"v{job.number}"} for job in self.jobs if job.stores or job.writes]
        limit = {"name": "short", "runtime": "PT0.4S"}
        spec = {"name": self.name, "jobs": jobs, "user_data": data}
        return msgspec.Raw(msgspec.json.encode({**spec, "resource_requirements": [limit]}))

    def _spec_of(self, job: Job, seconds: float) -> dict[str, Any]:
        spec: dict[str, Any] = {"name": str(job.number)}
        words = [f"echo ran >> {job.number}"]
        if job.is_limited or job.is_endless:
            words.append("exec sleep 1000")
        elif seconds:
            words.append(f"sleep {seconds}")
        if job.is_limited:
            spec["resource_requirements"] = "short"
        if job.stores:
            words.append(f"torcctl -q data put v{job.number} {job.number} && echo > t{job.number}")
        if job.writes:
            words.append(f"echo v{job.number}={job.number} >> $TORC_OUTPUT")
        if job.stores or job.writes:
            spec["output_user_data"] = [f"v{job.number}"]
        if self.kind == "values" and job.after is not None:
            words.append(f"grep -q {job.after} $TORC_INPUTS || exit 99")
            spec["input_user_data"] = [f"v{job.after}"]
        elif job.after is not None:
            spec["depends_on"] = [str(job.after)]
        spec["command"] = "; ".join([*words, f"exit {job.code}"])
        return spec

    @property
    def needs_canceling(self) -> bool:
        return self.kind == "endless" and not self.is_canceled


class Judge:
    """Looks at workflows that are over."""

    def __init__(self, daemon: Daemon) -> None:
        self.found: Counter[str] = Counter()
        self.doubts: list[tuple[float, str]] = []
        """When somebody died who alone could have told how a job ended (seconds since the epoch),
        and who."""
        self._client: Client = daemon.client()

    def look_at(self, workflow: Workflow) -> None:
        with self._client as client:
            infos = client.call(m.ListJobs(workflow_key=workflow.key)).items
            results = client.call(m.ListResults(workflow_key=workflow.key, all_runs=True)).items
        attempts = Counter(result.job_name for result in results)
        statuses = {info.name: info for info in infos}
        assert len(infos) == JOBS
        assert _most_at_once(results) <= AT_ONCE, _history(results)
        for job in workflow.jobs:
            info = statuses[str(job.number)]
            runs = self._runs(workflow, job)
            assert runs <= 1, f"{job} ran {runs} times"
            assert attempts[info.name] <= 1, f"{job} has {attempts[info.name]} results"
            try:
                self._look_at_job(workflow, job, info, runs, statuses)
            except AssertionError as error:
                error.add_note(f"{job} ran {runs} times; {info}")
                raise
            self.found[info.status.value] += 1
            self.found["jobs"] += 1
        self._look_at_values(workflow)

    def _look_at_job(
        self,
        workflow: Workflow,
        job: Job,
        info: m.JobInfo,
        runs: int,
        all_jobs: dict[str, m.JobInfo],
    ) -> None:
        before = None if job.after is None else all_jobs[str(job.after)]
        if before is not None and before.status is not JobStatus.COMPLETED:
            assert (info.status, runs) == (JobStatus.CANCELED, 0)
        elif info.reason is Reason.LOST:
            self.found["lost"] += 1
            self._look_at_lost(info)
        elif info.status is JobStatus.CANCELED:
            assert workflow.may_be_canceled
        elif info.reason is Reason.MISSING_OUTPUT:
            # Its client has lost patience with a daemon that was not there.
            assert job.stores
            assert not (workflow.directory / f"t{job.number}").exists()
        elif job.is_limited:
            assert (info.status, runs) == (JobStatus.TERMINATED, 1)
        else:
            assert not job.is_endless
            assert (info.return_code, runs) == (job.code, 1)
            is_good = info.status is JobStatus.COMPLETED
            assert is_good == (job.code == 0)

    def _look_at_lost(self, info: m.JobInfo) -> None:
        assert info.ended_at is not None
        end = _seconds(info.ended_at)
        # When it was ordered is not known; one that is lost has not been lost for long.
        start = end - 60
        if info.started_at is not None:
            start = _seconds(info.started_at)
        causes = [who for doubt, who in self.doubts if start - 1 <= doubt <= end + 0.1]
        assert causes, "lost without a cause"
        self.found["lost with " + causes[-1]] += 1
        self.found["lost, not known to have started"] += info.started_at is None

    def _look_at_values(self, workflow: Workflow) -> None:
        for job in workflow.jobs:
            if (workflow.directory / f"t{job.number}").exists():
                self.found["values acknowledged"] += 1
                with self._client as client:
                    value = client.fetch(f"v{job.number}", workflow_key=workflow.key)
                assert value == job.number

    @staticmethod
    def _runs(workflow: Workflow, job: Job) -> int:
        try:
            return (workflow.directory / str(job.number)).read_text().count("ran")
        except FileNotFoundError:
            return 0


def _most_at_once(results: list[m.Result]) -> int:
    """Attempts of these that ran at the same time, by what was said of their starts and ends."""
    changes = []
    for result in results:
        if result.started_at is not None and result.ended_at is not None:
            changes += [(_seconds(result.started_at), 1), (_seconds(result.ended_at), -1)]
    most = running = 0
    for _, change in sorted(changes):  # of one instant the ends first
        running += change
        most = max(most, running)
    return most


def _history(results: list[m.Result]) -> str:
    ran = sorted((r.started_at or "", r.ended_at, r.job_name, r.reason) for r in results)
    return "\n".join(" ".join(str(fact)[-16:] for fact in facts) for facts in ran)


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
