"""The networks of this node's tasks: attach, withdraw, detach, recover. For the event loop."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from agent.network.attachments.attach_batcher import AttachBatcher
from agent.network.attachments.attachment import Attachment, parse_alias
from agent.network.attachments.local_pool import next_address
from agent.network.attachments.namespace_reserve import NamespaceReserve
from agent.network.attachments.namespaces import Namespace
from agent.network.attachments.task_attachment import new_attachment, recovered_attachment
from agent.network.balancing.blackhole_routes import BLACKHOLE_SECONDS
from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.overlay_tables import OverlaySubnet, OverlayTables
from agent.network.datapath.datapath import Datapath
from agent.network.dns.dns_clients import DnsClients
from agent.network.kernel_threads import KernelThreads
from agent.network.ports.mesh_ports import MeshPorts
from agent.network.ports.port_reservations import PortReservations
from agent.network.well_known import GATEWAY, GATEWAY6, NODE_POOL6
from agent.worker.sandbox import NO_OPTIONS, ORDINARY, NetworkOptions, Sandbox
from shoal.api.v1.task_pb2 import Task, TaskLink
from shoal.errors import ShoalError, Unavailable
from shoal.fault_points.injection import fault

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _AttachedTask:
    """Resources of a task that this process attached itself."""

    namespace: Namespace
    sandbox: Sandbox


class TaskNetworks:
    """Attachments of this node's tasks, with their ports and their place among the DNS clients.

    Args:
        threads: the datapath belongs to the kernel thread.
        mesh_ports: releases ports that a task reserves.
        sweep_seconds: how long links of stopped tasks are collected.
    """

    def __init__(
        self,
        *,
        threads: KernelThreads,
        datapath: Datapath,
        reserve: NamespaceReserve,
        reservations: PortReservations,
        mesh_ports: MeshPorts,
        dns_clients: DnsClients,
        sweep_seconds: float,
    ) -> None:
        self._threads = threads
        self._datapath = datapath
        self._reserve = reserve
        self._batcher = AttachBatcher(links=datapath.links, in_kernel=threads.in_kernel)
        self._reservations = reservations
        self._mesh_ports = mesh_ports
        self._dns_clients = dns_clients
        self._sweep_seconds = sweep_seconds
        self._ipv6 = not datapath.ipv6_unavailable_reason
        self._attached: dict[str, _AttachedTask] = {}
        self._detaching: deque[str] = deque()
        self._subnets: dict[str, OverlaySubnet] = {}
        self._last_local: IPv4Address | None = None
        self._sweep_due = asyncio.Event()

    def close(self) -> None:
        """Release this process's hold on namespaces; those with a process in them stay."""
        for attached in self._attached.values():
            os.close(attached.namespace.descriptor)
        self._attached.clear()

    def update_subnets(self, diff: Diff[OverlayTables]) -> None:
        """Follow a change of the tables: tasks are attached to these subnets."""
        for network_id in diff.removed.subnets:
            self._subnets.pop(network_id, None)
        self._subnets.update(diff.added.subnets)

    def request_sweep(self) -> None:
        """Have links of stopped tasks, and expired blackhole routes, deleted soon."""
        self._sweep_due.set()

    async def attach(self, task: Task, options: NetworkOptions) -> Sandbox:
        """See `Networks.attach`."""
        if (attached := self._attached.get(task.id)) is None:
            attached = await self._attach(self._new_attachment(task, options))
        return replace(attached.sandbox, netns_fd=os.dup(attached.namespace.descriptor))

    async def _attach(self, attachment: Attachment) -> _AttachedTask:
        task_id = attachment.task_id
        self._mesh_ports.release_for(attachment.ports)
        self._reservations.reserve(task_id, attachment.ports)
        self._dns_clients.add(attachment)
        namespace: Namespace | None = None
        try:
            namespace = await self._reserve.acquire()
            fault("agent.attach.namespace")
            attachment = replace(attachment, mac=attachment.mac or namespace.mac)
            await self._batcher.attach(namespace, attachment)
        except BaseException:
            # After a cancellation the thread may still be working: the clean-up must queue behind it.
            self._threads.submit(lambda: self._undo_attach(task_id, namespace))
            self._release(task_id)
            raise
        namespace.connection.close()
        self._dns_clients.replace(attachment)
        addresses, addresses6 = (
            {network: str(address) for network, address in each.items()}
            for each in (attachment.addresses, attachment.addresses6)
        )
        sandbox = Sandbox(namespace.descriptor, addresses, str(GATEWAY), addresses6)
        self._attached[task_id] = _AttachedTask(namespace, sandbox)
        return self._attached[task_id]

    def _undo_attach(self, task_id: str, namespace: Namespace | None) -> None:
        try:
            self._datapath.links.detach(task_id)
            self._datapath.links.sweep()
        except Unavailable as error:
            log.warning("Could not clean up after attaching task %s failed: %s", task_id, error)
        if namespace is not None:
            namespace.close()

    async def change(self, task: Task, options: NetworkOptions, netns_fd: int) -> Collection[str]:
        """See `Networks.change`."""
        before = self._dns_clients.attachment(task.id)
        attachment = self._new_attachment(task, options, before)
        attachment = await self._threads.in_kernel(self._datapath.links.change, attachment, netns_fd)
        self._dns_clients.replace(attachment)
        return tuple(map(str, attachment.all_addresses))

    def task_link(self, task_id: str) -> TaskLink:
        """See `Networks.task_link`."""
        attachment = self._dns_clients.attachment(task_id)
        if attachment is None:
            return TaskLink()
        link = TaskLink(mac_address=attachment.mac, gateway=str(GATEWAY))
        if (local := attachment.addresses.get("")) is not None:
            link.pool_address = f"{local}/{self._datapath.local_pool.prefixlen}"
        if attachment.addresses6:
            link.gateway6 = str(GATEWAY6)
        if (local6 := attachment.addresses6.get("")) is not None:
            link.pool_address6 = f"{local6}/{NODE_POOL6.prefixlen}"
        return link

    def pool_address(self, container_id: str) -> str:
        """See `Networks.pool_address`."""
        return self._dns_clients.local_address(container_id)

    def _new_attachment(self, task: Task, options: NetworkOptions, before: Attachment | None = None) -> Attachment:
        """The attachment to create, or to make of an earlier one; the link is not known yet."""
        local: IPv4Address | None = None
        if options.node_pool or (not task.addresses and not options.internal_only):
            local = before.addresses.get("") if before is not None else None
            if local is None:
                local = next_address(self._datapath.local_pool, self._dns_clients.addresses(), self._last_local)
                self._last_local = local
        return new_attachment(task, self._subnets, local, options, ipv6=self._ipv6)

    async def withdraw(self, task_id: str) -> None:
        """See `Networks.withdraw`. The ports stay reserved until the task has stopped."""
        await self._threads.in_kernel(self._datapath.links.withdraw, task_id)
        fault("agent.stop.withdrawn")

    async def detach(self, task_id: str) -> None:
        """See `Networks.detach`. The link itself is deleted a moment later, together with others."""
        self._detaching.append(task_id)
        await self._threads.in_kernel(self._detach_pending)
        self._release(task_id)
        if (attached := self._attached.pop(task_id, None)) is not None:
            os.close(attached.namespace.descriptor)
        self.request_sweep()

    def _detach_pending(self) -> None:
        """Detach all pending tasks in one transaction; later calls find them done."""
        pending = [self._detaching.popleft() for _ in range(len(self._detaching))]
        self._datapath.links.detach(*pending)

    def _release(self, task_id: str) -> None:
        self._reservations.release(task_id)
        self._dns_clients.remove(task_id)

    async def recover(self, live: Sequence[Task], options: Mapping[str, NetworkOptions] = NO_OPTIONS) -> None:
        """See `Networks.recover`. A published port that another program uses by now is logged, and kept."""
        links = await self._threads.in_kernel(self._datapath.links.container_links)
        found = {alias.task_id: (link, alias) for link in links if (alias := parse_alias(link.alias)) is not None}
        recovered = [
            recovered_attachment(task, *found[task.id], options.get(task.id, ORDINARY), ipv6=self._ipv6)
            for task in live
            if task.id in found
        ]
        await self._threads.in_kernel(self._datapath.links.adopt, recovered)
        self.request_sweep()
        for attachment in recovered:
            self._dns_clients.add(attachment)
            try:
                self._reservations.reserve(attachment.task_id, attachment.ports)
            except ShoalError as error:
                log.warning("Task %s keeps its published port although it is in use: %s", attachment.task_id, error)

    async def run(self) -> None:
        """Delete links of stopped tasks, and expired blackhole routes, until cancelled."""
        while True:
            await self._sweep_due.wait()
            await asyncio.sleep(self._sweep_seconds)
            self._sweep_due.clear()
            try:
                is_due_again = await self._threads.in_kernel(self._datapath.links.sweep)
            except Unavailable as error:
                log.error("Deleting links of stopped tasks failed; retrying: %s", error)
                is_due_again = True
            if is_due_again:
                asyncio.get_running_loop().call_later(BLACKHOLE_SECONDS, self._sweep_due.set)
