"""The node's network from its start to its end."""

import random
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from agent.network.attachments.namespace_reserve import NamespaceReserve
from agent.network.attachments.namespaces import NamespacePool
from agent.network.balancing.stale_flows import StaleFlows
from agent.network.cluster_state.derived_state import DerivedState
from agent.network.condition_reporter import ConditionReporter
from agent.network.datapath.datapath import Datapath
from agent.network.dns.dns_clients import DnsClients
from agent.network.dns.dns_server import DnsServer
from agent.network.dns.resolver_sockets import ResolverSockets, open_resolver_sockets
from agent.network.dns.upstream import UpstreamResolvers, resolvers_of
from agent.network.dns.zone import ZoneState
from agent.network.encryption.key_rollover import KeyRollover
from agent.network.firewalls.docker_forwarding import DockerForwarding
from agent.network.host import namespace_lock
from agent.network.ip_types import Address
from agent.network.kernel_threads import KernelThreads
from agent.network.network_maintenance import NetworkMaintenance
from agent.network.network_settings import NetworkSettings
from agent.network.node_network import NetworkParts, NodeNetwork
from agent.network.ports.host_ports import HostPorts
from agent.network.ports.port_reservations import PortReservations
from agent.network.probing.network_prober import NetworkProber
from agent.network.probing.path_monitor import PathMonitor
from agent.network.task_networks import TaskNetworks
from agent.network.well_known import GATEWAY
from shoal.task_group import TaskGroup


@asynccontextmanager
async def run_node_network(
    *, underlay_address: str, node_id: str, settings: NetworkSettings
) -> AsyncGenerator[NodeNetwork]:
    """The network of this node, with its periodic work in the background. See `open_node_network`."""
    async with (
        open_node_network(underlay_address=underlay_address, node_id=node_id, settings=settings) as network,
        TaskGroup() as work,
    ):
        background = work.create_task(network.run(), name="network")
        yield network
        background.cancel()


@asynccontextmanager
async def open_node_network(
    *, underlay_address: str, node_id: str, settings: NetworkSettings
) -> AsyncGenerator[NodeNetwork]:
    """The network of this node: devices, table, resolver. Containers keep their network when it ends.

    Args:
        underlay_address: this host's address, by which other nodes reach it.
        node_id: this node's id, as in peers and endpoints.
    Raises:
        InvalidInput: the address is not this host's.
        Unavailable: the kernel lacks a feature; the text names it.
        Refused: another agent uses this network namespace.
    """
    async with AsyncExitStack() as opened:
        kernel = await _open_kernel_parts(opened, ip_address(underlay_address), node_id, settings)
        parts = await _open_parts(opened, kernel, node_id, settings)
        await parts.maintenance.inspect_host()
        yield NodeNetwork(parts=parts, settings=settings)


@dataclass(frozen=True, kw_only=True)
class _KernelParts:
    """What the other parts stand on."""

    threads: KernelThreads
    reservations: PortReservations
    dns_sockets: ResolverSockets
    datapath: Datapath
    namespaces: NamespacePool


async def _open_kernel_parts(
    opened: AsyncExitStack, address: Address, node_id: str, settings: NetworkSettings
) -> _KernelParts:
    opened.callback(namespace_lock.lock_namespace(node_id).close)
    reservations = PortReservations(address)
    opened.callback(reservations.close)
    threads = KernelThreads()
    opened.callback(threads.close)
    sockets = open_resolver_sockets(GATEWAY)
    opened.callback(sockets.close)
    datapath = await threads.in_kernel(
        partial(Datapath.open, underlay_address=address, settings=settings, resolver_ports=sockets.ports)
    )
    opened.push_async_callback(threads.in_kernel, datapath.close)
    ipv6 = not datapath.ipv6_unavailable_reason
    namespaces = await threads.in_maker(NamespacePool.open, mtu=datapath.underlay.overlay_mtu, ipv6=ipv6)
    opened.push_async_callback(threads.in_maker, namespaces.close)
    return _KernelParts(
        threads=threads, reservations=reservations, dns_sockets=sockets, datapath=datapath, namespaces=namespaces
    )


