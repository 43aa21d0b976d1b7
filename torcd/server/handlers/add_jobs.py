"""A job that runs adds jobs to its workflow."""

from collections.abc import Callable

import msgspec
from anyio import to_thread

from torcd import errors, spec
from torcd.controller.parsing import given_values
from torcd.controller.presence import absent_files
from torcd.controller.unfolding import unfolded_values
from torcd.model import (
    Addition,
    AttemptKey,
    DataKey,
    KeptSpec,
    SpecChange,
    Workflow,
    spec_change,
)
from torcd.protocol import manager as m
from torcd.scheduler.adding import require_adding
from torcd.scheduler.comparing import Difference, difference
from torcd.scheduler.events import EditRequested
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.retrying import require_able_to_go_on
from torcd.scheduler.state import WorkflowNode
from torcd.server import asking
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.server.handlers.submit import require_directory
from torcd.spec import adding
from torcd.value import Value


class _Call(msgspec.Struct, frozen=True):
    """Who adds what."""

    node: WorkflowNode
    job: JobNode
    attempt_key: AttemptKey

    @property
    def attempt(self) -> tuple[int, int]:
        return self.job.run_id, self.job.attempt_id


class _New(msgspec.Struct, frozen=True):
    """What comes of it."""

    workflow: Workflow
    values: dict[DataKey, Value]
    additions: list[Addition]
    spec: SpecChange
    names: frozenset[str]
    """Of the jobs of the call."""


async def add_jobs(context: Context, parameters: m.AddJobs, call: Call) -> m.AddedJobs:
    if parameters.directory is not None:
        require_directory(parameters.directory)
    controller = context.controller
    if parameters.token is None:
        raise await _for_persons(context, parameters, call)
    _caller(context, parameters, call)
    # As with a submission: keys are counted from where the last one ended. And nobody else edits
    # the workflow meanwhile.
    async with controller.submitting:
        await controller.settled()
        if controller.shortage is not None:
            raise controller.shortage  # before the work of expanding it
        by = _caller(context, parameters, call)
        require_able_to_go_on(by.node)
        require_adding(by.job)
        kept = await controller.store.spec(by.node.key)
        if kept is None:
            raise errors.WrongState(
                f"workflow {by.node.key} was submitted to an earlier version of torcd, which did "
                "not keep its spec. Apply the spec (torcctl apply SPEC -k KEY), then jobs can be "
                "added",
                status=by.node.status.value,
            )
        unfolded = await unfolded_values(controller.store, by.node)
        new = await to_thread.run_sync(_expander(context, parameters, by, kept, unfolded))
        user = context.accounts.acts_as(by.node.workflow.owner)
        event = EditRequested(
            workflow_key=by.node.key,
            workflow=new.workflow,
            values_before=await controller.store.given_values(by.node.key),
            values=new.values,
            files=await to_thread.run_sync(absent_files, new.workflow, user),
            at=controller.now(),
            spec=new.spec,
            attempt_key=by.attempt_key,
        )
        changes = await to_thread.run_sync(_changes, by.node.workflow, event)
        await controller.request(event)
        return _answer(by, new, changes, _warnings(context, new))


async def _for_persons(context: Context, parameters: m.AddJobs, call: Call) -> errors.TorcError:
    """Raises UnknownWorkflow for what is not theirs to know of."""
    if parameters.workflow_key is not None:
        key = await context.workflow_key(parameters.workflow_key, call.peer)
        async with context.controller.workflow(key):
            pass
    return errors.Denied(
        "only a job adds jobs, while it runs, and shows its token; a person takes an edited spec "
        "into a workflow: torcctl apply SPEC -k KEY"
    )


def _caller(context: Context, parameters: m.AddJobs, call: Call) -> _Call:
    """Raises Denied for a token that is void, or another user's."""
    node, job, attempt_key = context.controller.attempt(parameters.token or "")
    # Jobs run as who submitted the workflow: not even admins say what they do.
    if not context.accounts.may_say_what_runs(call.peer, node.workflow.owner):
        raise errors.Denied("the token is that of a job of another user")
    if parameters.workflow_key not in (None, str(node.key)):
        raise errors.Denied(
            f"the token is that of a job of workflow {node.key}, and a job adds jobs to its own"
        )
    return _Call(node, job, attempt_key)


def _expander(
    context: Context,
    parameters: m.AddJobs,
    by: _Call,
    kept: KeptSpec,
    unfolded: dict[str, Value],
) -> Callable[[], _New]:
    """The long part: off the loop, so that others are served meanwhile."""
    before = by.node.workflow
    known = spec.Known(workflow=before, next_key=context.controller.scheduler.next_key)
    most = context.controller.settings.max_value_bytes
    adder, attempt = by.job.job.key, by.attempt

    def expand() -> _New:
        added = spec.decode(parameters.workflow)
        unrolled = adding.unroll(added, directory=parameters.directory)
        additions = adding.merged(kept.additions, adder, attempt, unrolled)
        workflow = spec.expand_with(
            spec.decode(kept.text),
            additions,
            directory=before.directory,
            known=known,
            by=(adder, attempt),
            call=unrolled,
            most=before.max_dynamic_jobs,
            values=unfolded,
        )
        return _New(
            workflow,
            given_values(workflow, most),
            additions,
            spec_change(kept, None, additions),
            frozenset(item.name or "" for section, _, item in unrolled.items if section == "jobs"),
        )

    return expand


def _changes(before: Workflow, event: EditRequested) -> Difference:
    given = {key: value.sha256 for key, value in event.values.items()}
    return difference(before, event.workflow, event.values_before, given)


def _warnings(context: Context, new: _New) -> list[str]:
    """Of what is new."""
    jobs = tuple(job for job in new.workflow.jobs if job.name in new.names)
    whole = msgspec.structs.replace(new.workflow, jobs=jobs)
    return asking.warnings(whole, context.controller.scheduler.capacity)


def _answer(by: _Call, new: _New, changes: Difference, warnings: list[str]) -> m.AddedJobs:
    added, changed = changes.of("job", "added"), changes.of("job", "changed")
    adder = by.job.job.key
    return m.AddedJobs(
        workflow_key=str(by.node.key),
        items=[
            m.AddedJob(
                key=str(job.key),
                name=job.name,
                change=(
                    "added"
                    if job.key in added
                    else "changed"
                    if job.key in changed
                    else "unchanged"
                ),
            )
            for job in new.workflow.jobs
            if job.name in new.names
        ],
        earlier=[
            one.name
            for one in new.additions
            if one.section == "jobs" and one.adder == adder and not one.is_of(adder, by.attempt)
        ],
        warnings=warnings,
    )
