"""One function for each method of the wire; the table says which."""

from collections.abc import Awaitable, Callable

import msgspec

from torcd.protocol import manager as m
from torcd.protocol import service as s
from torcd.protocol import user_data as u
from torcd.server.handlers import (
    actions,
    add_jobs,
    apply,
    archive,
    cancel,
    collections,
    daemon,
    data,
    delete,
    disable,
    enable,
    events,
    explain,
    files,
    jobs,
    pause,
    restart,
    results,
    resume,
    retry,
    service,
    submit,
    workflows,
)

HANDLERS: dict[type[msgspec.Struct], Callable[..., Awaitable[msgspec.Struct]]] = {
    s.GetInfo: service.get_info,
    s.GetInterfaceDescription: service.get_interface_description,
    u.Store: data.store,
    u.Fetch: data.fetch,
    u.List: data.list_records,
    u.History: data.history,
    u.Watch: data.watch,
    m.GetStatus: daemon.get_status,
    m.Reload: daemon.reload,
    m.Stop: daemon.stop,
    m.Submit: submit.submit,
    m.ListWorkflows: workflows.list_workflows,
    m.GetWorkflow: workflows.get_workflow,
    m.FollowWorkflow: workflows.follow_workflow,
    m.Cancel: cancel.cancel,
    m.Pause: pause.pause,
    m.Resume: resume.resume,
    m.Restart: restart.restart,
    m.Retry: retry.retry,
    m.Apply: apply.apply,
    m.AddJobs: add_jobs.add_jobs,
    m.Disable: disable.disable,
    m.Enable: enable.enable,
    m.Archive: archive.archive,
    m.Unarchive: archive.unarchive,
    m.Delete: delete.delete,
    m.ListJobs: jobs.list_jobs,
    m.Explain: explain.explain,
    m.ListResults: results.list_results,
    m.ListActions: actions.list_actions,
    m.ListFiles: files.list_files,
    m.ListJoins: collections.list_joins,
    m.Join: collections.join,
    m.ListEvents: events.list_events,
    m.FollowEvents: events.follow_events,
}
