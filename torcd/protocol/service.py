"""The interface org.varlink.service, which every Varlink service has."""

import msgspec

NAME = "org.varlink.service"


class GetInfo(msgspec.Struct, frozen=True):
    pass


class Info(msgspec.Struct, frozen=True, kw_only=True):
    vendor: str
    product: str
    version: str
    url: str
    interfaces: list[str]


class GetInterfaceDescription(msgspec.Struct, frozen=True):
    interface: str


class Description(msgspec.Struct, frozen=True):
    description: str
