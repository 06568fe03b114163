"""DNS clients: this node's tasks by source address."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from agent.network.attachments.attachment import Attachment


@dataclass(frozen=True)
class DnsClient:
    """A container that queries the resolver.

    Attributes:
        networks: in the order in which names are looked up.
        has_egress: whether it may reach outside the cluster; otherwise its queries are never forwarded.
        upstreams: its own resolvers for other names; none means the node's.
    """

    networks: Sequence[str]
    has_egress: bool
    upstreams: Sequence[IPv4Address | IPv6Address] = ()


class DnsClients:
    """Tasks of this node by address. An address belongs to the task that got it last."""

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
        """The client with this address; None if unknown."""
        owner = self._owners.get(address)
        return owner[1] if owner else None

    def task_id(self, address: IPv4Address) -> str:
        """The id of the task with this address; empty if unknown."""
        owner = self._owners.get(address)
        return owner[0] if owner else ""

    def addresses(self) -> frozenset[IPv4Address]:
        return frozenset(self._owners)
