"""The `Networks` interface of the worker: asynchronous outside, one kernel thread inside."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from agent.assignments.cluster_diff import ClusterDiff
from agent.network.attachments import container_sockets
from agent.network.attachments.namespace_reserve import NamespaceReserve
from agent.network.attachments.namespaces import NamespacePool
from agent.network.cluster_state.derived_diff import DerivedDiff
from agent.network.cluster_state.derived_state import DerivedState
from agent.network.condition_reporter import ConditionReporter
from agent.network.datapath.datapath import Datapath
from agent.network.dns.dns_server import DnsServer
from agent.network.dns.zone import ZoneState
from agent.network.encryption.key_rollover import KeyRollover
from agent.network.kernel_threads import KernelThreads
from agent.network.network_maintenance import NetworkMaintenance
from agent.network.network_settings import NetworkSettings
from agent.network.probing.network_prober import NetworkProber
from agent.network.probing.path_monitor import PathMonitor
from agent.network.task_networks import TaskNetworks
from agent.worker.interfaces import Sockets
from agent.worker.sandbox import NO_OPTIONS, ORDINARY, NetworkOptions, Sandbox
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.api.v1.task_pb2 import Task, TaskLink
from shoal.task_group import TaskGroup


@dataclass(frozen=True, kw_only=True)
class NetworkParts:
    """What a node's network consists of. `open_node_network` creates and closes the parts."""

    threads: KernelThreads
    datapath: Datapath
    namespaces: NamespacePool
    reserve: NamespaceReserve
    tasks: TaskNetworks
    derived: DerivedState
    zone_state: ZoneState
    dns: DnsServer
    prober: NetworkProber
    path_monitor: PathMonitor
    key_rollover: KeyRollover
    maintenance: NetworkMaintenance
    condition: ConditionReporter


class NodeNetwork:
    """`agent.worker.interfaces.Networks` on this host's kernel. Created by `open_node_network`, which also ends it.

    Everything that changes the kernel's tables runs in one thread, in the order of the calls; creating namespaces, the
    slow part, in another.
    """

    def __init__(self, *, parts: NetworkParts, settings: NetworkSettings) -> None:
        self._parts = parts
        self._settings = settings
        self.condition = parts.condition
        self.prober = parts.prober
        self.key_rollover = parts.key_rollover
        self.maintenance = parts.maintenance

    def description(self) -> NodeDescription:
        """The network's part of the node's description: address, VTEP, MTU and routes of the host."""
        datapath = self._parts.datapath
        return NodeDescription(
            address=str(datapath.underlay.address),
            vtep_mac=datapath.underlay.vtep_mac,
            underlay_mtu=datapath.underlay.mtu,
            host_prefixes=self.condition.current.host_prefixes,
            local_pool=str(datapath.local_pool),
            vxlan_port=self._settings.vxlan_port,
            features=datapath.tunnels.features,
            ipv6=not datapath.ipv6_unavailable_reason,
            ipv6_unavailable_reason=datapath.ipv6_unavailable_reason,
        )

    async def apply(self, change: ClusterDiff) -> None:
        """See `Networks.apply`. Names are added after the routes that they need, and removed before them.

        Raises:
            InvalidInput: the records are invalid; nothing is changed.
            Unavailable: the kernel refused part of it; the next call or reconciliation tries again.
        """
        parts = self._parts
        diff = await parts.threads.in_kernel(parts.derived.apply, change)
        parts.tasks.update_subnets(diff.tables)
        names_first = diff.only_removes_names
        if names_first:
            self._update_names(diff)
        try:
            await self.maintenance.apply(diff)
        finally:
            if not names_first:
                self._update_names(diff)
            self.key_rollover.on_applied()
            if parts.datapath.blackholes.is_active:
                parts.tasks.request_sweep()

    def _update_names(self, diff: DerivedDiff) -> None:
        self._parts.zone_state.apply(diff.names, diff.networks)
        self._parts.dns.zone = self._parts.zone_state.zone

    @property
    def dns_ttl_seconds(self) -> float:
        """See `Networks.dns_ttl_seconds`: all nodes have the same setting."""
        return self._settings.dns_ttl_seconds

    async def attach(self, task: Task, options: NetworkOptions = ORDINARY) -> Sandbox:
        """See `Networks.attach`."""
        return await self._parts.tasks.attach(task, options)

    async def change(self, task: Task, options: NetworkOptions, netns_fd: int) -> Collection[str]:
        """See `Networks.change`."""
        return await self._parts.tasks.change(task, options, netns_fd)

    def task_link(self, task_id: str) -> TaskLink:
        """See `Networks.task_link`."""
        return self._parts.tasks.task_link(task_id)

    def pool_address(self, container_id: str) -> str:
        """See `Networks.pool_address`."""
        return self._parts.tasks.pool_address(container_id)

    async def withdraw(self, task_id: str) -> None:
        """See `Networks.withdraw`."""
        await self._parts.tasks.withdraw(task_id)

    async def detach(self, task_id: str) -> None:
        """See `Networks.detach`."""
        await self._parts.tasks.detach(task_id)

    async def recover(self, live: Sequence[Task], options: Mapping[str, NetworkOptions] = NO_OPTIONS) -> None:
        """See `Networks.recover`."""
        await self._parts.tasks.recover(live, options)

    async def sockets(self, pid: int) -> Sockets:
        """See `Networks.sockets`."""
        return await asyncio.to_thread(container_sockets.inspect, pid)

    async def reconcile(self) -> Sequence[str]:
        """Compare the kernel's actual state with the desired one and repair it; one line for each repair."""
        return await self.maintenance.reconcile()

    async def reset(self) -> None:
        """Remove everything of Shoal's from this host's network; running containers lose theirs."""
        parts = self._parts
        await parts.dns.stop()
        await parts.threads.in_maker(parts.namespaces.close)
        await parts.threads.in_kernel(parts.datapath.reset)

    async def run(self) -> None:
        """Run the periodic work until cancelled: spare namespaces, link cleanup, reconciliation."""
        parts = self._parts
        async with TaskGroup() as work:
            work.create_task(parts.reserve.run(), name="namespace reserve")
            work.create_task(parts.tasks.run(), name="link cleanup")
            work.create_task(parts.key_rollover.run(), name="key rollover")
            work.create_task(parts.path_monitor.run(), name="path monitor")
            work.create_task(parts.maintenance.watch_ports(), name="host port scan")
            work.create_task(parts.maintenance.run(self._settings.reconcile_seconds), name="network reconciliation")
