"""The interface io.torcd.Manager: workflows, jobs, results, files, events and the daemon itself.

`workflow_key` absent means the newest workflow. A job is named by its name, its key, or a pattern
(`*`, `?`, `[…]`), tried in this order.
"""

from torcd.protocol.manager.actions import (
    ActionCommand,
    ActionInfo,
    ActionsReply,
    ListActions,
)
from torcd.protocol.manager.daemon import (
    DaemonStatus,
    GetStatus,
    Nothing,
    Stop,
)
from torcd.protocol.manager.events import (
    Event,
    EventReply,
    EventsReply,
    FollowEvents,
    ListEvents,
)
from torcd.protocol.manager.jobs import (
    Explain,
    Explanation,
    FileInfo,
    FilesReply,
    JobInfo,
    JobsReply,
    ListFiles,
    ListJobs,
    ListResults,
    Result,
    ResultsReply,
)
from torcd.protocol.manager.joins import (
    Join,
    Joined,
    JoinInfo,
    JoinNode,
    JoinReply,
    JoinsReply,
    ListJoins,
)
from torcd.protocol.manager.workflows import (
    Cancel,
    Changed,
    Disable,
    Enable,
    FollowWorkflow,
    GetWorkflow,
    ListWorkflows,
    Pause,
    Resume,
    Submit,
    Submitted,
    WorkflowInfo,
    WorkflowReply,
    WorkflowsReply,
)

NAME = "io.torcd.Manager"

__all__ = [
    "NAME",
    "ActionCommand",
    "ActionInfo",
    "ActionsReply",
    "Cancel",
    "Changed",
    "DaemonStatus",
    "Disable",
    "Enable",
    "Event",
    "EventReply",
    "EventsReply",
    "Explain",
    "Explanation",
    "FileInfo",
    "FilesReply",
    "FollowEvents",
    "FollowWorkflow",
    "GetStatus",
    "GetWorkflow",
    "JobInfo",
    "JobsReply",
    "Join",
    "JoinInfo",
    "JoinNode",
    "JoinReply",
    "Joined",
    "JoinsReply",
    "ListActions",
    "ListEvents",
    "ListFiles",
    "ListJobs",
    "ListJoins",
    "ListResults",
    "ListWorkflows",
    "Nothing",
    "Pause",
    "Result",
    "ResultsReply",
    "Resume",
    "Stop",
    "Submit",
    "Submitted",
    "WorkflowInfo",
    "WorkflowReply",
    "WorkflowsReply",
]
