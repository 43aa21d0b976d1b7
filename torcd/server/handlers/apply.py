"""Another spec for a workflow there is."""

from collections.abc import Callable
from functools import partial

import msgspec
from anyio import to_thread

from torcd import errors, spec
from torcd.controller.looking import States
from torcd.controller.parsing import given_values
from torcd.controller.presence import absent_files
from torcd.controller.unfolding import unfolded_values
from torcd.model import (
    DataKey,
    FileState,
    KeptSpec,
    SpecChange,
    Workflow,
    spec_change,
)
from torcd.protocol import manager as m
from torcd.scheduler.editing import Edit
from torcd.scheduler.events import EditRequested
from torcd.scheduler.retrying import require_able_to_go_on
from torcd.scheduler.state import WorkflowNode
from torcd.server import asking
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.server.going_on import has_ended_since
from torcd.server.handlers.submit import require_directory
from torcd.server.telling import progress_of, telling
from torcd.spec import adding
from torcd.value import Value
from torcd.value import parse as parse_value

Seen = dict[str, FileState | None]
"""What is in files, by path; None: there is none."""


async def apply(context: Context, parameters: m.Apply, call: Call) -> m.Applied:
    require_directory(parameters.directory)
    controller = context.controller
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    if controller.shortage is not None and not parameters.dry_run:
        raise controller.shortage  # before the work of expanding it
    async with controller.workflow(key) as node:
        _require_owner(context, node, call)
        await controller.settled()
        require_able_to_go_on(node)
        seen: Seen | None = None
        ended_at: int | None = None
        while True:
            # As with a submission: keys are counted from where the last one ended. And nobody else
            # edits the workflow meanwhile.
            async with controller.submitting:
                await controller.settled()
                kept = await controller.store.spec(key)
                given = await controller.store.given_values(key)
                unfolded = await unfolded_values(controller.store, node)
                new = await to_thread.run_sync(
                    _expander(context, parameters, node, kept, given, unfolded)
                )
                if not node.is_over:
                    seen = ended_at = None
                if seen is not None or not node.is_over:
                    done = await _carry_out(context, parameters, node, new, seen, ended_at)
                    if done is not None:
                        return done
            # Files may be large, and others want to submit.
            ended_at = node.ended_at
            seen = await _look(context, node, new.workflow, call) if node.is_over else None


def _require_owner(context: Context, node: WorkflowNode, call: Call) -> None:
    """Jobs run as who submitted the workflow. Raises Denied."""
    owner = node.workflow.owner
    if not context.accounts.may_say_what_runs(call.peer, owner):
        name = owner.name if owner is not None else "root"
        raise errors.Denied(
            f"workflow {node.key} is {name}'s, and its jobs run as {name}: only {name} and root "
            "say what they do"
        )


class _New(msgspec.Struct, frozen=True):
    """What an edited spec comes to, with what jobs have added."""

    workflow: Workflow
    values: dict[DataKey, Value]
    spec: SpecChange


def _expander(
    context: Context,
    parameters: m.Apply,
    node: WorkflowNode,
    kept: KeptSpec | None,
    given: dict[DataKey, str],
    unfolded: dict[str, Value],
) -> Callable[[], _New]:
    """The long part: off the loop, so that others are served meanwhile."""
    known = spec.Known(workflow=node.workflow, next_key=context.controller.scheduler.next_key)
    most = context.controller.settings.max_value_bytes

    def expand() -> _New:
        decoded = spec.decode(parameters.workflow)
        additions = () if kept is None else kept.additions
        if additions:
            additions = adding.that_stay(decoded, additions, known.workflow)
        expanded = partial(
            spec.expand_with, decoded, additions, directory=parameters.directory, known=known
        )
        workflow = expanded()
        as_it_is = _as_it_is(workflow, given, unfolded)
        if as_it_is:
            workflow = expanded(values=as_it_is)
        return _New(
            workflow,
            given_values(workflow, most),
            spec_change(kept, bytes(parameters.workflow), additions),
        )

    return expand


