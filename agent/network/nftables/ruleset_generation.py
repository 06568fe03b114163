"""The kernel's ruleset generation ID, which every nftables transaction increments (nf_tables.h)."""

import struct
from typing import Protocol

from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink_dump import parse_attributes

NETFILTER = 12
"""NETLINK_NETFILTER."""
_GET_GENERATION = 10 << 8 | 16
_NUMBER = 1
_HEADER = struct.pack("=BBH", 0, 0, 0)


class RulesetGeneration(Protocol):
    """Reads the generation ID."""

    def __call__(self) -> int:
        """The current one of this network namespace.

        Raises:
            Unavailable: the kernel refused.
        """
        ...


class KernelGeneration:
    """For the thread that creates it, in its network namespace."""

    def __init__(self) -> None:
        self._connection = Connection(NETFILTER)

    def __call__(self) -> int:
        """See `RulesetGeneration`."""
        (answer,) = self._connection.request(_GET_GENERATION, _HEADER)
        number: int = struct.unpack(">I", parse_attributes(answer.body, len(_HEADER))[_NUMBER])[0]
        return number

    def close(self) -> None:
        self._connection.close()
