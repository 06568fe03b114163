"""Network calls: create, get, list, remove."""

from collections import Counter

from manager.interfaces import NowMs
from manager.networks import routing_mesh
from manager.networks.network_nodes import NetworkNodes
from manager.records import name_records
from manager.records.concurrent_changes import retried
from manager.records.in_use import in_use
from manager.records.object_lookup import find_network, hostname_of
from manager.records.write_groups import WriteGroup
from manager.store.changes import Expect, Write, delete, expect, put
from manager.store.kinds import ALLOCATION, NAME, NETWORK
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation.ipv6_network_rules import (
    check_ipv6,
    no_node_with_ipv6,
    nodes_without_ipv6,
    overlap6,
    overlap_with_hosts6,
)
from manager.validation.network_rules import (
    BEING_REMOVED,
    check_network,
    no_node_with_encryption,
    nodes_without_encryption,
    overlap,
    overlap_with_hosts,
)
from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    CreateNetworkResponse,
    GetNetworkRequest,
    ListNetworksRequest,
    ListNetworksResponse,
    NetworkEndpoint,
    NetworkView,
    RemoveNetworkRequest,
    RemoveNetworkResponse,
)
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from shoal.errors import AlreadyExists, Fault, InvalidInput, Refused
from shoal.ids import NewId
from shoal.networks.overlay_encryption import is_encrypted
from shoal.networks.published_ports import MESH_NETWORK, mesh_ports
from shoal.rpc.caller import Caller
from shoal.task_states import is_live, observed_state, task_name


class NetworkHandler:
    """The networks' calls.

    Args:
        nodes: nodes that have the tables of a network.
    """

    def __init__(self, *, store: RecordStore, now_ms: NowMs, new_id: NewId, nodes: NetworkNodes) -> None:
        self._store = store
        self._nodes = nodes
        self._now_ms = now_ms
        self._new_id = new_id

    async def create(self, request: CreateNetworkRequest, caller: Caller) -> CreateNetworkResponse:
        """Raises InvalidInput with all faults, AlreadyExists when the name is taken."""
        view = self._store.tables
        faults = [*(mesh_faults if request.mesh else network_faults)(view, request.spec)]
        if faults:
            raise InvalidInput(faults)
        spec = mesh_spec(view, request.spec) if request.mesh else request.spec
        taken = f'network "{spec.name}" already exists; choose another name'
        if (present := view.network_named(spec.name)) is not None:
            raise AlreadyExists(f'network "{spec.name}" is {BEING_REMOVED}' if present.removing else taken)
        identifier = MESH_NETWORK if request.mesh else self._new_id()
        network = new_network(identifier, spec, self._now_ms())
        network.meta.version = await name_records.commit_new(self._store, WriteGroup(*creation(network)), taken)
        return CreateNetworkResponse(network=network, warnings=network_warnings(network.spec, view))

    async def get(self, request: GetNetworkRequest, caller: Caller) -> NetworkView:
        view = self._store.tables
        network = find_network(view, request.network)
        shown = network_view(view, network, addresses_in_use(view))
        shown.endpoints.extend(endpoints(view, network.meta.id))
        shown.nodes.extend(await self._nodes.nodes_of_network(view, network.meta.id))
        return shown

    async def list(self, _: ListNetworksRequest, caller: Caller) -> ListNetworksResponse:
        view = self._store.tables
        ordered = sorted(view.networks.values(), key=lambda network: network.spec.name)
        used = addresses_in_use(view)
        return ListNetworksResponse(networks=[network_view(view, network, used) for network in ordered])

    async def remove(self, request: RemoveNetworkRequest, caller: Caller) -> RemoveNetworkResponse:
        """Raises Refused while a service uses it. If tasks on it are still stopping, it is removed after them."""
        identifier = find_network(
            self._store.tables, request.network
        ).meta.id  # not another one that has the name by then
        return await retried(lambda: self._remove(identifier))

    async def _remove(self, identifier: str) -> RemoveNetworkResponse:
        view = self._store.tables
        network = find_network(view, identifier)
        users = services_on(view, network.meta.id)
        if users:
            raise Refused(in_use("network", network.spec.name, users))
        writes, expects = removal(self._store, network)
        await self._store.commit(writes, expects=expects)
        return RemoveNetworkResponse(id=network.meta.id)


def network_faults(view: View, spec: NetworkSpec) -> list[Fault]:
    """Every fault of a new network, except that its name is taken."""
    faults = [
        *check_network(spec),
        *check_ipv6(spec),
        *no_node_with_encryption(spec, view),
        *no_node_with_ipv6(spec, view),
    ]
    if spec.subnet and not any(fault.path == "subnet" for fault in faults):
        faults += overlap("subnet", spec.subnet, view.networks, view.allocations)
        faults += overlap_with_hosts("subnet", spec.subnet, view)
    if spec.subnet6 and not any(fault.path == "subnet6" for fault in faults):
        faults += overlap6(spec.subnet6, view.networks, view.allocations)
        faults += overlap_with_hosts6(spec.subnet6, view)
    return faults


def mesh_faults(view: View, spec: NetworkSpec) -> list[Fault]:
    """Every fault of the spec of the routing mesh's network, whose name does not matter."""
    named = NetworkSpec()
    named.CopyFrom(spec)
    named.name = "mesh"
    internal = [Fault("internal", "the routing mesh's network leads outside")] if spec.internal else []
    return [*network_faults(view, named), *internal]


def mesh_spec(view: View, asked: NetworkSpec) -> NetworkSpec:
    """The spec of the routing mesh's network, with what was asked for of subnets and labels.

    Raises:
        Refused: none was asked for, and no subnet is free.
    """
    spec = NetworkSpec()
    spec.CopyFrom(asked)
    spec.name, spec.driver, spec.ipv6, spec.attachable = MESH_NETWORK, "overlay", True, False
    spec.subnet = spec.subnet or routing_mesh.free_subnet(view)
    return spec


