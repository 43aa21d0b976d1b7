"""What is done with a daemon of each release, so that its database and its messages can be kept:
some of everything, said with the client's structs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from torcd.protocol import manager as m
from torcd.protocol import service as s
from torcd.protocol import user_data as u
from torcd.protocol.request import Reply, Request

FULL: dict[str, Any] = {
    "name": "full",
    "description": "some of everything",
    "user_data": [
        {"name": "given", "data": {"text": "ä", "numbers": [1, 2.5, None]}},
        {"name": "made"},
        {"name": "later", "is_ephemeral": True},
        {"name": "checked", "data": 3, "schema": {"type": "integer", "minimum": 0}},
    ],
    "files": [{"name": "table", "path": "table.txt"}],
    "resource_requirements": [{"name": "small", "num_cpus": 1, "memory": "64m"}],
    "failure_handlers": [
        {"name": "patient", "rules": [{"exit_codes": [9], "max_retries": 1}]},
    ],
    "jobs": [
        {
            "name": "make",
            "command": 'echo "made=[1,2,3]" >> "$TORC_OUTPUT"; echo 1 > table.txt',
            "input_user_data": ["given"],
            "output_user_data": ["made"],
            "output_files": ["table"],
            "resource_requirements": "small",
        },
        {
            "name": "use_{n}",
            "command": ["test", "-e", "table.txt"],
            "input_user_data": ["made"],
            "input_files": ["table"],
            "parameters": {"n": "1:3"},
            "priority": 2,
        },
        {"name": "fail", "command": "echo no >&2; exit 3", "failure_handler": "patient"},
        {
            "name": "never",
            "command": "true",
            "depends_on": ["fail"],
            "cancel_on_blocking_job_failure": True,
        },
    ],
    "actions": [
        {
            "trigger_type": "on_workflow_complete",
            "action_type": "run_commands",
            "commands": ["true", "exit 4"],
        }
    ],
}

WAITING: dict[str, Any] = {
    "name": "waiting",
    "user_data": [{"name": "v"}],
    "jobs": [
        {"name": "b", "command": "true", "cwd": "/", "input_user_data": ["v"]},
        {"name": "a", "command": "true", "cwd": "/", "depends_on": ["b"]},
        {"name": "c", "command": "true", "cwd": "/", "input_user_data": ["v"]},
    ],
}
"""Nobody makes the value."""

AGAIN: dict[str, Any] = {
    "name": "again",
    "user_data": [
        {"name": "n", "data": 1},
        {"name": "twice"},
        {"name": "seed", "data": [0], "is_ephemeral": True},
    ],
    "files": [{"name": "copy", "path": "copy.txt"}],
    "failure_handlers": [
        {
            "name": "mending",
            "rules": [
                {
                    "match_all_exit_codes": True,
                    "recovery_script": "echo mending",
                    "max_retries": 1,
                    "backoff": 0.01,
                }
            ],
        },
    ],
    "jobs": [
        {
            "name": "double",
            "command": 'echo "twice=2" >> "$TORC_OUTPUT"; echo 2 > copy.txt',
            "input_user_data": ["n", "seed"],
            "output_user_data": ["twice"],
            "output_files": ["copy"],
        },
        {
            "name": "show",
            "command": "cat copy.txt",
            "input_user_data": ["twice"],
            "input_files": ["copy"],
        },
        {"name": "fail", "command": "exit 3", "failure_handler": "mending"},
        {"name": "after", "command": "true", "depends_on": ["fail"]},
    ],
}
"""What `double` makes is the same whatever it reads, so `show` need not run again."""


def edited() -> dict[str, Any]:
    """Another spec for it: without `after`, and `fail` is another job."""
    jobs = [dict(job) for job in AGAIN["jobs"] if job["name"] != "after"]
    jobs[2] |= {"command": "exit 0", "priority": 1}
    jobs.append({"name": "new", "command": "cat copy.txt", "input_files": ["copy"]})
    user_data = [*AGAIN["user_data"][:2], {"name": "more", "data": True}]
    jobs[0] |= {"input_user_data": ["n", "more"]}
    return AGAIN | {"jobs": jobs, "user_data": user_data}


TOLD, ON = "told", "on"
GROWING: dict[str, Any] = {
    "name": "growing",
    "user_data": [{"name": "parts", "data": ["a", {"b": 1}]}],
    "jobs": [
        {"name": "grow", "command": f'echo "$TORC_TOKEN" > {TOLD}; read x < {ON}'},
        {"name": "part", "for_each": "parts", "command": "echo {index}: {item}"},
        {"name": "collect", "command": "true", "depends_on_regexes": ["^(grow|part)"]},
    ],
}
"""It has a job for each element of a value, and those that a job adds."""

GROWN = {
    "jobs": [
        {"name": "grown_1", "command": "true", "depends_on": ["grow"]},
        {"name": "grown_2", "command": "true", "depends_on": ["grown_1"]},
    ]
}

GATE = "gate"
HELD = {"name": "held", "jobs": [{"name": "j", "command": f"read x < {GATE}"}]}
"""Runs when the database is copied."""

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


class Asks(Protocol):
    """Sends a request, and returns the reply: the first one, where there are several. An error is
    an answer too: None."""

    def __call__(self, request: Request[Reply], *, more: bool = False) -> Reply | None: ...


class Told(NamedTuple):
    """The keys of workflows that are looked at."""

    full: str
    """It has some of everything."""
    again: str
    """It has had several runs."""
    growing: str
    """It has got jobs while it ran."""


def change(ask: Asks, over: Callable[[str], object], directory: str) -> Told:
    """All that changes something. `over` returns when a workflow is over."""

    def submit(spec: object) -> str:
        submitted = ask(
            m.Submit(
                workflow=msgspec.Raw(msgspec.json.encode(spec)),
                wait_for_inputs=True,
                directory=directory,
                environment=ENVIRONMENT,
                user="somebody",
                max_parallel_jobs=2,
            )
        )
        assert submitted is not None
        return submitted.key

    for pipe in (TOLD, ON):
        os.mkfifo(Path(directory, pipe))
    full = submit(FULL)
    ask(m.FollowWorkflow(workflow_key=full), more=True)
    over(full)
    ask(u.Store(name="later", workflow_key=full, data=msgspec.Raw(b'"a"')))
    ask(u.Store(name="later", workflow_key=full, data=msgspec.Raw(b'{"b": [1e400]}')))
    ask(u.Store(name="checked", workflow_key=full, data=msgspec.Raw(b"-1")))  # is refused
    waiting = submit(WAITING)
    ask(m.Disable(workflow_key=waiting, jobs=["c"]))
    ask(m.Enable(workflow_key=waiting, jobs=["c"]))
    ask(m.Resume(workflow_key=waiting))
    ask(m.Pause(workflow_key=waiting))
    ask(m.Disable(workflow_key=waiting, jobs=["c"]))
    canceled = submit(WAITING | {"name": "canceled"})
    ask(m.Cancel(workflow_key=canceled))
    over(canceled)
    ask(m.Archive(workflow_key=canceled))
    ask(m.Unarchive(workflow_key=canceled))
    ask(m.Archive(workflow_key=canceled))
    deleted = submit(WAITING | {"name": "deleted"})
    ask(m.Cancel(workflow_key=deleted))
    over(deleted)
    ask(m.Delete(workflow_key=deleted))
    again = submit(AGAIN)
    over(again)
    run_again(ask, over, again, directory)
    growing = submit(GROWING)
    grow(ask, directory)
    over(growing)
    ask(m.Reload())
    return Told(full, again, growing)


def grow(ask: Asks, directory: str) -> None:
    """A job that runs adds jobs."""
    token = Path(directory, TOLD).read_text().strip()
    jobs = msgspec.Raw(msgspec.json.encode(GROWN))
    ask(m.AddJobs(token=token, workflow=jobs, directory=directory))
    ask(m.AddJobs(token=token, workflow=jobs, directory=directory))  # adds nothing more
    ask(m.AddJobs(token="nobody's", workflow=jobs, directory=directory))  # is refused
    Path(directory, ON).write_text("\n")


def run_again(ask: Asks, over: Callable[[str], object], key: str, directory: str) -> None:
    ask(m.Retry(workflow_key=key, jobs=["fail"]))
    over(key)
    ask(m.Retry(workflow_key=key, jobs=["show"]))  # is refused: it completed
    ask(u.Store(name="n", workflow_key=key, data=msgspec.Raw(b"1.0")))  # is no change
    ask(u.Store(name="n", workflow_key=key, data=msgspec.Raw(b"2")))
    ask(m.Restart(workflow_key=key, dry_run=True))
    ask(m.Restart(workflow_key=key), more=True)
    over(key)
    ask(m.Restart(workflow_key=key, jobs=["show"], only=True))
    over(key)
    spec = msgspec.Raw(msgspec.json.encode(edited()))
    ask(m.Apply(workflow_key=key, workflow=spec, directory=directory, dry_run=True))
    ask(m.Apply(workflow_key=key, workflow=spec, directory=directory))
    over(key)
    ask(m.Apply(workflow_key=key, workflow=spec, directory=directory))  # changes nothing
    ask(m.Restart(workflow_key=key))  # nothing is out of date


def look(ask: Asks, told: Told) -> None:
    """All that only looks, and is answered the same as long as nothing is changed."""
    full, again, growing = told
    ask(m.ListWorkflows())
    ask(m.GetWorkflow(workflow_key=full))
    ask(m.ListJobs(workflow_key=full))
    ask(m.ListJobs(workflow_key=full, jobs=["use_*"]))
    ask(m.Explain(workflow_key=full, job="never"))
    ask(m.ListResults(workflow_key=full, all_runs=True))
    ask(m.ListActions(workflow_key=full))
    ask(m.ListFiles(workflow_key=full))
    ask(m.ListJoins())
    ask(m.Join(name="job-results", workflow_key=full))
    ask(m.ListEvents(workflow_key=full))
    ask(m.FollowEvents(workflow_key=full, since=1), more=True)
    for name in ("given", "made", "later", "checked"):
        ask(u.Fetch(name=name, workflow_key=full))
    ask(u.Fetch(name="later", workflow_key=full, revision=1))
    ask(u.Fetch(name="nothing", workflow_key=full))  # an error
    ask(u.List(workflow_key=full))
    ask(u.History(name="later", workflow_key=full))
    ask(u.Watch(name="later", workflow_key=full), more=True)
    ask(m.GetWorkflow(workflow_key=again))
    ask(m.ListJobs(workflow_key=again))
    ask(m.ListResults(workflow_key=again))
    ask(m.ListResults(workflow_key=again, run_id=1))
    ask(m.ListResults(workflow_key=again, all_runs=True))
    ask(m.Explain(workflow_key=again, job="show"))
    ask(m.ListEvents(workflow_key=again))
    ask(u.History(name="twice", workflow_key=again))
    ask(m.ListJobs(workflow_key=growing))
    ask(m.Explain(workflow_key=growing, job="part"))
    ask(m.ListEvents(workflow_key=growing))


def look_at_the_daemon(ask: Asks) -> None:
    """What another daemon answers in its own way."""
    ask(s.GetInfo())
    ask(s.GetInterfaceDescription(interface="io.torcd.UserData"))
    ask(m.GetStatus())
    ask(m.Stop())
