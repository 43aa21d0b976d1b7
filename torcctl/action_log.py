"""The log of a command of an action, in the newest run."""

from torcctl.follow import changes
from torcctl.invocation import Invocation
from torcctl.logfile import Log, NoLog, Stream
from torcd.errors import UserError
from torcd.model import ENDED, JobStatus, Reason
from torcd.protocol import manager as m


class UnknownAction(UserError):
    """There is no action, or no command of it, of that number. Facts: action."""

    code = "UnknownAction"


def find(
    invocation: Invocation, action: int, number: int | None, stream: Stream, *, waits: bool
) -> Log:
    """Of that command, or the newest one that has begun; with `waits`, as soon as there is one.
    Raises UnknownAction, and NoLog where there is none."""
    info = _action(invocation, invocation.workflow_key, action)
    if number is not None and number > len(info.commands):
        have = _count(len(info.commands), "command")
        raise UnknownAction(f"action {action} has {have}, and no number {number}", action=action)
    command = _begun(info, number)
    if command is None and waits and info.status not in ENDED:
        invocation.say(f"{_named(action, number)} has not begun; waiting")
        invocation.be_patient()
        for workflow in changes(invocation, invocation.workflow_key):
            info = _action(invocation, workflow.key, action)
            command = _begun(info, number)
            if command is not None or _can_no_longer_begin(info, number):
                break
    if command is None:
        raise _nothing(info, number)
    if command.reason is Reason.START_FAILED:
        named = _named(action, command.number)
        raise NoLog(f"{named} did not start: {command.message}", action=action)
    path = command.stderr if stream == "stderr" else command.stdout
    assert path is not None
    begun = command.number

    def until_ended() -> None:
        invocation.be_patient()
        for workflow in changes(invocation, invocation.workflow_key):
            now = _action(invocation, workflow.key, action)
            if now.run_id != info.run_id or now.commands[begun - 1].status in ENDED:
                return

    return Log(
        path=path,
        stream=stream,
        run_id=info.run_id,
        has_ended=command.status in ENDED,
        until_ended=until_ended,
        action=action,
        command=begun,
    )


def _action(invocation: Invocation, key: str | None, number: int) -> m.ActionInfo:
    actions = invocation.call(m.ListActions(workflow_key=key)).items
    if number > len(actions):
        have = _count(len(actions), "action")
        raise UnknownAction(
            f"the workflow has {have}, and no number {number}; 'torcctl actions' lists them",
            action=number,
        )
    return actions[number - 1]


def _begun(action: m.ActionInfo, number: int | None) -> m.ActionCommand | None:
    """That command, or the newest one, if it has begun: those are the ones with a log."""
    begun = [
        command
        for command in action.commands
        if number in (None, command.number) and command.stdout is not None
    ]
    return begun[-1] if begun else None


def _can_no_longer_begin(action: m.ActionInfo, number: int | None) -> bool:
    status = action.status if number is None else action.commands[number - 1].status
    return status in ENDED


def _nothing(action: m.ActionInfo, number: int | None) -> NoLog:
    named = _named(action.number, number)
    if not _can_no_longer_begin(action, number):
        return NoLog(f"{named} has not begun; -f waits for it", action=action.number)
    failed = [c.number for c in action.commands if c.status is JobStatus.FAILED]
    why = f", because command {failed[0]} failed" if failed and number is not None else ""
    return NoLog(f"{named} never ran{why}", action=action.number)


def _named(action: int, number: int | None) -> str:
    return f"action {action}" if number is None else f"command {number} of action {action}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
