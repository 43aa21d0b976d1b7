"""A workflow built anew from another spec, and from what had become of it: pure."""

from collections.abc import Iterator

import msgspec

from torcd.model import AttemptKey, Capacity, DataKey, FileKey
from torcd.scheduler.actions import ActionNode, Actions
from torcd.scheduler.building import AS_SUBMITTED, as_loaded, build
from torcd.scheduler.comparing import Difference
from torcd.scheduler.events import EditRequested, LoadedCommand, LoadedValue, RestartRequested
from torcd.scheduler.job_states import Ended, Pending, Running
from torcd.scheduler.state import WorkflowNode


def built_anew(
    node: WorkflowNode,
    event: EditRequested,
    changes: Difference,
    capacity: Capacity,
    next_attempt_key: int,
) -> WorkflowNode:
    was = as_loaded(node, event.at)
    saved = dict(zip(node.jobs, was.jobs, strict=True))
    jobs = {job.key: saved.get(job.key, AS_SUBMITTED) for job in event.workflow.jobs}
    stored = set(given(event, changes))
    values: dict[DataKey, LoadedValue] = {}
    for data in event.workflow.user_data:
        key, value = data.key, was.values.get(data.key)
        if key in stored:
            value = _stored(value, event.values[key].sha256, next_attempt_key)
        if value is not None:
            has_initial = data.is_ephemeral and key in event.values
            initial = event.values[key].sha256 if has_initial else None
            values[key] = msgspec.structs.replace(value, initial_sha256=initial)
    moved = changes.of("file", "changed")
    files = {file.key for file in event.workflow.files if file.key not in moved}
    anew = build(
        msgspec.structs.replace(
            was,
            workflow=event.workflow,
            jobs=tuple(jobs.values()),
            action_commands=() if node.actions is None else tuple(_begun(node.actions)),
            values=values,
            file_states={key: one for key, one in was.file_states.items() if key in files},
            stored_in_run={key: one for key, one in was.stored_in_run.items() if key in values},
            absent_files=absent_of(event),
        ),
        capacity,
    )
    anew.mean_microseconds = node.mean_microseconds
    for job_key, job in anew.jobs.items():
        before = node.jobs.get(job_key)
        if before is not None and isinstance(before.state, Pending):
            assert isinstance(job.state, Pending)
            job.state = msgspec.structs.replace(job.state, stop=before.state.stop)
        elif before is not None and isinstance(before.state, Running):
            # Built, it is pending: of what is loaded, nobody knows whether it runs.
            anew.counts[job.state.status] -= 1
            anew.counts[before.state.status] += 1
            anew.following -= job.state.follows
            job.state = before.state
    if anew.actions is not None and node.actions is not None:
        for new, old in zip(anew.actions.nodes, node.actions.nodes, strict=False):
            if old.has_begun:
                new.state = old.state
    return anew


def _stored(value: LoadedValue | None, sha256: str, next_attempt_key: int) -> LoadedValue:
    """The value that the spec gives now is the newest."""
    if value is None:
        return LoadedValue(revision=1, sha256=sha256, changed_at=0)
    is_other = value.sha256 != sha256
    return LoadedValue(
        revision=value.revision + 1,
        sha256=sha256,
        changed_at=next_attempt_key if is_other else value.changed_at,
    )


def _begun(actions: Actions) -> Iterator[LoadedCommand]:
    for action in actions.nodes:
        if action.has_begun:
            yield _command(action)


def _command(action: ActionNode) -> LoadedCommand:
    state = action.state
    key, stop, ended = AttemptKey(0), None, None
    if isinstance(state, Pending | Running):
        key, stop = state.attempt_key, state.stop
    elif isinstance(state, Ended):
        ended = state
    return LoadedCommand(
        attempt_key=key,
        action=action.number,
        command=action.command,
        status=state.status,
        reason=stop.reason if stop else ended.reason if ended else None,
        message=stop.message if stop else ended.message if ended else None,
        return_code=ended.return_code if ended else None,
        started_at=ended.started_at if ended else None,
        ended_at=ended.ended_at if ended else None,
        frozen_microseconds=action.frozen_microseconds,
    )


def given(event: EditRequested, changes: Difference) -> list[DataKey]:
    """The user_data that the new spec gives another value."""
    new = changes.of("user_data", "added")
    changed = {k for k, c in changes.of("user_data", "changed").items() if "data" in c.fields}
    return [key for key in event.values if key in new or key in changed]


def absent_of(event: EditRequested | RestartRequested) -> frozenset[FileKey]:
    """Files that were looked for, and are not there."""
    return frozenset(key for key, state in event.files.items() if state is None)
