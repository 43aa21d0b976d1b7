"""Workflows in a few words, for tests: files and user_data are declared by being named."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from torcd import value
from torcd.model import (
    Action,
    ActionTrigger,
    DataKey,
    FailureHandler,
    FailureRule,
    File,
    FileKey,
    Job,
    JobKey,
    JobsSortMethod,
    Resources,
    UserData,
    Workflow,
    WorkflowKey,
)


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    after: str
    reads: str
    writes: str
    fetches: str
    stores: str
    goes_on: bool
    handler: str | None
    priority: int
    supports_termination: bool
    resources: Resources | None


def job(
    *,
    after: str = "",
    reads: str = "",
    writes: str = "",
    fetches: str = "",
    stores: str = "",
    goes_on: bool = False,
    handler: str | None = None,
    priority: int = 0,
    supports_termination: bool = False,
    **resources: Any,
) -> JobSpec:
    """Names are separated by blanks. `goes_on`: cancel_on_blocking_job_failure is false. What is
    left over is what it asks for."""
    return JobSpec(
        after=after,
        reads=reads,
        writes=writes,
        fetches=fetches,
        stores=stores,
        goes_on=goes_on,
        handler=handler,
        priority=priority,
        supports_termination=supports_termination,
        resources=Resources(**resources) if resources else None,
    )


class ActionSpec(msgspec.Struct, frozen=True):
    trigger: ActionTrigger
    jobs: str = ""
    n_commands: int = 1


def workflow(
    jobs: Mapping[str, JobSpec],
    *,
    first_key: int = 1,
    on_store: str = "",
    ephemeral: str = "",
    initial: str = "",
    sort: JobsSortMethod = "none",
    actions: Sequence[ActionSpec] = (),
    handlers: Mapping[str, Sequence[FailureRule]] | None = None,
    max_retries: int | None = None,
) -> Workflow:
    """Files and user_data are declared by being named."""
    files = _names(jobs, "reads", "writes")
    data = _names(jobs, "fetches", "stores", also=initial)
    keys = {name: first_key + 1 + n for n, name in enumerate([*jobs, *files, *data])}
    assert len(keys) == len(jobs) + len(files) + len(data), "a name was used for two things"

    def of(names: str) -> tuple[Any, ...]:
        return tuple(keys[name] for name in names.split())

    return Workflow(
        key=WorkflowKey(first_key),
        name="w",
        jobs=tuple(
            Job(
                key=JobKey(keys[name]),
                name=name,
                command="true",
                depends_on=of(spec.after),
                input_files=of(spec.reads),
                output_files=of(spec.writes),
                input_user_data=of(spec.fetches),
                output_user_data=of(spec.stores),
                cancel_on_blocking_job_failure=not spec.goes_on,
                priority=spec.priority,
                failure_handler=spec.handler,
                supports_termination=spec.supports_termination,
                resources=spec.resources,
            )
            for name, spec in jobs.items()
        ),
        files=tuple(File(key=FileKey(keys[n]), name=n, path=f"/{n}") for n in files),
        user_data=tuple(
            UserData(
                key=DataKey(keys[n]),
                name=n,
                data=msgspec.Raw(b"0") if n in initial.split() else None,
                is_ephemeral=n in ephemeral.split(),
                available="on_store" if n in on_store.split() else "on_completion",
            )
            for n in data
        ),
        jobs_sort_method=sort,
        failure_handlers=tuple(
            FailureHandler(name=name, rules=tuple(rules))
            for name, rules in (handlers or {}).items()
        ),
        max_retries=max_retries,
        actions=tuple(
            Action(trigger=one.trigger, commands=("true",) * one.n_commands, jobs=of(one.jobs))
            for one in actions
        ),
    )


def parsed(text: str) -> value.Value:
    return value.parse(text.encode(), name="a value")


def _names(jobs: Mapping[str, JobSpec], *fields: str, also: str = "") -> list[str]:
    texts = [getattr(spec, field) for spec in jobs.values() for field in fields]
    return list(dict.fromkeys(" ".join([*texts, also]).split()))
