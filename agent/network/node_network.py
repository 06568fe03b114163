"""The `Networks` interface of the worker: asynchronous outside, one kernel thread inside."""

import asyncio
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import ParamSpec, TypeVar

from agent.assignments.cluster_diff import ClusterDiff
from agent.network.attachments import container_sockets
from agent.network.attachments.attach_batcher import AttachBatcher
from agent.network.attachments.attachment import Attachment, parse_alias
from agent.network.attachments.local_pool import next_address
from agent.network.attachments.namespace_reserve import NamespaceReserve
from agent.network.attachments.namespaces import Namespace, NamespacePool
from agent.network.attachments.task_attachment import new_attachment, recovered_attachment
from agent.network.balancing.blackhole_routes import BLACKHOLE_SECONDS
from agent.network.balancing.stale_flows import StaleFlows
from agent.network.cluster_state.derived_diff import DerivedDiff
from agent.network.cluster_state.derived_state import DerivedState
from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.overlay_tables import OverlaySubnet, OverlayTables
from agent.network.condition_reporter import ConditionReporter
from agent.network.datapath.datapath import Datapath
from agent.network.dns.dns_clients import DnsClients
from agent.network.dns.dns_server import DnsServer
from agent.network.dns.resolver_sockets import open_resolver_sockets
from agent.network.dns.upstream import HostResolvers, UpstreamResolvers
from agent.network.dns.zone import ZoneState
from agent.network.encryption.key_rollover import KeyRollover
from agent.network.firewalls.docker_forwarding import DockerForwarding
from agent.network.host import namespace_lock
from agent.network.netlink.connection import Connection
from agent.network.network_maintenance import NetworkMaintenance
from agent.network.network_settings import NetworkSettings
from agent.network.ports.host_ports import HostPorts
from agent.network.ports.port_reservations import PortReservations
from agent.network.probing.network_prober import NetworkProber
from agent.network.probing.path_monitor import PathMonitor
from agent.network.well_known import GATEWAY
from agent.worker.interfaces import Sockets
from agent.worker.sandbox import Sandbox
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.api.v1.task_pb2 import Task
from shoal.errors import ShoalError, Unavailable
from shoal.task_group import TaskGroup

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class _AttachedTask:
    """Resources of a task that this process attached itself."""

    namespace: Namespace
    sandbox: Sandbox


