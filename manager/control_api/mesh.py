"""The routing mesh as the control API sees it: its network, made when a service first needs it, and its ports."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network

from manager.control_api import names
from manager.control_api.neighbours import Neighbours
from manager.control_api.seams import NowMs, Records
from manager.control_api.validate_network import overlap, overlap_with_hosts
from manager.store.changes import expect, put
from manager.store.kinds import NETWORK
from manager.store.tables import View
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec
from shoal.errors import Conflict, Fault, Refused
from shoal.published_ports import MESH_NETWORK, first_collision, is_mesh, label, mesh_ports, ranges_meet

_CANDIDATES = [f"10.{second}.0.0/16" for second in range(255, 127, -1)]
"""Subnets for the mesh, the first that is free: wide, since every task behind such a port has an address there."""


async def ensure_network(store: Records, specs: Iterable[ServiceSpec], now_ms: NowMs) -> None:
    """Make the mesh's network when one of the specs needs it and there is none; call back one that is being removed.

    Raises:
        Refused: no subnet is free. Unavailable: etcd is away.
    """
    view = store.tables
    network = view.networks.get(MESH_NETWORK)
    if not any(map(mesh_ports, specs)) or (network is not None and not network.removing):
        return
    try:
        if network is None:
            await _make(store, now_ms())
        else:
            await _call_back(store, network)
    except Conflict:
        # Another call or another manager was faster; if it was a removal, the commit that follows says so.
        return


async def _make(store: Records, now_ms: int) -> None:
    spec = NetworkSpec(name=MESH_NETWORK, driver="overlay", subnet=_free_subnet(store.tables), ipv6=True)
    made = Network(spec=spec)
    made.meta.id = MESH_NETWORK
    made.meta.created_at_ms = made.meta.updated_at_ms = now_ms
    name, free = names.take("network", MESH_NETWORK, MESH_NETWORK)
    await store.commit([put(NETWORK, MESH_NETWORK, made), name], expects=[free])


async def _call_back(store: Records, network: Network) -> None:
    kept = Network()
    kept.CopyFrom(network)
    kept.removing = False
    await store.commit(
        [put(NETWORK, MESH_NETWORK, kept)], expects=[expect(NETWORK, MESH_NETWORK, network.meta.version)]
    )


def _free_subnet(view: View) -> str:
    for subnet in _CANDIDATES:
        faults = (*overlap("", subnet, view.networks, view.allocations), *overlap_with_hosts("", subnet, view))
        if not faults:
            return str(IPv4Network(subnet))
    raise Refused(
        "no subnet is free for the routing mesh: 10.128.0.0/9 is full; publish with mode=host, or remove networks"
    )


def unreachable(view: View, spec: ServiceSpec, coming: Mapping[str, Network]) -> Iterator[Fault]:
    """A port of the mesh for tasks whose networks all have no way out: answers to clients have none either.

    Args:
        spec: its networks are ids.
        coming: networks that the same call makes or changes.
    """
    known = dict(view.networks) | {network.meta.id: network for network in coming.values()}
    networks = [known[each.network] for each in spec.task.networks if each.network in known]
    if networks and mesh_ports(spec) and all(network.spec.internal for network in networks):
        yield Fault(
            "endpoint.ports", "all networks of the service are internal: publish none, or add one that is not internal"
        )


def port_conflicts(view: View, spec: ServiceSpec, neighbours: Neighbours) -> Iterator[Fault]:
    """Ports that another service has. Two may publish the same on their tasks' own nodes, but not beside the mesh."""
    for index, port in enumerate(spec.endpoint.ports):
        for owner, taken in neighbours.ports(view, spec.name):
            if (is_mesh(port) or is_mesh(taken)) and first_collision(port, [taken]) is not None:
                where = "on every node" if is_mesh(taken) else "on the nodes of its tasks"
                text = f'{label(port)} is published by service "{owner}" already, {where}; choose another'
                yield Fault(f"endpoint.ports[{index}].published", text)
                break
            if is_mesh(port) != is_mesh(taken) and _is_range(port, taken) and ranges_meet(port, taken):
                text = f'meets the ports that service "{owner}" publishes; choose others'
                yield Fault(f"endpoint.ports[{index}].published", text)
                break


def _is_range(port: PublishedPort, other: PublishedPort) -> bool:
    return bool(port.published_first or other.published_first)
