"""torc's fields for clusters: checked and kept, and of no effect on one machine."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Scalar = str | int | float | bool


class SlurmSchedulerSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """An allocation of Slurm."""

    account: Annotated[str, Meta(description="Whose time it is.")]
    name: Annotated[str | None, Meta(description="For jobs and actions that name it.")] = None
    gres: Annotated[str | None, Meta(description="Generic resources.")] = None
    mem: Annotated[str | None, Meta(description="Memory.")] = None
    nodes: Annotated[int | None, Meta(description="How many nodes.")] = None
    ntasks_per_node: Annotated[int | None, Meta(description="Tasks on each node.")] = None
    partition: Annotated[str | None, Meta(description="Partition.")] = None
    qos: Annotated[str | None, Meta(description="Quality of service.")] = None
    tmp: Annotated[str | None, Meta(description="Temporary storage.")] = None
    walltime: Annotated[str | None, Meta(description="Time limit.")] = None
    extra: Annotated[str | None, Meta(description="More options of sbatch.")] = None


class ResourceMonitorSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """torc's monitor."""

    enabled: Annotated[bool | None, Meta(description="Whether it runs.")] = None
    granularity: Annotated[
        Literal["summary", "time_series", "Summary", "TimeSeries"] | None,
        Meta(description="How much it keeps."),
    ] = None
    sample_interval_seconds: Annotated[int | None, Meta(description="How often it looks.")] = None
    metrics: Annotated[tuple[str, ...] | None, Meta(description="What it keeps.")] = None
    generate_plots: Annotated[bool | None, Meta(description="Whether it draws.")] = None
