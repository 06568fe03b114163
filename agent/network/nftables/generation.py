"""The number of the kernel's tables, which every transaction counts up, whoever makes it (nf_tables.h)."""

import struct
from typing import Protocol

from agent.network.netlink.connection import Connection
from agent.network.netlink.inventory import attributes

FAMILY = 12
"""NETLINK_NETFILTER."""
_GET_GENERATION = 10 << 8 | 16
_NUMBER = 1
_HEADER = struct.pack("=BBH", 0, 0, 0)


class Generation(Protocol):
    """Asks for the number."""

    def __call__(self) -> int:
        """The present one of this network namespace.

        Raises:
            Unavailable: the kernel refused.
        """
        ...


class KernelGeneration:
    """For the thread that makes it, in its network namespace."""

    def __init__(self) -> None:
        self._connection = Connection(FAMILY)

    def __call__(self) -> int:
        """See `Generation`."""
        (answer,) = self._connection.ask(_GET_GENERATION, _HEADER)
        number: int = struct.unpack(">I", attributes(answer.body, len(_HEADER))[_NUMBER])[0]
        return number

    def close(self) -> None:
        self._connection.close()
