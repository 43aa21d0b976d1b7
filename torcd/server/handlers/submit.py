"""A spec becomes a workflow."""

import fnmatch
import os

import msgspec
from anyio import to_thread

from torcd import errors, heap, spec
from torcd.controller.parsing import parse
from torcd.controller.presence import seen_inputs
from torcd.model import DataKey, Workflow
from torcd.protocol import manager as m
from torcd.scheduler.events import SubmitRequested
from torcd.server import asking
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.value import Value

MAX_PARALLEL_JOBS = 100_000
"""Beyond any machine; a bound against a slip of the finger."""


MANY_JOBS = 10_000
"""What it took to read more of them is some MiB, and giving it back is nothing beside it."""


async def submit(context: Context, parameters: m.Submit, call: Call) -> m.Submitted:
    limit = parameters.max_parallel_jobs
    if limit is None:
        limit = context.default_parallel_jobs()
    if not 1 <= limit <= MAX_PARALLEL_JOBS:
        raise errors.InvalidParameter(
            f"{limit} jobs at once cannot be: give a number from 1 to {MAX_PARALLEL_JOBS}",
            parameter="max_parallel_jobs",
        )
    require_directory(parameters.directory)
    shortage = context.controller.shortage
    if shortage is not None:
        raise shortage  # before the work of expanding it
    # One at a time, because the keys are counted from where the last one ended.
    async with context.controller.submitting:
        # Who was cut off while he submitted has left a request behind that takes keys too, or gives
        # them back, if there was no room for it.
        await context.controller.settled()
        first_key = context.controller.scheduler.next_key
        workflow, values, doubts = await to_thread.run_sync(
            _expand, parameters, first_key, context.controller.settings.max_value_bytes
        )
        owner = context.accounts.owner(call.peer.uid)
        workflow = msgspec.structs.replace(workflow, owner=owner)
        user = context.accounts.acts_as(owner)
        seen = await to_thread.run_sync(seen_inputs, workflow, user)
        context.controller.run_begins(workflow.key, seen)
        context.controller.keep_environment(workflow.key, _inherited(context, parameters))
        await context.controller.request(
            SubmitRequested(
                workflow=workflow,
                max_parallel_jobs=limit,
                initial_values=values,
                absent_files=frozenset(key for key, one in seen.items() if one is None),
                wait_for_inputs=bool(parameters.wait_for_inputs),
                at=context.controller.now(),
                spec=bytes(parameters.workflow),
            )
        )
    if len(workflow.jobs) > MANY_JOBS:
        await to_thread.run_sync(heap.trim)
    return m.Submitted(
        key=str(workflow.key),
        name=workflow.name,
        jobs=sum(not job.is_unfolded for job in workflow.jobs),
        warnings=asking.warnings(workflow, context.controller.scheduler.capacity),
        doubts=doubts,
    )


def require_directory(directory: str) -> None:
    """Raises InvalidParameter for one that relative paths cannot be taken from."""
    if not os.path.isabs(directory):
        raise errors.InvalidParameter("the directory must be absolute", parameter="directory")
    if "\0" in directory:
        raise errors.InvalidParameter("the directory has a NUL in it", parameter="directory")


def _expand(
    parameters: m.Submit, first_key: int, max_value_bytes: int
) -> tuple[Workflow, dict[DataKey, Value], int]:
    """The long part: off the loop, so that others are served meanwhile. Besides, how many warnings
    there are about the spec."""
    workflow, doubts = spec.expand_doubting(
        spec.decode(parameters.workflow),
        directory=parameters.directory,
        default_name=parameters.default_name or "workflow",
        first_key=first_key,
    )
    if parameters.user is not None and workflow.user is None:
        workflow = msgspec.structs.replace(workflow, user=parameters.user)
    values = {
        data.key: parse(bytes(data.data), name=data.name, max_bytes=max_value_bytes)
        for data in workflow.user_data
        if data.data is not None
    }
    return workflow, values, doubts


def _inherited(context: Context, parameters: m.Submit) -> dict[str, str]:
    """The variables that jobs inherit: those of the submitter, minus the denied ones."""
    patterns = context.denied_variables()
    return {
        name: text
        for name, text in (parameters.environment or {}).items()
        if name
        and "=" not in name
        and "\0" not in name + text
        and not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
