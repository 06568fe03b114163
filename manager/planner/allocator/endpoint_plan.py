"""Plans a service's endpoints: a virtual address on each of its networks, and its mesh ports."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from manager.planner.allocator.address_pool import AddressPool
from manager.planner.draft import Draft
from manager.planner.ipam.ipv6_addresses import ipv6_pool, pool_network
from manager.planner.spec.task_owners import owner_name
from shoal.api.v1.service_pb2 import Endpoint, PublishedPort, ServiceSpec, ServiceStatus, VirtualAddress
from shoal.networks.published_ports import MESH_NETWORK, candidate_ports, first_conflict, label, mesh_ports, protocol_of
from shoal.task_states import is_live


@dataclass(frozen=True)
class EndpointPlan:
    """What the service gets, and why it lacks some of that, one line each."""

    virtual_addresses: tuple[VirtualAddress, ...]
    mesh_ports: tuple[PublishedPort, ...]
    problems: tuple[str, ...]


def plan_endpoints(draft: Draft, service_id: str, spec: ServiceSpec, networks: Iterable[str]) -> EndpointPlan:
    """What the service has, as far as its spec still requests it, and what is new.

    Args:
        networks: ids of the networks of its tasks.
    """
    problems: list[str] = []
    known = draft.view.service_status.get(service_id) or ServiceStatus()
    own = [network for network in networks if network != MESH_NETWORK]
    own += _networks_to_leave(draft, service_id, known, own)
    virtual = (
        () if spec.endpoint.mode == Endpoint.DNSRR else tuple(_plan_virtual_addresses(draft, known, own, problems))
    )
    mesh = tuple(_plan_mesh_ports(draft, service_id, known, spec, problems))
    if problems:
        draft.blocked.add(service_id)  # what it lacks may be released by others
    return EndpointPlan(virtual, mesh, tuple(problems))


def _networks_to_leave(draft: Draft, service_id: str, known: ServiceStatus, own: Collection[str]) -> list[str]:
    """Networks that the spec no longer has, while tasks are still on them: clients reach these until the last ends."""
    former = [place.network_id for place in known.virtual_addresses if place.network_id not in own]
    if not former:
        return []
    view = draft.view
    live = (task for task in view.tasks_of(service_id).values() if is_live(task, view.task_status.get(task.id)))
    there = {address.network_id for task in live for address in task.addresses}
    return [network for network in former if network in there]


def _plan_virtual_addresses(
    draft: Draft, known: ServiceStatus, networks: Iterable[str], problems: list[str]
) -> Iterator[VirtualAddress]:
    kept = {place.network_id: place for place in known.virtual_addresses}
    for network_id in networks:
        allocation = draft.allocation(network_id)
        if allocation is None:
            continue  # its tasks are pending too, with the reason
        place = VirtualAddress(network_id=network_id)
        place.CopyFrom(kept.get(network_id, place))
        if not place.address:
            place.address = _allocate_address(draft, network_id, problems)
        if not place.address6 and allocation.subnet6:
            place.address6 = _allocate_address(draft, ipv6_pool(network_id), problems)
        if place.address:
            yield place


def _allocate_address(draft: Draft, pool: str, problems: list[str]) -> str:
    """An address for the service itself; empty where none is left even after widening the network."""
    address = AddressPool(draft, pool).allocate_highest()
    if address is None:
        problems.append(f"network {_name(draft, pool_network(pool))} has no free address for the service's virtual IP")
        return ""
    return address


def _plan_mesh_ports(
    draft: Draft, service_id: str, known: ServiceStatus, spec: ServiceSpec, problems: list[str]
) -> list[PublishedPort]:
    requested = mesh_ports(spec)
    if not requested:
        return []
    resources = draft.resources
    others = [(other, port) for other, ports in resources.mesh_ports.items() if other != service_id for port in ports]
    found: list[PublishedPort] = []
    for port in requested:
        chosen = PublishedPort()
        chosen.CopyFrom(port)
        if not port.published:
            chosen.published_first = chosen.published_last = 0
            chosen.published = _kept_number(known, port, found) or _free_number(draft, port, found, others)
        if (conflict := first_conflict(chosen, (other for _, other in others))) is not None:
            owner = next(other for other, port in others if port is conflict)
            problems.append(f"port {label(chosen)} is already published by {owner_name(draft.view, owner)}")
        else:
            found.append(chosen)
    resources.claim_mesh_ports(service_id, found)
    return found


def _kept_number(known: ServiceStatus, port: PublishedPort, found: list[PublishedPort]) -> int:
    """The number that was chosen for this port before; 0 when none was."""
    for chosen in known.mesh_ports:
        same = (protocol_of(chosen), chosen.target, chosen.host_address) == (
            protocol_of(port),
            port.target,
            port.host_address,
        )
        if same and chosen.published in candidate_ports(port) and chosen not in found:
            return chosen.published
    return 0


def _free_number(
    draft: Draft, port: PublishedPort, found: list[PublishedPort], others: list[tuple[str, PublishedPort]]
) -> int:
    """The first number that neither a service has on the mesh nor a task on its node."""
    taken = {other.published for _, other in others} | {other.published for other in found}
    taken.update(published for host in draft.resources.hosts.values() for _, published, _ in host.ports)
    return next((published for published in candidate_ports(port) if published not in taken), candidate_ports(port)[0])


def _name(draft: Draft, network_id: str) -> str:
    network = draft.view.networks.get(network_id)
    return network.spec.name if network is not None else network_id
