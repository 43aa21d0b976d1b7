"""A plan, as structs: what `torcctl plan -F json` prints.

It grows with what is declared, not with pairs: what regexes have found is told once, as a group,
and who makes a file or a value is told with the file or the value. What a job waits for refers to
these by number and by name.
"""

import msgspec

from torcd import model


class Resources(model.Resources, frozen=True, kw_only=True, omit_defaults=False):
    """What a job asks for, complete."""


class FailureRule(model.FailureRule, frozen=True, kw_only=True, omit_defaults=False):
    """A rule of a failure handler, complete."""


class FailureHandler(msgspec.Struct, frozen=True, kw_only=True):
    """A failure handler, complete."""

    name: str
    rules: tuple[FailureRule, ...]


class PlannedFile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A file. `producers` are names of jobs; without any, it has to be there already if a job
    reads it."""

    name: str
    path: str
    producers: list[str]


class PlannedData(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A user_data. `has_data`: it has a value from the beginning."""

    name: str
    has_data: bool
    is_ephemeral: bool
    available: model.Availability
    producers: list[str]


class PlannedGroup(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What regexes have found, once for all jobs that wait for it. `jobs` counts the jobs that make
    all of it (themselves, if they are jobs), `must_exist` what no job makes and has no value."""

    number: int
    kind: model.Kind
    names: list[str]
    jobs: int
    must_exist: int


class Awaited(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A thing that a job waits for: one, which has a name, or the group of that number.

    `by` is the field of the spec that says so (a placeholder counts as `input_files` or
    `input_user_data`), `regexes` what is in it. `jobs` and `must_exist` are as in a group.
    """

    kind: model.Kind
    name: str | None
    group: int | None
    by: str
    regexes: tuple[str, ...] | None
    jobs: int
    must_exist: int


class FileReference(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    name: str
    path: str


class PlannedJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job as it would be submitted.

    `stage`: jobs of one stage could run at the same time, after those of the stages before.
    `input_files` and `input_user_data` are those that it names; what its regexes have found is in
    the groups of `waits_for`. `env` is its own, which goes before the workflow's. `for_each`: there
    is one job for each element of that user_data, which has no value yet, or an empty one.
    """

    stage: int
    name: str
    command: str | tuple[str, ...]
    cwd: str
    env: dict[str, str]
    stdio: model.Stdio
    priority: int
    cancel_on_blocking_job_failure: bool
    supports_termination: bool
    resources: Resources | None
    failure_handler: str | None
    scheduler: str | None
    input_files: list[FileReference]
    output_files: list[FileReference]
    input_user_data: list[str]
    output_user_data: list[str]
    waits_for: list[Awaited]
    for_each: str | None = None


class PlannedAction(msgspec.Struct, frozen=True, kw_only=True):
    """An action that runs commands; `number` counts them from 1, `jobs` names its set."""

    number: int
    trigger_type: model.ActionTrigger
    commands: tuple[str, ...]
    jobs: list[str]
    persistent: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`items` are the jobs in the order of their stages, and within one as in the spec."""

    name: str
    description: str | None
    user: str | None
    directory: str
    env: dict[str, str]
    jobs_sort_method: model.JobsSortMethod
    stages: int
    items: list[PlannedJob]
    groups: list[PlannedGroup]
    files: list[PlannedFile]
    user_data: list[PlannedData]
    actions: list[PlannedAction]
    failure_handlers: list[FailureHandler]
