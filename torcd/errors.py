"""The error tree. Each class has a stable code, which is its name on the wire.

An error is named for its situation, says in `message` what is wrong and what to do about it, and
carries its facts, which become the fields of the wire error. It is raised close to the cause and
translated once, at the border: into a Varlink error by the server, into a line on standard error
and an exit code by torcctl. Anything that is not a `TorcError` is a bug.
"""

from typing import ClassVar

Fact = str | int | float | bool | list[str] | list[dict[str, str | int]]
"""What a fact may be: something JSON can carry as it is."""


class TorcError(Exception):
    """Anything torcd says no with, on purpose."""

    code: ClassVar[str] = "io.torcd.Manager.Internal"

    def __init__(self, message: str, **facts: Fact) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __str__(self) -> str:
        return self.message


class UserError(TorcError):
    """The one who asked can mend it; the message says how."""


class ProtocolError(TorcError):
    """The peer broke the contract of the wire."""


class ExecutorError(TorcError):
    """The world in which jobs run failed."""


class StoreError(TorcError):
    """The database failed. Facts: path, problem."""

    code = "io.torcd.Manager.StoreFailed"


# io.torcd.UserData


class LostValue(StoreError):
    """The file that a large value is kept in is gone, or cannot be read; the value may be stored
    again. Facts: path, problem."""

    code = "io.torcd.UserData.LostValue"


class NotDeclared(UserError):
    """A job named a value that it did not declare. Facts: name."""

    code = "io.torcd.UserData.NotDeclared"


class NotFound(UserError):
    """No user_data of that name or key (or no such revision). Facts: name."""

    code = "io.torcd.UserData.NotFound"


class NoValue(UserError):
    """The user_data is there and has no value yet. Facts: name."""

    code = "io.torcd.UserData.NoValue"


class InvalidValue(UserError):
    """Not strict JSON, too deep, or not what its schema asks for. Facts: name, problem."""

    code = "io.torcd.UserData.InvalidValue"


class TooLarge(UserError):
    """Larger than a value may be. Facts: name, size_bytes, limit_bytes."""

    code = "io.torcd.UserData.TooLarge"


class Denied(UserError):
    """Not allowed: an unknown or void token, or somebody else's workflow."""

    code = "io.torcd.UserData.Denied"


# io.torcd.Manager


class InvalidSpec(UserError):
    """The spec has problems; nothing was created. Facts: problems (a list of items), more
    (how many there are besides)."""

    code = "io.torcd.Manager.InvalidSpec"


class MissingInputs(UserError):
    """Required files or values that nobody makes and that are not there. Facts: names."""

    code = "io.torcd.Manager.MissingInputs"


class UnknownWorkflow(UserError):
    """No workflow of that key. Facts: workflow_key."""

    code = "io.torcd.Manager.UnknownWorkflow"


class UnknownJob(UserError):
    """No job of that name, key or pattern in the workflow. Facts: job."""

    code = "io.torcd.Manager.UnknownJob"


class UnknownRun(UserError):
    """The workflow has not had that many runs. Facts: run_id, newest."""

    code = "io.torcd.Manager.UnknownRun"


class UnknownCollection(UserError):
    """No join of that name. Facts: name, known."""

    code = "io.torcd.Manager.UnknownCollection"


class WrongState(UserError):
    """The workflow or job is not in a state in which that can be done. Facts: status."""

    code = "io.torcd.Manager.WrongState"


class TimedOut(UserError):
    """What was waited for did not come in time. Facts: timeout_seconds."""

    code = "io.torcd.Manager.TimedOut"


class Lagged(UserError):
    """The reader was too slow and was cut off. Facts: next, where to go on from."""

    code = "io.torcd.Manager.Lagged"


class NoSpace(UserError):
    """A disk is full: there is no room to write down what was asked for, so it was not done. It may
    be asked again when there is room. Facts: path, mount_point, free_bytes."""

    code = "io.torcd.Manager.NoSpace"


class ShuttingDown(UserError):
    """The daemon is on its way out; ask the next one."""

    code = "io.torcd.Manager.ShuttingDown"


# org.varlink.service


class InvalidParameter(ProtocolError):
    """A parameter is missing, unknown or of the wrong type. Facts: parameter."""

    code = "org.varlink.service.InvalidParameter"


class InterfaceNotFound(ProtocolError):
    """No interface of that name. Facts: interface."""

    code = "org.varlink.service.InterfaceNotFound"


class MethodNotFound(ProtocolError):
    """No method of that name in the interface. Facts: method."""

    code = "org.varlink.service.MethodNotFound"


class ExpectedMore(ProtocolError):
    """The method streams: call it with `more`."""

    code = "org.varlink.service.ExpectedMore"


# On the client's side only: these never cross the wire.


class NoDaemon(TorcError):
    """Nobody answers on the socket. Facts: socket."""

    code = "NoDaemon"


class NotInAJob(TorcError):
    """`current_job()` was called outside a job."""

    code = "NotInAJob"


class UnusableFunction(UserError):
    """A job could not call this Python function. Facts: function."""

    code = "UnusableFunction"


class ConfigError(UserError):
    """The configuration file is wrong. Facts: file, key."""

    code = "io.torcd.Manager.ConfigError"


class InvalidMessage(ProtocolError):
    """What arrived is no message of the protocol; the connection is closed."""

    code = "InvalidMessage"


def by_code(code: str) -> type[TorcError]:
    """The class of a wire error; `TorcError` for a name this version does not know."""
    return _BY_CODE.get(code, TorcError)


def all_classes() -> list[type[TorcError]]:
    """Every class that has a code of its own, parents first."""
    found: list[type[TorcError]] = [TorcError]
    for cls in found:
        found.extend(cls.__subclasses__())
    return [cls for cls in found if "code" in cls.__dict__]


_BY_CODE = {cls.code: cls for cls in all_classes()}
