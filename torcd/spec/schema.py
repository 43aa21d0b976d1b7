"""The workflow spec as structs: what each format decodes into, and what crosses the wire.

Each field means what its text says; an optional field that is None was absent or null, and its
default is named in its text. The structs only carry what was written: defaults, positions and
references are dealt with in `expansion`. There may be a million of them and none can be part of a
cycle, so the garbage collector need not look at them (`gc=False`).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from torcd.model import MAX_DYNAMIC_JOBS, JobsSortMethod
from torcd.spec.cluster import ResourceMonitorSpec, Scalar, SlurmSchedulerSpec
from torcd.spec.policies import ActionSpec, FailureHandlerSpec, ResourceRequirementsSpec

Name = Annotated[str, Meta(description="Not empty, without NUL or line breaks.")]
Environment = Annotated[
    dict[str, str], Meta(description="Environment variables: names and their texts.")
]


WrittenParameter = str | int | float | bool | tuple[str | int | float | bool, ...]
Parameters = Annotated[
    dict[str, WrittenParameter],
    Meta(description="Names and values: a range, a list, or one value."),
]
ParameterMode = Literal["product", "zip"]

_PARAMETERS_OF_AN_ITEM = "Parameters of its own; there is one {} for each combination of values. "
_PARAMETER_MODE = (
    "How several are combined: each value with each, or the first with the first and so on. "
    "Default: product."
)
_USE_PARAMETERS = "Names of the workflow's parameters that it has as well. Default: none."

_REGEXES = "Regular expressions (Python's), each for all {} in whose names it is found anywhere. "

_NO_EFFECT = "Kept; of no effect on one machine."
_OLD_NO_EFFECT = "Old torc's. Of no effect on one machine."
_OLD_KEY = "Old torc's. Of no effect: torcd gives keys itself."

Priority = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


class Entry(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """A reference that also puts the thing on the command line."""

    name: Name
    cli_arg: Annotated[
        str | None,
        Meta(description="Appends CLI_ARG=PATH (for user_data, the record's key) to the command."),
    ] = None


Reference = Annotated[str | Entry, Meta(description="A name, or {name, cli_arg}.")]


class JobSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """A job."""

    command: Annotated[
        str | tuple[str, ...],
        Meta(description="A text, run as `bash -c`; or a list, executed without a shell."),
    ]
    name: Annotated[
        str | None,
        Meta(description="Unique among the jobs. Default: job_N, N the position from 1."),
    ] = None
    invocation_script: Annotated[
        str | None,
        Meta(
            description="Put in front of the command; of several lines, it is run first in the "
            "same shell. Default: none."
        ),
    ] = None
    depends_on: Annotated[
        tuple[str, ...] | None,
        Meta(description="Names of jobs that must finish first. Default: none."),
    ] = None
    depends_on_regexes: Annotated[
        tuple[str, ...] | None,
        Meta(description=_REGEXES.format("jobs") + "It waits for all of them. Default: none."),
    ] = None
    blocked_by: Annotated[
        tuple[str, ...] | None, Meta(description="The old name of depends_on.")
    ] = None
    blocked_by_regexes: Annotated[
        tuple[str, ...] | None, Meta(description="The old name of depends_on_regexes.")
    ] = None
    input_files: Annotated[
        tuple[Reference, ...] | None, Meta(description="Files it reads. Default: none.")
    ] = None
    input_file_regexes: Annotated[
        tuple[str, ...] | None,
        Meta(description=_REGEXES.format("files") + "It reads them. Default: none."),
    ] = None
    output_files: Annotated[
        tuple[Reference, ...] | None, Meta(description="Files it makes. Default: none.")
    ] = None
    output_file_regexes: Annotated[
        tuple[str, ...] | None,
        Meta(description=_REGEXES.format("files") + "It makes them. Default: none."),
    ] = None
    input_user_data: Annotated[
        tuple[Reference, ...] | None, Meta(description="Values it fetches. Default: none.")
    ] = None
    input_user_data_regexes: Annotated[
        tuple[str, ...] | None,
        Meta(description=_REGEXES.format("user_data") + "It fetches them. Default: none."),
    ] = None
    output_user_data: Annotated[
        tuple[Reference, ...] | None, Meta(description="Values it stores. Default: none.")
    ] = None
    output_user_data_regexes: Annotated[
        tuple[str, ...] | None,
        Meta(description=_REGEXES.format("user_data") + "It stores them. Default: none."),
    ] = None
    cancel_on_blocking_job_failure: Annotated[
        bool | None,
        Meta(description="Whether it is canceled when what it waits for fails. Default: true."),
    ] = None
    supports_termination: Annotated[
        bool | None,
        Meta(
            description="true: it is stopped by SIGTERM and a grace time, then SIGKILL; false: by "
            "SIGKILL at once. Default: false."
        ),
    ] = None
    priority: Annotated[
        Priority | None, Meta(description="Among ready jobs, the higher goes first. Default: 0.")
    ] = None
    env: Annotated[
        Environment | None, Meta(description="Its own environment variables. Default: none.")
    ] = None
    cwd: Annotated[
        str | None,
        Meta(description="Where it runs. Default: the directory of the spec file."),
    ] = None
    stdio: Annotated[
        Literal["separate", "combined", "none"] | None,
        Meta(description="Output and error: a file each, one file, nowhere. Default: separate."),
    ] = None
    resource_requirements: Annotated[
        str | None,
        Meta(description="The name of what it asks for. Default: nothing, and no limit."),
    ] = None
    failure_handler: Annotated[
        str | None, Meta(description="The name of the rules for its failures. Default: none.")
    ] = None
    scheduler: Annotated[str | None, Meta(description="The name of a scheduler. " + _NO_EFFECT)] = (
        None
    )
    schedule_compute_nodes: Annotated[
        dict[str, Scalar | None] | None, Meta(description=_OLD_NO_EFFECT)
    ] = None
    key: Annotated[str | None, Meta(description=_OLD_KEY)] = None
    parameters: Annotated[
        Parameters | None,
        Meta(description=_PARAMETERS_OF_AN_ITEM.format("job") + "Default: none."),
    ] = None
    parameter_mode: Annotated[ParameterMode | None, Meta(description=_PARAMETER_MODE)] = None
    use_parameters: Annotated[tuple[str, ...] | None, Meta(description=_USE_PARAMETERS)] = None
    for_each: Annotated[
        str | None,
        Meta(
            description="The name of a user_data: a list, or an object. There is one job for each "
            "element, as soon as the value is there, with {item}, {item.FIELD}, {index} and, of an "
            "object, {key} as parameters. Default: one job."
        ),
    ] = None


class FileSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """A named path."""

    name: Annotated[
        str,
        Meta(
            description="Unique among the files. One that a for_each job names, and that has "
            "{index}, {item} or {key} in its name, is one for each element."
        ),
    ]
    path: Annotated[
        str, Meta(description="Relative paths are taken from the directory of the spec file.")
    ]
    st_mtime: Annotated[
        float | None, Meta(description="Old torc's. Of no effect: torcd looks at the file.")
    ] = None
    parameters: Annotated[
        Parameters | None,
        Meta(description=_PARAMETERS_OF_AN_ITEM.format("file") + "Default: none."),
    ] = None
    parameter_mode: Annotated[ParameterMode | None, Meta(description=_PARAMETER_MODE)] = None
    use_parameters: Annotated[tuple[str, ...] | None, Meta(description=_USE_PARAMETERS)] = None


class UserDataSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """A named JSON value."""

    name: Annotated[
        str,
        Meta(
            description="Unique among the user_data. One that a for_each job names, and that has "
            "{index}, {item} or {key} in its name, is one for each element."
        ),
    ]
    data: Annotated[
        Raw | UnsetType, Meta(description="Any JSON. Absent or null: it has no value yet.")
    ] = UNSET
    is_ephemeral: Annotated[
        bool | None, Meta(description="Cleared when a new run starts. Default: false.")
    ] = None
    available: Annotated[
        Literal["on_completion", "on_store"] | None,
        Meta(
            description="When consumers may start: when its producers have completed, or the "
            "moment the value is stored. Default: on_completion."
        ),
    ] = None
    schema: Annotated[
        Raw | UnsetType,
        Meta(
            description="A JSON Schema (2020-12) that values have to fit, wherever they are "
            "stored. It refers to nothing outside itself. Default: any value."
        ),
    ] = UNSET
    parameters: Annotated[
        Parameters | None,
        Meta(description=_PARAMETERS_OF_AN_ITEM.format("user_data") + "Default: none."),
    ] = None
    parameter_mode: Annotated[ParameterMode | None, Meta(description=_PARAMETER_MODE)] = None
    use_parameters: Annotated[tuple[str, ...] | None, Meta(description=_USE_PARAMETERS)] = None


class WorkflowSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """A workflow, as one spec file describes it."""

    name: Annotated[
        str | None,
        Meta(description="Default: the file's name without its suffix; `workflow` for `-`."),
    ] = None
    description: Annotated[str | None, Meta(description="For people. Default: none.")] = None
    user: Annotated[str | None, Meta(description="Whose it is. Default: none.")] = None
    env: Annotated[
        Environment | None, Meta(description="Environment of all jobs. Default: none.")
    ] = None
    parameters: Annotated[
        Parameters | None,
        Meta(description="Parameters for those that name them in use_parameters. Default: none."),
    ] = None
    jobs: Annotated[tuple[JobSpec, ...] | None, Meta(description="At least one.")] = None
    files: Annotated[tuple[FileSpec, ...] | None, Meta(description="Default: none.")] = None
    user_data: Annotated[tuple[UserDataSpec, ...] | None, Meta(description="Default: none.")] = None
    resource_requirements: Annotated[
        tuple[ResourceRequirementsSpec, ...] | None, Meta(description="Default: none.")
    ] = None
    failure_handlers: Annotated[
        tuple[FailureHandlerSpec, ...] | None, Meta(description="Default: none.")
    ] = None
    max_retries: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000_000)] | None,
        Meta(
            description="How many retries there may be in a run, of all jobs together. Default: as "
            "many as the handlers say."
        ),
    ] = None
    max_dynamic_jobs: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(description=f"How many jobs its jobs may add. Default: {MAX_DYNAMIC_JOBS}."),
    ] = None
    actions: Annotated[tuple[ActionSpec, ...] | None, Meta(description="Default: none.")] = None
    jobs_sort_method: Annotated[
        JobsSortMethod | None,
        Meta(
            description="Of jobs of one priority: the first in the spec goes first, or the one "
            "that asks for most, by these in turn. Default: none."
        ),
    ] = None
    resource_monitor: Annotated[ResourceMonitorSpec | None, Meta(description=_NO_EFFECT)] = None
    slurm_schedulers: Annotated[
        tuple[SlurmSchedulerSpec, ...] | None, Meta(description=_NO_EFFECT)
    ] = None
    slurm_defaults: Annotated[dict[str, Scalar] | None, Meta(description=_NO_EFFECT)] = None
    schedulers: Annotated[Raw | UnsetType, Meta(description=f"Old torc's. {_NO_EFFECT}")] = UNSET
    config: Annotated[Raw | UnsetType, Meta(description=f"Old torc's. {_NO_EFFECT}")] = UNSET
    compute_node_expiration_buffer_seconds: Annotated[int | None, Meta(description=_NO_EFFECT)] = (
        None
    )
    compute_node_ignore_workflow_completion: Annotated[
        bool | None, Meta(description=_NO_EFFECT)
    ] = None
    compute_node_min_time_for_new_jobs_seconds: Annotated[
        int | None, Meta(description=_NO_EFFECT)
    ] = None
    compute_node_wait_for_healthy_database_minutes: Annotated[
        int | None, Meta(description=_NO_EFFECT)
    ] = None
    compute_node_wait_for_new_jobs_seconds: Annotated[int | None, Meta(description=_NO_EFFECT)] = (
        None
    )
    use_pending_failed: Annotated[bool | None, Meta(description=_NO_EFFECT)] = None
    project: Annotated[str | None, Meta(description="For people. Kept; of no effect.")] = None
    metadata: Annotated[str | None, Meta(description="For people. Kept; of no effect.")] = None
    access_groups: Annotated[tuple[str, ...] | None, Meta(description=_NO_EFFECT)] = None
    enable_ro_crate: Annotated[bool | None, Meta(description=_NO_EFFECT)] = None
    execution_config: Annotated[Raw | UnsetType, Meta(description=_NO_EFFECT)] = UNSET
    key: Annotated[str | None, Meta(description=_OLD_KEY)] = None
    is_archived: Annotated[bool | None, Meta(description="Old torc's. Of no effect.")] = None


WITHOUT_EFFECT = (
    "resource_monitor",
    "slurm_schedulers",
    "slurm_defaults",
    "schedulers",
    "config",
    "compute_node_expiration_buffer_seconds",
    "compute_node_ignore_workflow_completion",
    "compute_node_min_time_for_new_jobs_seconds",
    "compute_node_wait_for_healthy_database_minutes",
    "compute_node_wait_for_new_jobs_seconds",
    "use_pending_failed",
    "project",
    "metadata",
    "access_groups",
    "enable_ro_crate",
    "execution_config",
    "key",
    "is_archived",
)
"""Fields of a workflow that are kept as they are."""

ITEMS_WITHOUT_EFFECT = (
    ("jobs", "schedule_compute_nodes"),
    ("jobs", "key"),
    ("files", "st_mtime"),
)
"""Fields of items that are accepted, and looked at by nobody."""

ANY_JSON = ("schedulers", "config", "execution_config")
ANY_JSON_OF_USER_DATA = ("data", "schema")
"""Fields of a workflow, and of its user_data, that may be any JSON."""
