"""The interface org.varlink.service, which every Varlink service has."""

import msgspec

from torcd.protocol.request import Request

NAME = "org.varlink.service"


class GetInfo(Request["Info"], frozen=True):
    """Who is there, and which interfaces it has."""


class Info(msgspec.Struct, frozen=True, kw_only=True):
    vendor: str
    product: str
    version: str
    url: str
    interfaces: list[str]


class GetInterfaceDescription(Request["Description"], frozen=True):
    """The description of an interface, in Varlink's interface definition language."""

    interface: str


class Description(msgspec.Struct, frozen=True):
    description: str