def set_defaults(spec: NetworkSpec) -> None:
    """The driver that a network without one means."""
    spec.driver = spec.driver or "overlay"


def new_network(identifier: str, spec: NetworkSpec, now_ms: int) -> Network:
    """A new network."""
    network = Network(spec=spec)
    set_defaults(network.spec)
    network.meta.id = identifier
    network.meta.created_at_ms = network.meta.updated_at_ms = now_ms
    return network


def creation(network: Network) -> tuple[list[Write], list[Expect]]:
    """Writes and conditions of a new network."""
    name, free = name_records.claim("network", network.spec.name, network.meta.id)
    return [put(NETWORK, network.meta.id, network), name], [free]


def removal(store: RecordStore, network: Network) -> tuple[list[Write], list[Expect]]:
    """Deletes the network, or marks it while tasks are on it; both only if no service started using it meanwhile."""
    name = name_records.key_of_network(network)
    expects = [
        expect(NAME, name, store.version_of(NAME, name)),
        expect(NETWORK, network.meta.id, network.meta.version),
    ]
    if not has_live_tasks(store.tables, network.meta.id):
        identifier = network.meta.id
        return [delete(NETWORK, identifier), delete(ALLOCATION, identifier), delete(NAME, name)], expects
    marked = Network()
    marked.CopyFrom(network)
    marked.removing = True
    return [put(NETWORK, network.meta.id, marked)], expects


def has_live_tasks(view: View, network_id: str) -> bool:
    """Whether a task that has not ended has an address on the network."""
    return any(
        any(address.network_id == network_id for address in task.addresses)
        and is_live(task, view.task_status.get(task.id))
        for task in view.tasks.values()
    )


def services_on(view: View, network_id: str) -> list[str]:
    """Names of the services that attach to the network, then `container NAME` of the containers that do."""
    services = sorted(
        service.spec.name
        for service in view.services.values()
        if any(attachment.network == network_id for attachment in service.spec.task.networks)
        or (network_id == MESH_NETWORK and mesh_ports(service.spec))
    )
    containers = sorted(
        f"container {container.name}"
        for container in view.containers.values()
        if any(attachment.network == network_id for attachment in container.definition.task.networks)
        or (network_id == MESH_NETWORK and _publishes_on_mesh(container.definition))
    )
    return services + containers


def _publishes_on_mesh(definition: ContainerDefinition) -> bool:
    return not definition.publish_on_node and any(not port.host_address for port in definition.ports)


def addresses_in_use(view: View) -> Counter[str]:
    """The number of addresses of live tasks, by network. One pass over all tasks."""
    return Counter(
        address.network_id
        for task in view.tasks.values()
        if task.addresses and is_live(task, view.task_status.get(task.id))
        for address in task.addresses
    )


def network_view(view: View, network: Network, addresses: Counter[str]) -> NetworkView:
    """A network with its users and the number of its addresses in use."""
    identifier = network.meta.id
    allocation = view.allocations.get(identifier)
    return NetworkView(
        network=network,
        allocation=allocation,
        services=services_on(view, identifier),
        addresses=addresses[identifier],
        problem=allocation_problem(view, network) if allocation is None or network.removing else "",
    )


def allocation_problem(view: View, network: Network) -> str:
    """Why the network has no subnet yet, or that it is being removed."""
    if network.removing:
        return BEING_REMOVED
    others = {identifier: other for identifier, other in view.networks.items() if identifier != network.meta.id}
    spec = network.spec
    if not spec.subnet and not spec.subnet6:
        return "waiting for a subnet: none is free, or no manager is leading"
    conflicts = list(overlap("subnet", spec.subnet, others, view.allocations)) if spec.subnet else []
    conflicts += overlap6(spec.subnet6, others, view.allocations) if spec.subnet6 else []
    return conflicts[0].message if conflicts else "waiting for a subnet: no manager is leading"


def endpoints(view: View, network_id: str) -> list[NetworkEndpoint]:
    """The tasks that have an address on the network and have not ended, by name."""
    found = []
    for task in view.tasks.values():
        status = view.task_status.get(task.id)
        held = next((each for each in task.addresses if each.network_id == network_id), None)
        if held is None or not is_live(task, status):
            continue
        service = view.services.get(task.service_id)
        name = task_name(service.spec.name if service is not None else task.service_id, task)
        hostname = hostname_of(view, task.node_id)
        endpoint = NetworkEndpoint(task_id=task.id, task_name=name, address=held.address, address6=held.address6)
        endpoint.state = observed_state(task, status)
        endpoint.node_id, endpoint.node_hostname = task.node_id, hostname
        found.append(endpoint)
    return sorted(found, key=lambda endpoint: endpoint.task_name)


def network_warnings(spec: NetworkSpec, view: View) -> list[str]:
    """Settings that may behave differently than the user expects."""
    found = []
    if spec.gateway:
        found.append(
            f"gateway {spec.gateway} is reserved but routes nothing: the next hop of containers is 169.254.1.1"
        )
    if spec.gateway6:
        found.append(
            f"gateway {spec.gateway6} is reserved but routes nothing: "
            "the next hop of containers is the same on every network"
        )
    if spec.ipv6 and (without := nodes_without_ipv6(view)):
        found.append(f"tasks on this network run only on nodes with IPv6; nodes without it: {without}")
    if is_encrypted(spec) and (without := nodes_without_encryption(view)):
        found.append(
            f"tasks on this network do not run on {without}: the kernel there lacks the required encryption support"
        )
    return found