def _as_it_is(
    workflow: Workflow, given: dict[DataKey, str], unfolded: dict[str, Value]
) -> dict[str, Value]:
    """Of the values that there are jobs for the elements of: those to which the spec gives no other
    one. What has become of them since is for a restart to see."""
    found = {}
    for data in workflow.user_data:
        value = unfolded.get(data.name)
        if value is None:
            continue
        new = None if data.data is None else parse_value(bytes(data.data), name=data.name).sha256
        if new is None or new == given.get(data.key):
            found[data.name] = value
    return found


async def _look(context: Context, node: WorkflowNode, workflow: Workflow, call: Call) -> Seen:
    """What is in the files of a workflow that is over, as the new spec has them."""
    paths = {file.key: file.path for file in node.workflow.files}
    known = {
        file.key: state
        for file in workflow.files
        if (state := node.file_states.get(file.key)) is not None and paths[file.key] == file.path
    }
    gatherer = context.controller.gatherer
    user = context.accounts.acts_as(node.workflow.owner)
    if call.more:
        async with telling(call, lambda progress: _progress(node, progress_of(progress))) as tell:
            states = await gatherer.states_of(workflow, known, user, tell)
    else:
        states = await gatherer.states_of(workflow, known, user)
    return {file.path: states[file.key] for file in workflow.files if file.key in states}


async def _carry_out(
    context: Context,
    parameters: m.Apply,
    node: WorkflowNode,
    new: _New,
    seen: Seen | None,
    ended_at: int | None,
) -> m.Applied | None:
    """`seen` was seen when it had ended then, or it is not over. None: it has ended since, and its
    jobs may have written its files."""
    controller, workflow = context.controller, new.workflow
    files: States
    if seen is None:
        files = await to_thread.run_sync(
            absent_files, workflow, context.accounts.acts_as(node.workflow.owner)
        )
    else:
        files = {file.key: seen[file.path] for file in workflow.files if file.path in seen}
    event = EditRequested(
        workflow_key=node.key,
        workflow=workflow,
        values_before=await controller.store.given_values(node.key),
        values=new.values,
        files=files,
        at=controller.now(),
        spec=new.spec,
    )
    await controller.settled()
    warnings = asking.warnings(workflow, controller.scheduler.capacity)

    def look() -> tuple[Edit, m.Applied]:
        edit = controller.scheduler.outlook(event)
        return edit, _told(node, edit, warnings)

    # What happens to one that is not over does not wait.
    edit, told = await controller.ahead(node, look) if node.is_over else look()
    if has_ended_since(node, ended_at):
        return None
    if parameters.dry_run or not (edit.difference or event.spec):
        return told
    if not edit.difference:  # what is to be kept of the spec is another text
        await controller.request(event)
        return told
    async with controller.revived(node):
        await controller.request(msgspec.structs.replace(event, prepared=edit))
    return msgspec.structs.replace(told, applied=True)


def _told(node: WorkflowNode, edit: Edit, warnings: list[str]) -> m.Applied:
    """Of an edit that has not been carried out."""
    before, after = node.jobs, edit.node.jobs
    gates = {key for key, job in after.items() if job.job.is_unfolded}
    return m.Applied(
        workflow_key=str(node.key),
        applied=False,
        restarted=edit.runs,
        run_id=node.run_id + 1 if edit.runs else node.run_id,
        changes=[
            m.Change(kind=one.kind, name=one.name, change=one.how, fields=list(one.fields))
            for one in edit.difference.changes
            if one.kind != "job" or one.key not in gates
        ],
        items=[
            m.EditedJob(
                key=str(key),
                name=after[key].job.name,
                status=before[key].state.status if key in before else None,
                outlook=verdict.outlook,
                reason=verdict.reason,
            )
            for key, verdict in edit.verdicts.items()
            if key not in gates
        ],
        warnings=warnings,
    )


def _progress(node: WorkflowNode, progress: m.ReadingFiles) -> m.Applied:
    return m.Applied(
        workflow_key=str(node.key),
        applied=False,
        restarted=False,
        run_id=node.run_id,
        changes=[],
        items=[],
        progress=progress,
    )
