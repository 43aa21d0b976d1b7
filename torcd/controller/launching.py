"""From the decision to start an attempt to the order for the executor."""

import json
import os
from collections.abc import Mapping

from torcd.accounts import Account, Accounts
from torcd.controller import tokens
from torcd.controller.layout import Layout
from torcd.controller.plain_commands import is_bash, words
from torcd.disk import is_no_room
from torcd.executors.base import After, AttemptOrder
from torcd.model import Workflow, WorkflowKey
from torcd.ownership import make_for
from torcd.scheduler.commands import StartAttempt, StartCommand, StartRecovery
from torcd.scheduler.sharing import Share

INPUTS = "TORC_INPUTS"
"""The variable; only jobs that declare input user_data have it."""


MAX_VARIABLE_BYTES = 100_000
"""The kernel takes no variable of more than 128 KiB."""


def environment_name(workflow_key: int) -> str:
    """The executor's name for the variables that all jobs of a workflow share."""
    return f"w{workflow_key}"


def shared_environment(
    workflow: Workflow, inherited: Mapping[str, str], socket: str
) -> dict[str, str]:
    """What all jobs of a workflow get: what torcctl was run in, and the workflow's `env`."""
    key = str(workflow.key)
    return {
        **inherited,
        **workflow.env,
        "TORC_SOCKET": socket,
        "TORC_WORKFLOW_KEY": key,
        "TORC_WORKFLOW_ID": key,
    }


class Launcher:
    """Makes orders."""

    def __init__(
        self, layout: Layout, secret: bytes, shell: str, accounts: Accounts | None = None
    ) -> None:
        self._layout = layout
        self._accounts = accounts or Accounts()
        self._secret = secret
        self._shell = shell
        self._is_bash = is_bash(shell)
        self._has_log_dir: set[WorkflowKey] = set()

    def forget(self, key: WorkflowKey) -> None:
        """A workflow is over."""
        self._has_log_dir.discard(key)

    def order(self, start: StartAttempt, workflow: Workflow) -> AttemptOrder:
        """Raises OSError when the directory for its logs cannot be made, and ExecutorError when
        there is nobody to run it as."""
        job = start.job
        user = self._user(workflow)
        stdout, stderr = self._layout.log_paths(
            start.workflow_key, job.key, start.run_id, start.attempt_id, job.stdio
        )
        if stdout is not None and start.workflow_key not in self._has_log_dir:
            self._make_log_dir(start.workflow_key, user)
        environment = {
            **job.env,
            **_who(start),
            "TORC_TOKEN": tokens.issue(self._secret, start.attempt_key),
            "TORC_OUTPUT": self._layout.output(start.attempt_key, user),
        }
        if start.share is not None:
            environment |= _granted(start, start.share)
        if workflow.input_user_data(job):
            environment[INPUTS] = self._layout.inputs(start.attempt_key, user)
        argv, plain, after = job.command, None, None
        if isinstance(argv, str):
            plain = words(argv) if self._is_bash else None
            argv = (self._shell, "-c", argv)
        if start.after is not None:
            after = After(start.after, self._layout.output(start.after, user))
        return AttemptOrder(
            attempt_key=start.attempt_key,
            lane=start.workflow_key,
            lane_limit=start.max_parallel_jobs,
            argv=argv,
            plain=plain,
            base_environment=environment_name(start.workflow_key),
            environment=environment,
            cwd=job.cwd or workflow.directory,
            stdout=stdout,
            stderr=stderr,
            user=user,
            after=after,
        )

    def recovery_order(self, start: StartRecovery, workflow: Workflow) -> AttemptOrder:
        """The same for a recovery script. It has no token: it is not the job, and may do what the
        user may."""
        job = start.job
        user = self._user(workflow)
        stdout, stderr = self._layout.recovery_log_paths(
            start.workflow_key, job.key, start.run_id, start.attempt_id
        )
        self._make_log_dir(start.workflow_key, user)
        logs = self._layout.log_paths(
            start.workflow_key, job.key, start.run_id, start.attempt_id, job.stdio
        )
        environment = {
            **job.env,
            **_who(start),
            "TORC_REASON": start.reason.value,
        }
        if start.return_code is not None:
            environment["TORC_RETURN_CODE"] = str(start.return_code)
        for name, path in zip(("TORC_STDOUT", "TORC_STDERR"), logs, strict=True):
            if path is not None:
                environment[name] = path
        return AttemptOrder(
            attempt_key=start.attempt_key,
            lane=start.workflow_key,
            lane_limit=start.max_parallel_jobs,
            argv=(self._shell, "-c", start.script),
            base_environment=environment_name(start.workflow_key),
            environment=environment,
            cwd=job.cwd or workflow.directory,
            stdout=stdout,
            stderr=stderr,
            user=user,
        )

    def command_order(self, start: StartCommand, workflow: Workflow) -> AttemptOrder:
        """The same for a command of an action. It has no token: it is no job, and may do what the
        user may."""
        action = workflow.actions[start.action - 1]
        user = self._user(workflow)
        stdout, stderr = self._layout.action_log_paths(
            start.workflow_key, start.action, start.run_id, start.command
        )
        self._make_log_dir(start.workflow_key, user)
        environment = {
            "TORC_RUN_ID": str(start.run_id),
            "TORC_ACTION_TRIGGER": action.trigger,
        }
        if action.jobs:
            members = set(action.jobs)
            names = "\n".join(job.name for job in workflow.jobs if job.key in members)
            if len(os.fsencode(names)) <= MAX_VARIABLE_BYTES:
                environment["TORC_ACTION_JOBS"] = names
        return AttemptOrder(
            attempt_key=start.attempt_key,
            # A lane of their own beside that of the workflow's jobs.
            lane=-start.workflow_key,
            lane_limit=1,
            argv=(self._shell, "-c", action.commands[start.command - 1]),
            base_environment=environment_name(start.workflow_key),
            environment=environment,
            cwd=workflow.directory,
            stdout=stdout,
            stderr=stderr,
            user=user,
        )

    def _user(self, workflow: Workflow) -> Account | None:
        user = self._accounts.runs_as(workflow.owner)
        if user is not None:
            make_for(self._layout.directory(user), user.uid, user.gid)
        return user

    def _make_log_dir(self, key: WorkflowKey, user: Account | None) -> None:
        """Once for a workflow; whoever makes the log makes it again, should a job take it away."""
        if key in self._has_log_dir:
            return
        # One by one: makedirs gives the mode to the last one only.
        for directory in (self._layout.logs, self._layout.log_dir(key)):
            try:
                os.mkdir(directory, mode=0o700)
            except FileExistsError:
                pass
            except OSError as error:
                if user is not None or not is_no_room(error):
                    raise
                return  # whoever makes the log makes it, when there is room
        if user is not None:
            make_for(self._layout.log_dir(key), user.uid, user.gid)
        self._has_log_dir.add(key)


