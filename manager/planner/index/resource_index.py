"""Index of what is in use: each node's resources and ports, each network's addresses. It follows the view.

What a task has is in use until its end is confirmed (`shoal.task_states.is_live`), whatever its desired state.
Totals are plain integers, so that a placement sums nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager

from manager.planner.index.generic_resources import GenericResourcePool
from manager.planner.ipam.ipv4_addresses import AddressUsage, ipv4_number
from manager.planner.ipam.ipv6_addresses import ipv6_number, ipv6_pool
from manager.store.tables import View
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort, VirtualAddress
from shoal.api.v1.task_pb2 import Task
from shoal.device_names import ReportedDevices
from shoal.networks.overlay_encryption import has_only_wireguard
from shoal.networks.published_ports import covers
from shoal.task_states import is_live

Size = tuple[int, int]
"""Reserved billionths of a CPU, and bytes of memory."""

Port = tuple[int, int, str]
"""Protocol, published port, address of the host (empty: every one)."""


class NodeUsage:
    """A node as the scheduler sees it. `node` is None when its record is gone, `status` when it has never connected."""

    __slots__ = (
        "_devices",
        "cpus",
        "generic",
        "id",
        "memory",
        "node",
        "ports",
        "services",
        "status",
        "tasks",
        "used_cpus",
        "used_memory",
        "wireguard_only_nodes",
    )

    def __init__(self, identifier: str, wireguard_only_nodes: Set[str] = frozenset()) -> None:
        self.id = identifier
        self.wireguard_only_nodes = wireguard_only_nodes
        """Ids of all nodes of the cluster that support WireGuard and no IPsec."""
        self.node: Node | None = None
        self.status: NodeStatus | None = None
        self.cpus = self.memory = 0
        self.used_cpus = self.used_memory = self.tasks = 0
        self.ports: set[Port] = set()
        self.services: dict[str, int] = {}
        """How many live tasks of each service are here."""
        self.generic = GenericResourcePool()
        self._devices: ReportedDevices | None = None

    def set_records(self, node: Node | None, status: NodeStatus | None) -> None:
        """Set the node's records."""
        self.node, self.status, self._devices = node, status, None
        resources = status.description.resources if status is not None else None
        self.cpus = resources.nano_cpus if resources is not None else 0
        self.memory = resources.memory_bytes if resources is not None else 0
        self.generic.set_total(resources.generic_resources if resources is not None else ())

    def missing_device(self, devices: Sequence[str]) -> str:
        """The first of these devices that the node does not have, as its agent reported; empty when it has all."""
        if self._devices is None:  # computed on demand: most services have no devices
            about = self.status.description if self.status is not None else None
            self._devices = ReportedDevices(about.devices if about is not None and about.HasField("devices") else None)
        return self._devices.lacks(devices)

    def remove_task_of(self, service_id: str) -> None:
        """Count one task of the service less."""
        left = self.services.get(service_id, 0) - 1
        if left:
            self.services[service_id] = left
        else:
            self.services.pop(service_id, None)

    def reserved_share(self) -> float:
        """The greater of the reserved shares of CPUs and memory, 0.0 to 1.0."""
        return max(
            self.used_cpus / self.cpus if self.cpus else 0.0, self.used_memory / self.memory if self.memory else 0.0
        )

    def fullness(self, what: str) -> float:
        """The reserved share of "cpus" or "memory", or of the fuller of the two; 0.0 to 1.0."""
        if what == "cpus":
            return self.used_cpus / self.cpus if self.cpus else 0.0
        if what == "memory":
            return self.used_memory / self.memory if self.memory else 0.0
        return self.reserved_share()

    def rank(self) -> tuple[float, int, str]:
        """Sorts nodes: the least reserved share, the fewest tasks, the id."""
        # As `reserved_share`, without a call: this is evaluated for each task that is placed.
        cpus = self.used_cpus / self.cpus if self.cpus else 0.0
        memory = self.used_memory / self.memory if self.memory else 0.0
        return cpus if cpus > memory else memory, self.tasks, self.id

    def port_taken(self, protocol: int, published: int, address: str) -> bool:
        """Whether a live task of the node has the port, on that address or on one that covers it."""
        return is_port_taken(self.ports, protocol, published, address)


def is_port_taken(ports: Collection[Port], protocol: int, published: int, address: str) -> bool:
    """Whether one of the ports conflicts: the same number on the same address or on one that covers it."""
    if not ports:
        return False
    if (protocol, published, address) in ports or (protocol, published, "") in ports:
        return True
    same = (port for port in ports if port[:2] == (protocol, published))
    return any(covers(address, taken) or covers(taken, address) for _, _, taken in same)


