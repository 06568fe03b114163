"""DNS clients: this node's tasks by source address."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from agent.network.attachments.attachment import Attachment


@dataclass(frozen=True)
class DnsClient:
    """Who asks.

    Attributes:
        networks: in the order in which names are looked for.
        has_egress: the cluster; else no upstream resolver is asked for it.
        upstreams: resolvers of its own for other names; none means the node's.
    """

    networks: Sequence[str]
    has_egress: bool
    upstreams: Sequence[IPv4Address | IPv6Address] = ()


class DnsClients:
    """Tasks of this node by their addresses. An address belongs to the task that was given it last."""

    def __init__(self) -> None:
        self._tasks: dict[str, Attachment] = {}
        self._owners: dict[IPv4Address, tuple[str, DnsClient]] = {}

    def add(self, attachment: Attachment) -> None:
        networks = tuple(filter(None, attachment.addresses))
        client = DnsClient(networks, has_egress=attachment.egress_address is not None, upstreams=attachment.resolvers)
        self._tasks[attachment.task_id] = attachment
        for address in attachment.addresses.values():
            self._owners[address] = (attachment.task_id, client)

    def remove(self, task_id: str) -> None:
        attachment = self._tasks.pop(task_id, None)
        for address in attachment.addresses.values() if attachment else ():
            if self._owners[address][0] == task_id:
                del self._owners[address]

    def find(self, address: IPv4Address) -> DnsClient | None:
        """Whose address it is; None for a stranger's."""
        owner = self._owners.get(address)
        return owner[1] if owner else None

    def task_id(self, address: IPv4Address) -> str:
        """The id of the task whose address it is; empty for a stranger's."""
        owner = self._owners.get(address)
        return owner[0] if owner else ""

    def addresses(self) -> frozenset[IPv4Address]:
        return frozenset(self._owners)
