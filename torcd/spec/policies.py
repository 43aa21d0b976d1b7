"""What jobs ask for, what happens when they fail, and what is done besides them: as structs."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class ResourceRequirementsSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """What a job asks for."""

    name: Annotated[str, Meta(description="Unique among the resource_requirements.")]
    num_cpus: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)] | None,
        Meta(description="CPUs; jobs that ask for them share those of the machine. Default: 1."),
    ] = None
    memory: Annotated[
        str | None,
        Meta(description='"512k", "2g", "1.5t": units of 1024 bytes. Default: no limit.'),
    ] = None
    num_gpus: Annotated[
        Annotated[int, Meta(ge=0, le=10_000)] | None, Meta(description="GPUs. Default: 0.")
    ] = None
    num_nodes: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="Of no effect on one machine. Default: 1."),
    ] = None
    runtime: Annotated[
        str | None,
        Meta(
            description='How long it may run, in ISO 8601: "PT30M", "P1DT12H". Default: no limit.'
        ),
    ] = None


OtherReason = Literal[
    "signal", "timeout", "oom", "lost", "missing_output", "bad_output", "start_failed"
]


class FailureRuleSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """When to try again, and how."""

    exit_codes: Annotated[
        tuple[Annotated[int, Meta(ge=-64, le=255)], ...] | None,
        Meta(description="Return codes; -N for a death by signal N. Default: none."),
    ] = None
    match_all_exit_codes: Annotated[
        bool | None,
        Meta(description="Every return code but 0, signals included. Default: false."),
    ] = None
    on: Annotated[
        tuple[OtherReason, ...] | None,
        Meta(description="Other reasons why a job may end badly. Default: none."),
    ] = None
    recovery_script: Annotated[
        str | None,
        Meta(description="A text for `bash -c` in the job's directory. Default: none."),
    ] = None
    max_retries: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="How many attempts there are after the first. Default: 3."),
    ] = None
    backoff: Annotated[
        Annotated[float, Meta(ge=0, le=1e9)] | None,
        Meta(description="Seconds before the first retry, doubled each time. Default: 0."),
    ] = None
    max_backoff: Annotated[
        Annotated[float, Meta(ge=0, le=1e9)] | None,
        Meta(description="Seconds; it is never longer. Default: 3600, or `backoff` if longer."),
    ] = None
    jitter: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="By which part of it the time may be shorter or longer. Default: 0."),
    ] = None


class FailureHandlerSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """Rules for the jobs that name it."""

    name: Annotated[str, Meta(description="Unique among the failure_handlers.")]
    rules: Annotated[
        tuple[FailureRuleSpec, ...], Meta(description="The first that matches applies.")
    ]


Trigger = Literal[
    "on_workflow_start",
    "on_workflow_complete",
    "on_jobs_ready",
    "on_jobs_complete",
    "on_worker_start",
    "on_worker_complete",
]


class ActionSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """Commands that run once in each run, when something has come about."""

    trigger_type: Annotated[
        Trigger,
        Meta(
            description="When: before the first job, after the last one, when the last of the jobs "
            "it names has become ready, or has ended. torc's workers: there is one here, so they "
            "start and end with the workflow."
        ),
    ]
    action_type: Annotated[
        Literal["run_commands", "schedule_nodes"],
        Meta(description="What to do; schedule_nodes is of no effect on one machine."),
    ]
    commands: Annotated[
        tuple[str, ...] | None,
        Meta(description="Texts, run as `bash -c` one after the other. Default: none."),
    ] = None
    jobs: Annotated[tuple[str, ...] | None, Meta(description="Names of jobs. Default: none.")] = (
        None
    )
    job_name_regexes: Annotated[
        tuple[str, ...] | None,
        Meta(description="Regular expressions, for jobs in whose names they are found."),
    ] = None
    persistent: Annotated[
        bool | None,
        Meta(description="torc: for each worker. There is one here. Default: false."),
    ] = None
    scheduler: Annotated[str | None, Meta(description="For schedule_nodes.")] = None
    scheduler_type: Annotated[str | None, Meta(description="For schedule_nodes.")] = None
    num_allocations: Annotated[int | None, Meta(description="For schedule_nodes.")] = None
    start_one_worker_per_node: Annotated[bool | None, Meta(description="For schedule_nodes.")] = (
        None
    )
    max_parallel_jobs: Annotated[int | None, Meta(description="For schedule_nodes.")] = None
