"""org.varlink.service: what there is to call."""

from torcd import errors
from torcd.protocol import service as s
from torcd.protocol.interface import describe
from torcd.protocol.registry import INTERFACES
from torcd.server.calls import Call
from torcd.server.context import Context


async def get_info(context: Context, parameters: s.GetInfo, call: Call) -> s.Info:
    return s.Info(
        vendor="torcd",
        product="torcd",
        version=context.version,
        url="https://pypi.org/project/torcd/",
        interfaces=[interface.name for interface in INTERFACES],
    )


async def get_interface_description(
    context: Context, parameters: s.GetInterfaceDescription, call: Call
) -> s.Description:
    for interface in INTERFACES:
        if interface.name == parameters.interface:
            return s.Description(describe(interface))
    raise errors.InterfaceNotFound(
        f"there is no interface {parameters.interface[:200]}", interface=parameters.interface[:200]
    )