def _who(start: StartAttempt | StartRecovery) -> dict[str, str]:
    """Which attempt it is, or is about."""
    job_key = str(start.job.key)
    return {
        "TORC_JOB_KEY": job_key,
        "TORC_JOB_ID": job_key,
        "TORC_JOB_NAME": start.job.name,
        "TORC_RUN_ID": str(start.run_id),
        "TORC_ATTEMPT_ID": str(start.attempt_id),
    }


def _granted(start: StartAttempt, share: Share) -> dict[str, str]:
    """What it was granted of what it asked for."""
    granted = {"TORC_CPUS": str(share.cpus)}
    if share.memory_bytes:
        granted["TORC_MEMORY_BYTES"] = str(share.memory_bytes)
    if start.job.resources is not None and start.job.resources.num_gpus:
        granted["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, start.gpus))
    return granted


def write_inputs(path: str, values: Mapping[str, bytes | memoryview]) -> None:
    """Make a TORC_INPUTS file of names and the JSON texts of their values.

    It is there whole or not at all, and one that is there already is left alone: the job of an
    earlier daemon may be reading it. Raises OSError.
    """
    if os.path.exists(path):
        return
    members = (json.dumps(name).encode() + b":" + text for name, text in values.items())
    unfinished = f"{path}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(unfinished, flags, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(b"{" + b",".join(members) + b"}\n")
    except OSError:
        os.unlink(unfinished)  # half of it keeps room from others
        raise
    os.replace(unfinished, path)
