"""The daemon itself."""

import os

from torcd import errors
from torcd.protocol import manager as m
from torcd.protocol.times import rfc3339
from torcd.server.calls import Call
from torcd.server.context import Context


async def get_status(context: Context, parameters: m.GetStatus, call: Call) -> m.DaemonStatus:
    workflows = context.controller.scheduler.workflows.values()
    nodes = [node for node in workflows if context.is_own(call.peer, node.workflow.owner)]
    return m.DaemonStatus(
        pid=os.getpid(),
        warden_pid=context.warden_pid(),
        version=context.version,
        socket=context.socket,
        state_dir=context.state_dir,
        started_at=rfc3339(context.started_at),
        workflows=sum(1 for node in nodes if not node.is_over),
        jobs=sum(node.in_flight for node in nodes),
        cgroups=context.cgroups(),
        held_up=context.controller.held_up,
    )


async def reload(context: Context, parameters: m.Reload, call: Call) -> m.Reloaded:
    _require_admin(call, "have the configuration read again")
    return await context.reload()


async def stop(context: Context, parameters: m.Stop, call: Call) -> m.Nothing:
    _require_admin(call, "stop the daemon")
    shortage = context.controller.shortage
    if shortage is not None and parameters.jobs == "terminate":
        raise shortage  # that they have ended has to be written down
    context.stop(parameters.jobs or "leave")
    return m.Nothing()


def _require_admin(call: Call, what: str) -> None:
    """Raises Denied."""
    if not call.peer.is_admin:
        raise errors.Denied(f"only root and admins may {what}: others use it, too")
