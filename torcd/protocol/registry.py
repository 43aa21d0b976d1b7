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
    safe_to_repeat: bool = False
    """Carrying it out twice does no harm: a client may send it again when no answer came."""

    @property
    def name(self) -> str:
        return self.parameters.__name__


def _safe(
    parameters: type[msgspec.Struct], reply: type[msgspec.Struct], *, streams: bool = False
) -> Method:
    return Method(parameters, reply, streams=streams, safe_to_repeat=True)


class Interface(msgspec.Struct, frozen=True):
    name: str
    description: str
    methods: tuple[Method, ...]


SERVICE = Interface(
    s.NAME,
    "What every Varlink service answers.",
    (_safe(s.GetInfo, s.Info), _safe(s.GetInterfaceDescription, s.Description)),
)

USER_DATA = Interface(
    u.NAME,
    "Named JSON values, passed between jobs.",
    (
        _safe(u.Store, u.RecordReply),
        _safe(u.Fetch, u.RecordReply),
        _safe(u.List, u.RecordsReply),
        _safe(u.History, u.RecordsReply),
        _safe(u.Watch, u.RecordReply, streams=True),
    ),
)

MANAGER = Interface(
    m.NAME,
    "Workflows, jobs, results, files, events and the daemon itself.",
    (
        _safe(m.GetStatus, m.DaemonStatus),
        Method(m.Reload, m.Reloaded),
        Method(m.Stop, m.Nothing),
        Method(m.Submit, m.Submitted),
        _safe(m.ListWorkflows, m.WorkflowsReply),
        _safe(m.GetWorkflow, m.WorkflowReply),
        _safe(m.FollowWorkflow, m.WorkflowReply, streams=True),
        Method(m.Cancel, m.Changed),
        Method(m.Pause, m.WorkflowReply),
        Method(m.Resume, m.WorkflowReply),
        Method(m.Restart, m.Restarted),
        Method(m.Retry, m.Changed),
        Method(m.Apply, m.Applied),
        _safe(m.AddJobs, m.AddedJobs),
        Method(m.Disable, m.Changed),
        Method(m.Enable, m.Changed),
        Method(m.Archive, m.WorkflowReply),
        Method(m.Unarchive, m.WorkflowReply),
        Method(m.Delete, m.Deleted),
        _safe(m.ListJobs, m.JobsReply),
        _safe(m.Explain, m.Explanation),
        _safe(m.ListResults, m.ResultsReply),
        _safe(m.ListActions, m.ActionsReply),
        _safe(m.ListFiles, m.FilesReply),
        _safe(m.ListJoins, m.JoinsReply),
        _safe(m.Join, m.JoinReply),
        _safe(m.ListEvents, m.EventsReply),
        _safe(m.FollowEvents, m.EventReply, streams=True),
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
