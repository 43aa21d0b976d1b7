"""`torcctl plan`: what a spec would run, in which order, without a daemon."""

import click
import msgspec

from torcctl import specfile
from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.columns import command_text
from torcctl.render.table import Column
from torcd import graph
from torcd.model import JobKey, Workflow
from torcd.spec import expand


class PlannedJob(msgspec.Struct, frozen=True, kw_only=True):
    """`stage`: jobs of one stage could run at the same time, after those of the stages before."""

    stage: int
    name: str
    command: str | list[str]
    waits_for: list[str]
    """The jobs it waits for directly, through files and user_data as well."""


@click.command(
    "plan",
    cls=Command,
    short_help="Show what a spec would run, in which order.",
    example="torcctl plan diamond.yaml",
)
@specfile.argument
@specfile.format_option
@pass_invocation
def command(invocation: Invocation, spec: str, spec_format: str | None) -> None:
    """Show what a spec would run, in which order.

    Jobs of one stage could run at the same time, after the stages before. Needs no daemon and
    creates nothing.
    """
    file = specfile.read(spec, spec_format, compare_with_machine=True)
    for problem in file.document.warnings:
        invocation.say(str(problem))
    workflow = expand(file.document.spec, directory=file.directory, default_name=file.default_name)
    items = planned(workflow)
    invocation.print_list({"items": items}, _COLUMNS, items, empty="nothing would run")


def planned(workflow: Workflow) -> list[PlannedJob]:
    """The jobs in the order of their stages, and within one as in the spec."""
    gates = graph.gates(workflow)
    producers: dict[JobKey, dict[JobKey, None]] = {job.key: {} for job in workflow.jobs}
    made_by: dict[int, dict[JobKey, None]] = {}
    for gate in gates:
        made_by[gate.subject] = dict.fromkeys(gate.producers)
        for member in gate.members:
            made_by[gate.subject].update(made_by[member])
        for consumer in gate.consumers:
            producers[consumer].update(made_by[gate.subject])
    stages: dict[JobKey, int] = {}
    for key in graph.topological_order(workflow, gates):
        stages[key] = 1 + max((stages[producer] for producer in producers[key]), default=0)
    names = {job.key: job.name for job in workflow.jobs}
    ordered = sorted(workflow.jobs, key=lambda job: stages[job.key])
    return [
        PlannedJob(
            stage=stages[job.key],
            name=job.name,
            command=job.command if isinstance(job.command, str) else list(job.command),
            waits_for=[names[key] for key in sorted(producers[job.key])],
        )
        for job in ordered
    ]


_COLUMNS: list[Column[PlannedJob]] = [
    Column("STAGE", lambda j: j.stage, right=True),
    Column("NAME", lambda j: j.name, folds=True),
    Column("AFTER", lambda j: ", ".join(j.waits_for), folds=True),
    Column("COMMAND", lambda j: command_text(j.command), folds=True),
]
