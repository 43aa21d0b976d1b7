"""Every interface with its methods and errors: what the server dispatches on, what the interface
descriptions are generated from, and where the client finds a method's name."""

import msgspec

from torcd import errors
from torcd.protocol import manager as m
from torcd.protocol import service as s
from torcd.protocol import user_data as u


class Method(msgspec.Struct, frozen=True):
    """`parameters` has the method's name and, as its docstring, its description."""

    parameters: type[msgspec.Struct]
    reply: type[msgspec.Struct]
    streams: bool = False
    """It answers more than once, and needs `more`."""

    @property
    def name(self) -> str:
        return self.parameters.__name__


class Interface(msgspec.Struct, frozen=True):
    name: str
    description: str
    methods: tuple[Method, ...]


SERVICE = Interface(
    s.NAME,
    "What every Varlink service answers.",
    (Method(s.GetInfo, s.Info), Method(s.GetInterfaceDescription, s.Description)),
)

USER_DATA = Interface(
    u.NAME,
    "Named JSON values, passed between jobs.",
    (
        Method(u.Store, u.RecordReply),
        Method(u.Fetch, u.RecordReply),
        Method(u.List, u.RecordsReply),
        Method(u.History, u.RecordsReply),
        Method(u.Watch, u.RecordReply, streams=True),
    ),
)

MANAGER = Interface(
    m.NAME,
    "Workflows, jobs, results, files, events and the daemon itself.",
    (
        Method(m.GetStatus, m.DaemonStatus),
        Method(m.Stop, m.Nothing),
        Method(m.Submit, m.Submitted),
        Method(m.ListWorkflows, m.WorkflowsReply),
        Method(m.GetWorkflow, m.WorkflowReply),
        Method(m.FollowWorkflow, m.WorkflowReply, streams=True),
        Method(m.Cancel, m.Changed),
        Method(m.Pause, m.WorkflowReply),
        Method(m.Resume, m.WorkflowReply),
        Method(m.Disable, m.Changed),
        Method(m.Enable, m.Changed),
        Method(m.ListJobs, m.JobsReply),
        Method(m.Explain, m.Explanation),
        Method(m.ListResults, m.ResultsReply),
        Method(m.ListFiles, m.FilesReply),
        Method(m.ListJoins, m.JoinsReply),
        Method(m.Join, m.JoinReply),
        Method(m.ListEvents, m.EventsReply),
        Method(m.FollowEvents, m.EventReply, streams=True),
    ),
)

INTERFACES = (SERVICE, USER_DATA, MANAGER)


def full_name(parameters: type[msgspec.Struct]) -> str:
    """`io.torcd.UserData.Store` for the struct of its parameters."""
    return _FULL_NAMES[parameters]


def method(parameters: type[msgspec.Struct]) -> Method:
    return _METHODS[parameters]


def errors_of(interface: Interface) -> list[type[errors.TorcError]]:
    """The errors whose codes are names of that interface, in alphabetical order."""
    found = {cls for cls in errors.all_classes() if cls.code.rpartition(".")[0] == interface.name}
    return sorted({cls.code: cls for cls in found}.values(), key=lambda cls: cls.code)


_METHODS = {method.parameters: method for i in INTERFACES for method in i.methods}
_FULL_NAMES = {
    method.parameters: f"{i.name}.{method.name}" for i in INTERFACES for method in i.methods
}