class ResourceIndex:
    """The index. `refresh_tasks` and `refresh_node` follow the view; `tentative` undoes the claims of a plan."""

    def __init__(self) -> None:
        self.hosts: dict[str, NodeUsage] = {}
        self._wireguard_only_nodes: set[str] = set()
        self.claimed: list[NodeUsage] = []
        """The node of each claim of a plan, in order; a node is repeated."""
        self._undo: dict[NodeUsage, tuple[tuple[int, int, int], set[Port], dict[str, int]]] = {}
        self._claimed_addresses: dict[AddressUsage, list[int]] = {}
        self._cursors: dict[AddressUsage, tuple[int, int]] = {}
        self._claimed_generic: list[tuple[NodeUsage, Sequence[GenericResource]]] = []
        self.mesh_ports: dict[str, Sequence[PublishedPort]] = {}
        """Ports of the routing mesh, by the id of the service that they are forwarded to."""
        self._claimed_mesh_ports: list[tuple[str, Sequence[PublishedPort]]] = []
        self._virtual_addresses: dict[str, Sequence[VirtualAddress]] = {}
        self.pools: dict[str, AddressUsage] = {}
        self._counted: dict[str, Task] = {}
        self._sizes: dict[tuple[str, int], Size] = {}

    @staticmethod
    def of(view: View) -> "ResourceIndex":
        """The index of a whole view."""
        index = ResourceIndex()
        for identifier in view.nodes:
            index.refresh_node(view, identifier)
        index.refresh_tasks(view, view.tasks)
        for identifier in view.service_status:
            index.refresh_service(view, identifier)
        return index

    def refresh_node(self, view: View, identifier: str) -> None:
        """Set the node's records from the view."""
        host = self._host(identifier)
        host.set_records(view.nodes.get(identifier), view.node_status.get(identifier))
        if host.node is not None and host.status is not None and has_only_wireguard(host.status.description):
            self._wireguard_only_nodes.add(identifier)
        else:
            self._wireguard_only_nodes.discard(identifier)
        self._drop_if_idle(host)

    def stale_nodes(self, view: View) -> list[str]:
        """Ids of nodes that differ from the view: their changes were lost."""
        known = {identifier: (host.node, host.status) for identifier, host in self.hosts.items()}
        every = sorted({*view.nodes, *known})
        return [
            each
            for each in every
            if known.get(each, (None, None)) != (view.nodes.get(each), view.node_status.get(each))
        ]

    def refresh_all_tasks(self, view: View) -> None:
        """Count every task again that is not counted as the view has it."""
        self.refresh_tasks(view, [*self._counted])
        self.refresh_tasks(view, view.tasks)

    def refresh_tasks(self, view: View, task_ids: Iterable[str]) -> bool:
        """Count these tasks as the view has them; whether what is in use has changed."""
        changed = False
        for identifier in task_ids:
            counted = self._counted.get(identifier)
            task = view.tasks.get(identifier)
            live = task is not None and bool(task.node_id) and is_live(task, view.task_status.get(identifier))
            if live and counted is task:
                continue  # the usual change: the task is one state further
            if counted is not None:
                del self._counted[identifier]
                self._release(counted)
            changed = changed or live != (counted is not None)
            if live and task is not None:
                self._claim(view, identifier, task)
        return changed

    def _claim(self, view: View, identifier: str, task: Task) -> None:
        self._counted[identifier] = task
        cpus, memory = self.size(view, task)
        host = self._host(task.node_id)
        host.tasks += 1
        host.used_cpus += cpus
        host.used_memory += memory
        service_id = task.service_id
        host.services[service_id] = host.services.get(service_id, 0) + 1
        if task.generic_resources:
            host.generic.claim(task.generic_resources)
        for port in task.ports:
            host.ports.add((port.protocol, port.published, port.host_address))
        for held in task.addresses:
            self.pool(held.network_id).add(ipv4_number(held.address), task.created_at_ms)
            if held.address6:
                self.pool(ipv6_pool(held.network_id)).add(ipv6_number(held.address6), task.created_at_ms)

    def pool(self, name: str) -> AddressUsage:
        """The addresses in use on a network: of its id, or its IPv6 ones (`ipv6_pool`)."""
        found = self.pools.get(name)
        return found if found is not None else self.pools.setdefault(name, AddressUsage())

    def reserve(
        self,
        host: NodeUsage,
        service_id: str,
        cpus: int,
        memory: int,
        ports: Collection[Port] = (),
        generic: Sequence[GenericResource] = (),
    ) -> None:
        """Claim resources for a task that a plan places there. Within `tentative` only."""
        if host not in self._undo:
            totals = host.tasks, host.used_cpus, host.used_memory
            self._undo[host] = totals, set(host.ports), dict(host.services)
        if ports:
            host.ports.update(ports)
        host.services[service_id] = host.services.get(service_id, 0) + 1
        if generic:
            host.generic.claim(generic)
            self._claimed_generic.append((host, generic))
        host.tasks += 1
        host.used_cpus += cpus
        host.used_memory += memory
        self.claimed.append(host)

    def claim_address(self, pool: AddressUsage, address: int, now_ms: int) -> None:
        """Claim an address that a plan assigns. Within `tentative` only."""
        claimed = self._claimed_addresses.get(pool)
        if claimed is None:
            claimed = self._claimed_addresses[pool] = []
            self._cursors[pool] = pool.cursor, pool.cursor_at_ms
        claimed.append(address)
        pool.add(address, now_ms)

    def claim_mesh_ports(self, service_id: str, ports: Sequence[PublishedPort]) -> None:
        """Claim ports of the routing mesh for the service. Within `tentative` only."""
        self._claimed_mesh_ports.append((service_id, self.mesh_ports.get(service_id, ())))
        self.mesh_ports[service_id] = ports

    def is_on_mesh(self, published: int) -> bool:
        """Whether a service has the number on the routing mesh, of whatever protocol."""
        return any(port.published == published for ports in self.mesh_ports.values() for port in ports)

    def refresh_service(self, view: View, service_id: str) -> None:
        """Count the service's own addresses and ports as the view has them."""
        status = view.service_status.get(service_id)
        for place in self._virtual_addresses.pop(service_id, ()):
            self.pool(place.network_id).used.discard(ipv4_number(place.address))
            if place.address6:
                self.pool(ipv6_pool(place.network_id)).used.discard(ipv6_number(place.address6))
        self.mesh_ports.pop(service_id, None)
        if status is not None and status.virtual_addresses:
            self._virtual_addresses[service_id] = status.virtual_addresses
            for place in status.virtual_addresses:
                self.pool(place.network_id).used.add(ipv4_number(place.address))
                if place.address6:
                    self.pool(ipv6_pool(place.network_id)).used.add(ipv6_number(place.address6))
        if status is not None and status.mesh_ports:
            self.mesh_ports[service_id] = status.mesh_ports

    @contextmanager
    def tentative(self) -> Iterator[None]:
        """Undo at the end what is claimed within, cursors of pools included."""
        try:
            yield
        finally:
            for host, (totals, ports, services) in self._undo.items():
                host.tasks, host.used_cpus, host.used_memory = totals
                host.ports, host.services = ports, services
            for host, given in self._claimed_generic:
                host.generic.release(given)
            for pool, addresses in self._claimed_addresses.items():
                pool.used.difference_update(addresses)
                pool.cursor, pool.cursor_at_ms = self._cursors[pool]
            for service_id, before in reversed(self._claimed_mesh_ports):
                self.mesh_ports[service_id] = before
            self._undo, self._claimed_addresses, self._cursors = {}, {}, {}
            self.claimed, self._claimed_mesh_ports, self._claimed_generic = [], [], []

    def _release(self, task: Task) -> None:
        cpus, memory = self._sizes[task.service_id, task.revision]
        host = self.hosts[task.node_id]
        host.tasks -= 1
        host.remove_task_of(task.service_id)
        if task.generic_resources:
            host.generic.release(task.generic_resources)
        host.used_cpus -= cpus
        host.used_memory -= memory
        for port in task.ports:
            host.ports.discard((port.protocol, port.published, port.host_address))
        for held in task.addresses:
            self.pool(held.network_id).used.discard(ipv4_number(held.address))
            if held.address6:
                self.pool(ipv6_pool(held.network_id)).used.discard(ipv6_number(held.address6))
        self._drop_if_idle(host)

    def size(self, view: View, task: Task) -> Size:
        """What the task reserves."""
        # Cached for good, found or not: what is released must be what was claimed.
        key = task.service_id, task.revision
        size = self._sizes.get(key)
        if size is None:
            revision = view.revision_of(*key)
            reserved = revision.spec.task.reservations if revision is not None else None
            size = (reserved.nano_cpus, reserved.memory_bytes) if reserved is not None else (0, 0)
            self._sizes[key] = size
        return size

    def _host(self, identifier: str) -> NodeUsage:
        found = self.hosts.get(identifier)
        return (
            found
            if found is not None
            else self.hosts.setdefault(identifier, NodeUsage(identifier, self._wireguard_only_nodes))
        )

    def _drop_if_idle(self, host: NodeUsage) -> None:
        if host.node is None and host.tasks == 0:
            self.hosts.pop(host.id, None)
