"""DNS clients: this node's tasks by source address."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from agent.network.attachments.attachment import Attachment
from agent.network.ip_types import Address
from shoal.container_ids import short_container_id


@dataclass(frozen=True)
class LinkedName:
    """A name that one container alone knows another one by.

    Attributes:
        name: in lower case.
        target: the name of the other one on its networks.
        local: its addresses in the node's own pool, while it runs on this node.
    """

    name: str
    target: str
    local: Sequence[Address] = ()


@dataclass(frozen=True)
class DnsClient:
    """A container that queries the resolver.

    Attributes:
        networks: in the order in which names are looked up.
        has_egress: whether it may reach outside the cluster; otherwise its queries are never forwarded.
        upstreams: its own resolvers for other names; none means the node's.
        links: names that it alone knows, which take precedence.
    """

    networks: Sequence[str]
    has_egress: bool
    upstreams: Sequence[IPv4Address | IPv6Address] = ()
    links: Sequence[LinkedName] = ()


class DnsClients:
    """Tasks of this node by address. An address belongs to the task that got it last."""

    def __init__(self) -> None:
        self._tasks: dict[str, Attachment] = {}
        self._owners: dict[IPv4Address, tuple[str, DnsClient]] = {}
        self._containers: dict[str, str] = {}

    def add(self, attachment: Attachment) -> None:
        networks = tuple(filter(None, attachment.addresses))
        client = DnsClient(networks, has_egress=attachment.egress_address is not None, upstreams=attachment.resolvers)
        self._tasks[attachment.task_id] = attachment
        if attachment.container_id:
            self._containers[attachment.container_id] = attachment.task_id
        for address in attachment.addresses.values():
            self._owners[address] = (attachment.task_id, client)

    def replace(self, attachment: Attachment) -> None:
        """As `add`, for a task that is known with other addresses."""
        self.remove(attachment.task_id)
        self.add(attachment)

    def attachment(self, task_id: str) -> Attachment | None:
        """A task's attachment, as it was added; None if it is unknown."""
        return self._tasks.get(task_id)

    def remove(self, task_id: str) -> None:
        attachment = self._tasks.pop(task_id, None)
        if attachment is None:
            return
        if self._containers.get(attachment.container_id) == task_id:
            del self._containers[attachment.container_id]
        for address in attachment.addresses.values():
            if self._owners[address][0] == task_id:
                del self._owners[address]

    def find(self, address: IPv4Address) -> DnsClient | None:
        """The client with this address; None if unknown."""
        owner = self._owners.get(address)
        if owner is None:
            return None
        task_id, client = owner
        attachment = self._tasks[task_id]
        has_own_names = attachment.links or attachment.aliases
        return replace(client, links=self._links(attachment)) if has_own_names else client

    def _links(self, attachment: Attachment) -> tuple[LinkedName, ...]:
        in_pool = "" in attachment.addresses
        to_containers = (
            LinkedName(name, short_container_id(target), self._local_addresses(target) if in_pool else ())
            for name, target in attachment.links.items()
        )
        return (*to_containers, *(LinkedName(name, target) for name, target in attachment.aliases.items()))

    def local_address(self, container_id: str) -> str:
        """The IPv4 address of a container in the node's own pool; empty where it does not run, or has none there."""
        found = (str(each) for each in self._local_addresses(container_id) if each.version == 4)
        return next(found, "")

    def _local_addresses(self, container_id: str) -> tuple[Address, ...]:
        attachment = self._tasks.get(self._containers.get(container_id, ""))
        if attachment is None:
            return ()
        return tuple(each[""] for each in (attachment.addresses, attachment.addresses6) if "" in each)

    def task_id(self, address: IPv4Address) -> str:
        """The id of the task with this address; empty if unknown."""
        owner = self._owners.get(address)
        return owner[0] if owner else ""

    def addresses(self) -> frozenset[IPv4Address]:
        return frozenset(self._owners)
