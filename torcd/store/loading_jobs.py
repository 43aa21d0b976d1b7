"""How far the jobs of a workflow have come, and the commands of its actions."""

import sqlite3

import msgspec

from torcd.model import AttemptKey, Job, JobKey, JobStatus, Reason, Timestamp, WorkflowKey
from torcd.scheduler.building import AS_SUBMITTED
from torcd.scheduler.events import LoadedCommand, LoadedJob
from torcd.scheduler.job_states import EndedWell, Recovery, Trace

decode_job = msgspec.json.Decoder(Job).decode
_decode_gpus = msgspec.json.Decoder(tuple[int, ...]).decode
_STATUSES = {status.value: status for status in JobStatus}
_REASONS = {None: None} | {reason.value: reason for reason in Reason}


class Attempts(msgspec.Struct, frozen=True):
    """What the attempts of jobs in a run tell."""

    newest: dict[JobKey, int]
    """The number of a job's newest attempt that is not one of its recovery script."""
    active: dict[JobKey, tuple[AttemptKey, tuple[int, ...], int]]
    """Of a job's active attempt: its key, its GPUs, and how long it was frozen."""
    boot_ids: dict[AttemptKey, str]
    """Of the active ones: the boot of the machine that they are of."""


NO_ATTEMPTS = Attempts({}, {}, {})


def attempts(connection: sqlite3.Connection, key: WorkflowKey, run_id: int) -> Attempts:
    """They tell more of a job than its own row, which is not written when one starts."""
    found = Attempts({}, {}, {})
    for (
        attempt_key,
        job_key,
        attempt_id,
        ended,
        boot_id,
        gpus,
        frozen,
        is_recovery,
    ) in connection.execute(
        "SELECT a.key, job_key, attempt_id, ended_at, boot_id, gpus, frozen_microseconds,"
        " is_recovery"
        " FROM attempt a JOIN boot b ON b.key = a.boot_key"
        " WHERE workflow_key = ? AND run_id = ? AND job_key IS NOT NULL ORDER BY a.key",
        (key, run_id),
    ):
        if not is_recovery:
            found.newest[job_key] = attempt_id
        if ended is None:
            held = () if gpus is None else _decode_gpus(gpus)
            found.active[job_key] = attempt_key, held, frozen
            found.boot_ids[attempt_key] = boot_id
    return found


def jobs(
    connection: sqlite3.Connection,
    key: WorkflowKey,
    run_id: int,
    attempts: Attempts,
) -> tuple[tuple[Job, ...], tuple[LoadedJob, ...]]:
    """The jobs of a workflow, and how far each has come. `attempts`: those of this run."""
    newest, active = attempts.newest, attempts.active
    found = []
    states = []
    for (
        definition,
        word,
        stopping,
        reason,
        message,
        code,
        run,
        attempt_id,
        start,
        end,
        may_skip,
        retry_at,
        script,
        *trace,
    ) in connection.execute(
        "SELECT j.definition, s.status, s.stopping, s.reason, s.message, s.return_code,"
        " s.run_id, s.attempt_id, s.started_at, s.ended_at, s.may_skip,"
        " s.retry_at, s.recovery_script,"
        " s.trace_attempt, t.run_id, t.attempt_id, t.started_at, t.ended_at,"
        " s.trace_definition, s.trace_given, s.trace_made, s.trace_made_at"
        " FROM job j LEFT JOIN job_state s ON s.job_key = j.key"
        " LEFT JOIN attempt t ON t.key = s.trace_attempt"
        " WHERE j.workflow_key = ? AND j.removed_at IS NULL ORDER BY j.key",
        (key,),
    ):
        job = decode_job(definition)
        found.append(job)
        if word is None and job.key not in newest:
            states.append(AS_SUBMITTED)
            continue
        attempt_key, gpus, frozen = active.get(job.key, (None, (), 0))
        is_retry_under_way = retry_at is not None and newest.get(job.key) != attempt_id
        if job.key in newest:
            run, attempt_id = run_id, newest[job.key]
        states.append(
            LoadedJob(
                status=JobStatus.BLOCKED if word is None else _STATUSES[word],
                stopping=bool(stopping),
                reason=_REASONS[reason],
                message=message,
                return_code=code,
                attempt_id=attempt_id,
                attempt_key=attempt_key,
                started_at=start,
                ended_at=end,
                gpus=gpus,
                frozen_microseconds=frozen,
                run_id=run,
                trace=_trace(*trace),
                recovery=_recovery(retry_at, script, reason, message, code),
                is_retry_under_way=is_retry_under_way,
                may_skip=bool(may_skip),
            )
        )
    return tuple(found), tuple(states)


def _recovery(
    until: Timestamp | None,
    script: str | None,
    reason: str | None,
    message: str | None,
    return_code: int | None,
) -> Recovery | None:
    word = _REASONS[reason]
    if until is None or word is None:
        return None
    return Recovery(
        until=until, script=script, reason=word, message=message or "", return_code=return_code
    )


def _trace(
    attempt_key: AttemptKey | None,
    run_id: int,
    attempt_id: int,
    started_at: Timestamp,
    ended_at: Timestamp,
    definition: bytes,
    given: bytes | None,
    made: bytes | None,
    made_at: int,
) -> Trace | None:
    if attempt_key is None:
        return None
    return Trace(
        attempt_key=attempt_key,
        run_id=run_id,
        attempt_id=attempt_id,
        ended=EndedWell(started_at, ended_at),
        definition=int.from_bytes(definition, "big"),
        given=None if given is None else int.from_bytes(given, "big"),
        made=None if made is None else int.from_bytes(made, "big"),
        made_at=made_at,
    )


def action_commands(
    connection: sqlite3.Connection,
    key: WorkflowKey,
    run_id: int,
) -> tuple[tuple[LoadedCommand, ...], dict[AttemptKey, str]]:
    """The commands of actions that have begun in a run; and the boots of those at work, as in
    `Attempts`."""
    found = []
    boot_ids = {}
    for (
        attempt_key,
        action,
        command,
        word,
        reason,
        message,
        code,
        start,
        end,
        boot_id,
        frozen,
    ) in connection.execute(
        "SELECT a.key, action, attempt_id, status, reason, message, return_code, started_at,"
        " ended_at, boot_id, frozen_microseconds FROM attempt a JOIN boot b ON b.key = a.boot_key"
        " WHERE workflow_key = ? AND run_id = ? AND job_key IS NULL ORDER BY a.key",
        (key, run_id),
    ):
        found.append(
            LoadedCommand(
                attempt_key=attempt_key,
                action=action,
                command=command,
                status=_STATUSES[word],
                reason=_REASONS[reason],
                message=message,
                return_code=code,
                started_at=start,
                ended_at=end,
                frozen_microseconds=frozen,
            )
        )
        if end is None:
            boot_ids[attempt_key] = boot_id
    return tuple(found), boot_ids