class NodeNetwork:
    """`agent.worker.interfaces.Networks` on the kernel of this host. Made by `run_node_network`, which also ends it.

    Everything that changes the kernel's tables runs in one thread, in the order of the calls; creating namespaces, the
    slow part, in another. Both are in the network namespace of the thread that runs the event loop.
    """

    def __init__(self, *, underlay_address: str, node_id: str, settings: NetworkSettings) -> None:
        self._underlay_address = ip_address(underlay_address)
        self._node_id = node_id
        self._settings = settings
        self._kernel = ThreadPoolExecutor(1, thread_name_prefix="datapath")
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="namespaces")
        self._resources = AsyncExitStack()
        self._reservations = PortReservations(self._underlay_address)
        self.condition = ConditionReporter(now_ms=lambda: time.time_ns() // 1_000_000)
        self._attached: dict[str, _AttachedTask] = {}
        self._detaching: deque[str] = deque()
        self._dns_clients = DnsClients()
        self._subnets: dict[str, OverlaySubnet] = {}
        self._last_local: IPv4Address | None = None
        self._sweep_due = asyncio.Event()
        self._dns = DnsServer(
            find_client=self._dns_clients.find,
            find_task=self._dns_clients.task_id,
            queries_per_second=settings.dns_queries_per_second,
            upstream=UpstreamResolvers(
                resolvers=(lambda: settings.upstream_resolvers) if settings.upstream_resolvers else HostResolvers(),
                timeout_seconds=settings.dns_timeout_seconds,
            ),
            ttl_seconds=settings.dns_ttl_seconds,
            shuffle=random.Random(),  # noqa: S311  (load balancing, not a secret)
        )

    async def _in_kernel(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._kernel, lambda: work(*args, **kwargs))

    async def _in_maker(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._maker, lambda: work(*args, **kwargs))

    async def start(self) -> None:
        """Create devices, table and resolver.

        Raises:
            InvalidInput: the underlay address is not this host's.
            Unavailable: the kernel lacks a feature; the text names it.
            Refused: another agent uses this network namespace.
        """
        resources = self._resources
        resources.callback(namespace_lock.lock_namespace(self._node_id).close)
        for executor in (self._kernel, self._maker):
            resources.callback(executor.shutdown)
        dns_sockets = open_resolver_sockets(GATEWAY)
        resources.callback(dns_sockets.close)
        self._datapath = await self._in_kernel(
            lambda: Datapath(
                underlay_address=self._underlay_address, settings=self._settings, resolver_ports=dns_sockets.ports
            )
        )
        resources.push_async_callback(self._in_kernel, self._datapath.close)
        self._batcher = AttachBatcher(links=self._datapath, in_kernel=self._in_kernel)
        self._derived = DerivedState(node_id=self._node_id, ipv6=self._has_ipv6)
        self._zone_state = ZoneState(ipv6=self._has_ipv6)
        await self._in_kernel(self._datapath.prepare)
        mtu = self._datapath.underlay.overlay_mtu
        self._namespaces = await self._in_maker(
            lambda: NamespacePool(connection=Connection(), mtu=mtu, ipv6=self._has_ipv6)
        )
        resources.push_async_callback(self._in_maker, self._namespaces.close)
        await self._in_maker(self._namespaces.make_first)
        self._reserve = NamespaceReserve(
            pool=self._namespaces,
            in_maker=self._in_maker,
            minimum=self._settings.spare_namespaces,
            clock=time.monotonic,
        )
        self.prober = NetworkProber(underlay=lambda: self._datapath.underlay, has_tunnel=self._datapath.has_tunnel_to)
        resources.callback(self.prober.close)
        self._path_monitor = PathMonitor(
            peers=partial(self._in_kernel, self._datapath.peers),
            check=self.prober.check_path,
            report=self.condition.set_path_faults,
        )
        self._host_ports = HostPorts(reservations=self._reservations)
        resources.callback(self._host_ports.close)
        flows = StaleFlows()
        resources.callback(flows.close)
        reconcile_tunnels = partial(self._in_kernel, self._datapath.reconcile_tunnels)
        self.key_rollover = KeyRollover(tunnels=self._datapath.tunnels, reconcile=reconcile_tunnels)
        docker = DockerForwarding(repaired=self._datapath.findings.add_repairs)
        self.maintenance = NetworkMaintenance(
            node_id=self._node_id,
            datapath=self._datapath,
            host=self._host_ports,
            flows=flows,
            in_kernel=self._in_kernel,
            condition=self.condition,
            find_blocked=lambda: docker.check(self._datapath.required_ports()),
            on_compared=self.key_rollover.on_compared,
        )
        await self.maintenance.inspect_host()
        await self._dns.start(dns_sockets)
        resources.push_async_callback(self._dns.stop)

    async def stop(self) -> None:
        """Release this process's resources; containers, their links and all tables stay as they are."""
        await self._resources.aclose()
        self._reservations.close()
        for attached in self._attached.values():
            os.close(attached.namespace.descriptor)
        self._attached.clear()

    def description(self) -> NodeDescription:
        """The network's part of the node's description: address, VTEP, MTU and routes of the host."""
        underlay = self._datapath.underlay
        return NodeDescription(
            address=str(underlay.address),
            vtep_mac=underlay.vtep_mac,
            underlay_mtu=underlay.mtu,
            host_prefixes=self.condition.current.host_prefixes,
            local_pool=str(self._datapath.local_pool),
            vxlan_port=self._settings.vxlan_port,
            features=self._datapath.tunnels.features,
            ipv6=self._has_ipv6,
            ipv6_unavailable_reason=self._datapath.ipv6_unavailable_reason,
        )

    async def apply(self, change: ClusterDiff) -> None:
        """See `Networks.apply`. Names are added after the routes that they need, and removed before them.

        Raises:
            InvalidInput: the records are invalid; nothing is changed.
            Unavailable: the kernel refused part of it; the next call or reconciliation tries again.
        """
        diff = await self._in_kernel(self._derived.apply, change)
        self._update_subnets(diff.tables)
        names_first = diff.only_removes_names
        if names_first:
            self._update_names(diff)
        try:
            await self.maintenance.apply(diff)
        finally:
            if not names_first:
                self._update_names(diff)
            self.key_rollover.on_applied()
            if self._datapath.blackholes.is_active:
                self._sweep_due.set()

    def _update_subnets(self, diff: Diff[OverlayTables]) -> None:
        for network_id in diff.removed.subnets:
            self._subnets.pop(network_id, None)
        self._subnets.update(diff.added.subnets)

    def _update_names(self, diff: DerivedDiff) -> None:
        self._zone_state.apply(diff.names, diff.networks)
        self._dns.zone = self._zone_state.zone

    async def attach(self, task: Task, internal_only: bool = False, resolvers: Sequence[str] = ()) -> Sandbox:
        """See `Networks.attach`.

        Args:
            internal_only: no egress, whatever the networks; without networks, loopback only.
            resolvers: resolvers of names outside the cluster; none means the node's.
        """
        if (attached := self._attached.get(task.id)) is None:
            attached = await self._attach(
                replace(self._new_attachment(task, internal_only), resolvers=_addresses(resolvers))
            )
        return replace(attached.sandbox, netns_fd=os.dup(attached.namespace.descriptor))

    async def _attach(self, attachment: Attachment) -> _AttachedTask:
        task_id = attachment.task_id
        self._host_ports.mesh.release_for(attachment.ports)
        self._reservations.reserve(task_id, attachment.ports)
        self._dns_clients.add(attachment)
        namespace: Namespace | None = None
        try:
            namespace = await self._reserve.acquire()
            await self._batcher.attach(namespace, replace(attachment, mac=namespace.mac))
        except BaseException:
            # After a cancellation the thread may still be working: the clean-up must queue behind it.
            self._kernel.submit(self._undo_attach, task_id, namespace)
            self._release(task_id)
            raise
        namespace.connection.close()
        addresses, addresses6 = (
            {network: str(address) for network, address in each.items()}
            for each in (attachment.addresses, attachment.addresses6)
        )
        sandbox = Sandbox(namespace.descriptor, addresses, str(GATEWAY), addresses6)
        self._attached[task_id] = _AttachedTask(namespace, sandbox)
        return self._attached[task_id]

    def _undo_attach(self, task_id: str, namespace: Namespace | None) -> None:
        try:
            self._datapath.detach(task_id)
            self._datapath.sweep()
        except Unavailable as error:
            log.warning("Could not clean up after attaching task %s failed: %s", task_id, error)
        if namespace is not None:
            namespace.close()

    def _new_attachment(self, task: Task, internal_only: bool) -> Attachment:
        """The attachment to create; link and MAC address are not known yet."""
        local: IPv4Address | None = None
        if not task.addresses and not internal_only:
            local = next_address(self._datapath.local_pool, self._dns_clients.addresses(), self._last_local)
            self._last_local = local
        return new_attachment(task, self._subnets, local, internal_only=internal_only, ipv6=self._has_ipv6)

    @property
    def _has_ipv6(self) -> bool:
        return not self._datapath.ipv6_unavailable_reason

    @property
    def dns_ttl_seconds(self) -> float:
        """See `Networks.dns_ttl_seconds`: all nodes have the same setting."""
        return self._settings.dns_ttl_seconds

    async def withdraw(self, task_id: str) -> None:
        """See `Networks.withdraw`. The ports stay reserved until the task has stopped."""
        await self._in_kernel(self._datapath.withdraw, task_id)

    async def detach(self, task_id: str) -> None:
        """See `Networks.detach`. The link itself is deleted a moment later, together with others."""
        attached = self._attached.pop(task_id, None)
        self._detaching.append(task_id)
        await self._in_kernel(self._detach_pending)
        self._release(task_id)
        if attached is not None:
            os.close(attached.namespace.descriptor)
        self._sweep_due.set()

    def _detach_pending(self) -> None:
        """Detach all pending tasks in one transaction; later calls find them done."""
        pending = [self._detaching.popleft() for _ in range(len(self._detaching))]
        self._datapath.detach(*pending)

    def _release(self, task_id: str) -> None:
        self._reservations.release(task_id)
        self._dns_clients.remove(task_id)

    async def recover(self, live: Sequence[Task]) -> None:
        """See `Networks.recover`. A published port that another program uses by now is logged, and kept."""
        links = await self._in_kernel(self._datapath.container_links)
        found = {alias.task_id: (link, alias) for link in links if (alias := parse_alias(link.alias)) is not None}
        recovered = [
            recovered_attachment(task, *found[task.id], ipv6=self._has_ipv6) for task in live if task.id in found
        ]
        await self._in_kernel(self._datapath.adopt, recovered)
        self._sweep_due.set()
        for attachment in recovered:
            self._dns_clients.add(attachment)
            try:
                self._reservations.reserve(attachment.task_id, attachment.ports)
            except ShoalError as error:
                log.warning("Task %s keeps its published port although it is in use: %s", attachment.task_id, error)

    async def sockets(self, pid: int) -> Sockets:
        """See `Networks.sockets`."""
        return await asyncio.to_thread(container_sockets.inspect, pid)

    async def reconcile(self) -> Sequence[str]:
        """Compare the kernel's actual state with the desired one and repair it; one line for each repair."""
        return await self.maintenance.reconcile()

    async def reset(self) -> None:
        """Remove everything of Shoal's from this host's network; running containers lose theirs."""
        await self._dns.stop()
        await self._in_maker(self._namespaces.close)
        await self._in_kernel(self._datapath.reset)

    async def run(self) -> None:
        """Run the periodic work until cancelled: spare namespaces, link cleanup, reconciliation."""
        async with TaskGroup() as work:
            work.create_task(self._reserve.run(), name="namespace reserve")
            work.create_task(self._sweep(), name="link cleanup")
            work.create_task(self.key_rollover.run(), name="key rollover")
            work.create_task(self._path_monitor.run(), name="path monitor")
            work.create_task(self.maintenance.watch_ports(), name="host port scan")
            work.create_task(self.maintenance.run(self._settings.reconcile_seconds), name="network reconciliation")

    async def _sweep(self) -> None:
        while True:
            await self._sweep_due.wait()
            await asyncio.sleep(self._settings.sweep_seconds)
            self._sweep_due.clear()
            if await self._in_kernel(self._datapath.sweep):
                asyncio.get_running_loop().call_later(BLACKHOLE_SECONDS, self._sweep_due.set)


def _addresses(texts: Sequence[str]) -> tuple[IPv4Address | IPv6Address, ...]:
    return tuple(map(ip_address, texts))
