"""What the parameters of every method have in common: they know the type of their reply."""

from typing import Generic, TypeVar

import msgspec

Reply = TypeVar("Reply", bound=msgspec.Struct)


class Request(msgspec.Struct, Generic[Reply], frozen=True, omit_defaults=True):
    """The parameters of a method, whose name is the class's and whose reply is a `Reply`."""
