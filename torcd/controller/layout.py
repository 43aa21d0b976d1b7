"""Where the files of attempts are, below the state directory.

What is another user's is in directories of theirs: `logs/WORKFLOW`, and `attempts/UID` for the
files through which attempts get and give values. These are in directories where only we can write.
"""

import os

from torcd.accounts import Account
from torcd.model import AttemptKey, JobKey, Stdio, WorkflowKey


class Layout:
    def __init__(self, state_dir: str) -> None:
        self.state_dir = state_dir
        # Joined by hand from here on: a job has five paths, and os.path.join takes a while.
        self.logs = os.path.join(state_dir, "logs")
        self.attempts = os.path.join(state_dir, "attempts")
        self._uids = _uids_in(self.attempts)
        """Of other users who have files there."""

    def log_dir(self, workflow_key: WorkflowKey) -> str:
        return f"{self.logs}/{workflow_key}"

    def log_paths(
        self,
        workflow_key: WorkflowKey,
        job_key: JobKey,
        run_id: int,
        attempt_id: int,
        stdio: Stdio,
    ) -> tuple[str | None, str | None]:
        """Standard output and error of an attempt. Named by keys, because names of jobs may be
        longer than a file name can be and hold a slash."""
        if stdio == "none":
            return None, None
        stem = f"{self.logs}/{workflow_key}/{job_key}.{run_id}.{attempt_id}"
        if stdio == "separate":
            return f"{stem}.out", f"{stem}.err"
        return f"{stem}.out", f"{stem}.out"

    def recovery_log_paths(
        self, workflow_key: WorkflowKey, job_key: JobKey, run_id: int, attempt_id: int
    ) -> tuple[str, str]:
        """Standard output and error of the recovery script that is run because of an attempt."""
        name = f"{job_key}.{run_id}.{attempt_id}.recovery"
        stem = os.path.join(self.log_dir(workflow_key), name)
        return f"{stem}.out", f"{stem}.err"

    def action_log_paths(
        self, workflow_key: WorkflowKey, action: int, run_id: int, command: int
    ) -> tuple[str, str]:
        """Standard output and error of a command of an action; both counted from 1."""
        stem = f"{self.logs}/{workflow_key}/action-{action}.{run_id}.{command}"
        return f"{stem}.out", f"{stem}.err"

    def directory(self, user: Account | None) -> str:
        """For TORC_INPUTS and TORC_OUTPUT of a user's attempts; None: who we are."""
        if user is None:
            return self.attempts
        self._uids.add(user.uid)
        return f"{self.attempts}/{user.uid}"

    def output(self, attempt_key: AttemptKey, user: Account | None = None) -> str:
        """TORC_OUTPUT."""
        directory = self.attempts if user is None else self.directory(user)
        return f"{directory}/{attempt_key}.output"

    def inputs(self, attempt_key: AttemptKey, user: Account | None = None) -> str:
        """TORC_INPUTS."""
        return f"{self.directory(user)}/{attempt_key}.inputs.json"

    def files_of(self, attempt_key: AttemptKey) -> list[str]:
        """What is not needed any more when the attempt's result is on disk, whosever it was."""
        directories = [self.attempts, *(f"{self.attempts}/{uid}" for uid in self._uids)]
        return [
            f"{directory}/{attempt_key}.{suffix}"
            for directory in directories
            for suffix in ("output", "inputs.json")
        ]


def _uids_in(directory: str) -> set[int]:
    try:
        with os.scandir(directory) as found:
            return {int(entry.name) for entry in found if entry.name.isdecimal()}
    except FileNotFoundError:
        return set()
