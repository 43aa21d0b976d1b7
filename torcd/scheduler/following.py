"""Jobs that are handed over before what they wait for has ended.

When each job waits for the one before it, there is nothing to hand over ahead, and between an end
and the next start would be a report, a commit and an order. So where jobs are short
(`choosing.lookahead`) and places are left, a job that waits for nothing but the end of another one
that has been chosen, its *leader*, is chosen as well: its attempt is written down, and the executor
is told to start it *after* the leader's, if that ends well. Others may come after it in turn.

What "well" means the executor must be able to see by itself. So a leader declares no outputs, which
would have to be looked at, and has read no files; it has exited with status 0, was not told to stop
and has left no TORC_OUTPUT. And a job comes after another only if that one's bad end would cancel
it, and if it has to run whatever its inputs turn out to be. If the leader ends otherwise, the
executor gives the attempt back, and it has never been: the job is blocked again, until the end of
the leader is told and spreads as ever.

Nobody who fetches user_data leads or follows: values are written down before the order is given, so
the order of a leader would come late, and what is stored while a follower waits would come too late
for it.

Nor does anybody follow who has regexes: a leader may add jobs for which it has to wait.

A leader may take longer than others did. So what waits for one takes no place: what is ready is
chosen as if it was not there. And the executor gives it back when it has waited for long.

What is given back though nobody knows why was chosen in vain, and the next would be as well: the
executor may be one that does not take such orders. So nobody follows for a number of attempts that
grows with what was in vain.

The end of the leader and the start of what follows are told in this order, so nobody sees a job run
before what it waits for has completed. (After a standstill, and only then, starts are told first.)

Who follows whom is seen by attempts' keys: while a job waits for another one that has an attempt,
it can only have got a later one by following it. So a new daemon knows it, too.
"""

from collections.abc import Iterator

from torcd.model import AttemptKey
from torcd.scheduler.job_states import Active, Blocked, Pending, Running
from torcd.scheduler.nodes import GateNode, JobNode
from torcd.scheduler.state import WorkflowNode

REST = 16
"""Attempts during which nobody follows, more each time. Not the first time: a warden that has died
has forgotten, too, after whom orders come."""

MAX_REST = 256
"""As many as can be in vain at once: in the end those are never more than half of all."""


def may_lead(node: WorkflowNode, job: JobNode) -> bool:
    """Whether those that wait for this one, which has just been chosen, may be chosen to come after
    it."""
    return (
        node.actions is None
        and not node.asking
        and not job.has_script_to_run
        and _makes_nothing(job)
        and not any(map(_is_read, job.awaits))
    )


def followers(node: WorkflowNode, room: int) -> Iterator[tuple[AttemptKey, JobNode]]:
    """So many that may be chosen now, and after which attempts. Those that are chosen may lead the
    next."""
    while node.leaders:
        leader = node.leaders.popleft()
        state = leader.state
        if not isinstance(state, Active) or state.stop is not None or leader.has_script_to_run:
            continue
        for gate in _last_gates(leader):
            for job in gate.consumers:
                if not _may_follow(job):
                    continue
                yield state.attempt_key, job
                room -= 1
                if not room:
                    return


def of(leader: JobNode, attempt_key: AttemptKey) -> Iterator[tuple[JobNode, Pending | Running]]:
    """Those that were chosen to come after this attempt of it, which is not known to be over."""
    for gate in _last_gates(leader):
        for job in gate.consumers:
            state = job.state
            if isinstance(state, Active) and job.waits and state.attempt_key > attempt_key:
                yield job, state


def seen_by(leader: JobNode, attempt_key: AttemptKey) -> int | None:
    """Its attempt has ended: from which attempt's key on it has been over for everybody who comes
    after it; None: none was chosen before its end."""
    first = None
    for _, state in of(leader, attempt_key):
        if first is None or state.attempt_key < first:
            first = state.attempt_key
    return first


def chosen_in_vain(node: WorkflowNode, next_attempt_key: int) -> None:
    """One was given back, and nobody knows why; once more."""
    node.in_vain += 1
    node.followed_from = next_attempt_key + min(REST * (node.in_vain - 1), MAX_REST)


def is_under_way(follower: JobNode, attempt_key: AttemptKey) -> bool:
    """Whether its attempt was to come after another one that is not known to be over."""
    return any(
        isinstance(maker.state, Active)
        and maker.state.attempt_key < attempt_key
        and _makes_nothing(maker)
        for gate in follower.awaits
        if gate.missing
        for one in gate.members or (gate,)
        if one.missing
        for maker in one.producers
    )


def _makes_nothing(job: JobNode) -> bool:
    return not (job.job.output_files or job.job.output_user_data)


def _last_gates(leader: JobNode) -> Iterator[GateNode]:
    """Those that its end would open, as long as it makes nothing."""
    for gate in leader.feeds:
        if gate.missing == 1 and gate.kind == "job":
            yield gate
            for group in gate.groups:
                if group.missing == 1:
                    yield group


def _may_follow(job: JobNode) -> bool:
    return (
        job.waits == 1
        and isinstance(job.state, Blocked)
        and job.recovery is None
        and not job.may_skip
        and job.job.cancel_on_blocking_job_failure
        and not job.job.has_regexes
        and "user_data" not in map(_kind, job.awaits)
    )


def _is_read(gate: GateNode) -> bool:
    """Whether who waits for it fetches it, or is looked at for what it read there when it has ended
    (see `torcd.controller.sightings`)."""
    for one in gate.members or (gate,):
        if one.kind != "job":
            return True
        if one.missing or one.made:
            continue
        if any(maker.job.output_files for maker in one.producers):
            return True
    return False


def _kind(gate: GateNode) -> str:
    """Of a group, that of its members: they are of one kind."""
    return gate.members[0].kind if gate.members else gate.kind
