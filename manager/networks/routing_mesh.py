"""The routing mesh: its network, created when a service first publishes a port, and conflicts between ports."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network

from manager.interfaces import NowMs
from manager.records import name_records
from manager.store.changes import expect, put
from manager.store.kinds import NETWORK
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation.network_rules import overlap, overlap_with_hosts
from manager.validation.other_services import OtherServices
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec
from shoal.errors import Conflict, Fault, Refused
from shoal.networks.network_modes import BRIDGE
from shoal.networks.published_ports import MESH_NETWORK, first_conflict, is_mesh, label, mesh_ports, ranges_overlap

_CANDIDATES = [f"10.{second}.0.0/16" for second in range(255, 127, -1)]
"""Subnets for the mesh, of which the first free one is used: large, since every task behind an ingress port has an
address there."""


async def ensure_network(store: RecordStore, specs: Iterable[ServiceSpec], now_ms: NowMs) -> None:
    """Create the network of the mesh if a spec needs it, or cancel its removal.

    Raises:
        Refused: no subnet is free. Unavailable: etcd is away.
    """
    view = store.tables
    network = view.networks.get(MESH_NETWORK)
    if not any(map(mesh_ports, specs)) or (network is not None and not network.removing):
        return
    try:
        if network is None:
            await _create(store, now_ms())
        else:
            await _cancel_removal(store, network)
    except Conflict:
        # Another request or manager was faster; if it was a removal, the commit that follows fails.
        return


async def _create(store: RecordStore, now_ms: int) -> None:
    spec = NetworkSpec(name=MESH_NETWORK, driver="overlay", subnet=free_subnet(store.tables), ipv6=True)
    network = Network(spec=spec)
    network.meta.id = MESH_NETWORK
    network.meta.created_at_ms = network.meta.updated_at_ms = now_ms
    name, free = name_records.claim("network", MESH_NETWORK, MESH_NETWORK)
    await store.commit([put(NETWORK, MESH_NETWORK, network), name], expects=[free])


async def _cancel_removal(store: RecordStore, network: Network) -> None:
    changed = Network()
    changed.CopyFrom(network)
    changed.removing = False
    await store.commit(
        [put(NETWORK, MESH_NETWORK, changed)], expects=[expect(NETWORK, MESH_NETWORK, network.meta.version)]
    )


def free_subnet(view: View) -> str:
    """A subnet for its network. Raises Refused when none is free."""
    for subnet in _CANDIDATES:
        faults = (*overlap("", subnet, view.networks, view.allocations), *overlap_with_hosts("", subnet, view))
        if not faults:
            return str(IPv4Network(subnet))
    raise Refused(
        "no free subnet for the routing mesh in 10.128.0.0/9; publish ports with mode=host, or remove networks"
    )


def internal_only_faults(view: View, spec: ServiceSpec, submitted: Mapping[str, Network]) -> Iterator[Fault]:
    """Ingress ports of tasks whose networks are all internal: responses could not reach clients.

    Args:
        spec: its networks are resolved to IDs.
        submitted: networks that the request creates or changes.
    """
    known = dict(view.networks) | {network.meta.id: network for network in submitted.values()}
    networks = [known[each.network] for each in spec.task.networks if each.network in known]
    if any(each.network == BRIDGE for each in spec.task.networks):
        return  # a container of one's own has the node's pool beside its networks, which is a way out
    if networks and mesh_ports(spec) and all(network.spec.internal for network in networks):
        yield Fault(
            "endpoint.ports",
            "all networks of the service are internal; remove the "
            "published ports, or attach a network that is not internal",
        )


def port_conflicts(view: View, spec: ServiceSpec, others: OtherServices) -> Iterator[Fault]:
    """Ports that another service publishes. Two may publish the same one with mode=host, but not one of the mesh."""
    for index, port in enumerate(spec.endpoint.ports):
        for owner, taken in others.ports(view, spec.name):
            if (is_mesh(port) or is_mesh(taken)) and first_conflict(port, [taken]) is not None:
                where = "on every node" if is_mesh(taken) else "on the nodes of its tasks"
                text = f'{label(port)} is already published by service "{owner}" {where}; choose another port'
                yield Fault(f"endpoint.ports[{index}].published", text)
                break
            if is_mesh(port) != is_mesh(taken) and _is_range(port, taken) and ranges_overlap(port, taken):
                text = f'overlaps the port range published by service "{owner}"; choose other ports'
                yield Fault(f"endpoint.ports[{index}].published", text)
                break


def _is_range(port: PublishedPort, other: PublishedPort) -> bool:
    return bool(port.published_first or other.published_first)