async def _open_parts(
    opened: AsyncExitStack, kernel: _KernelParts, node_id: str, settings: NetworkSettings
) -> NetworkParts:
    threads, datapath = kernel.threads, kernel.datapath
    ipv6 = not datapath.ipv6_unavailable_reason
    prober = NetworkProber(underlay=lambda: datapath.underlay, has_tunnel=datapath.has_tunnel_to)
    opened.callback(prober.close)
    host_ports = HostPorts(reservations=kernel.reservations)
    opened.callback(host_ports.close)
    condition = ConditionReporter(now_ms=lambda: time.time_ns() // 1_000_000)
    reconcile_tunnels = partial(threads.in_kernel, datapath.reconcile_tunnels)
    key_rollover = KeyRollover(tunnels=datapath.tunnels, reconcile=reconcile_tunnels)
    dns_clients, reserve = DnsClients(), _reserve(kernel, settings)
    return NetworkParts(
        threads=threads,
        datapath=datapath,
        namespaces=kernel.namespaces,
        reserve=reserve,
        tasks=_task_networks(opened, kernel, reserve, host_ports, dns_clients, settings),
        derived=DerivedState(node_id=node_id, ipv6=ipv6),
        zone_state=ZoneState(ipv6=ipv6),
        dns=await _start_resolver(opened, kernel.dns_sockets, dns_clients, settings),
        prober=prober,
        path_monitor=_path_monitor(kernel, prober, condition),
        key_rollover=key_rollover,
        maintenance=_maintenance(opened, node_id, kernel, host_ports, condition, key_rollover),
        condition=condition,
    )


def _reserve(kernel: _KernelParts, settings: NetworkSettings) -> NamespaceReserve:
    return NamespaceReserve(
        pool=kernel.namespaces,
        in_maker=kernel.threads.in_maker,
        minimum=settings.spare_namespaces,
        clock=time.monotonic,
    )


def _task_networks(
    opened: AsyncExitStack,
    kernel: _KernelParts,
    reserve: NamespaceReserve,
    host_ports: HostPorts,
    dns_clients: DnsClients,
    settings: NetworkSettings,
) -> TaskNetworks:
    tasks = TaskNetworks(
        threads=kernel.threads,
        datapath=kernel.datapath,
        reserve=reserve,
        reservations=kernel.reservations,
        mesh_ports=host_ports.mesh,
        dns_clients=dns_clients,
        sweep_seconds=settings.sweep_seconds,
    )
    opened.callback(tasks.close)
    return tasks


def _path_monitor(kernel: _KernelParts, prober: NetworkProber, condition: ConditionReporter) -> PathMonitor:
    return PathMonitor(
        peers=partial(kernel.threads.in_kernel, kernel.datapath.peers),
        check=prober.check_path,
        report=condition.set_path_faults,
    )


def _maintenance(
    opened: AsyncExitStack,
    node_id: str,
    kernel: _KernelParts,
    host_ports: HostPorts,
    condition: ConditionReporter,
    key_rollover: KeyRollover,
) -> NetworkMaintenance:
    datapath, flows = kernel.datapath, StaleFlows()
    opened.callback(flows.close)
    docker = DockerForwarding(repaired=datapath.findings.add_repairs)
    return NetworkMaintenance(
        node_id=node_id,
        datapath=datapath,
        host=host_ports,
        flows=flows,
        in_kernel=kernel.threads.in_kernel,
        condition=condition,
        find_blocked=lambda: docker.check(datapath.required_ports()),
        on_compared=key_rollover.on_compared,
    )


async def _start_resolver(
    opened: AsyncExitStack, sockets: ResolverSockets, clients: DnsClients, settings: NetworkSettings
) -> DnsServer:
    server = DnsServer(
        find_client=clients.find,
        find_task=clients.task_id,
        queries_per_second=settings.dns_queries_per_second,
        upstream=UpstreamResolvers(
            resolvers=resolvers_of(settings.upstream_resolvers),
            timeout_seconds=settings.dns_timeout_seconds,
        ),
        ttl_seconds=settings.dns_ttl_seconds,
        shuffle=random.Random(),  # noqa: S311  (load balancing, not a secret)
    )
    await server.start(sockets)
    opened.push_async_callback(server.stop)
    return server
