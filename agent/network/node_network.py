"""The node's datapath and names behind the agent's seam: asynchronous outside, one kernel thread inside."""

import asyncio
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import ParamSpec, TypeVar

from agent.network import container_sockets, ownership
from agent.network.arrivals import Arrivals
from agent.network.attachment import Attachment, read_alias
from agent.network.balancing.silence import SECONDS as SILENT_SECONDS
from agent.network.beside_docker import BesideDocker
from agent.network.condition import Condition
from agent.network.datapath import Datapath
from agent.network.dns.askers import Askers
from agent.network.dns.listening import listening
from agent.network.dns.server import DnsServer
from agent.network.dns.upstream import HostResolvers, Upstream
from agent.network.dns.zone import NameTable
from agent.network.encryption.keeper import Keeper
from agent.network.flows import Flows
from agent.network.host_ports import HostPorts
from agent.network.local_pool import next_address
from agent.network.meaning import Meaning, Understood
from agent.network.names import GATEWAY
from agent.network.namespaces import Namespace, NamespacePool
from agent.network.netlink.connection import Connection
from agent.network.path_watch import PathWatch
from agent.network.ports import PortHolder
from agent.network.probing import Probing
from agent.network.settings import NetworkSettings
from agent.network.spares import Spares
from agent.network.tables import Subnet
from agent.network.upkeep import Upkeep
from agent.network.wanted import adopted, attachment_of
from agent.worker.sandbox import Sandbox
from agent.worker.seams import Sockets
from agent.worker.table_change import TableChange
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.api.v1.task_pb2 import Task
from shoal.errors import ShoalError, Unavailable
from shoal.task_group import TaskGroup

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class _Held:
    """What this process holds for a task that it attached itself."""

    namespace: Namespace
    sandbox: Sandbox


class NodeNetwork:
    """`agent.worker.seams.Networks` on the kernel of this host. Made by `node_network`, which also ends it.

    Everything that touches the kernel's tables runs in one thread, in the order of the calls; making namespaces, the
    slow part, in another. Both are in the network namespace of the thread that runs the event loop.
    """

    def __init__(self, *, underlay_address: str, node_id: str, settings: NetworkSettings) -> None:
        self._underlay_address = ip_address(underlay_address)
        self._node_id = node_id
        self._settings = settings
        self._kernel = ThreadPoolExecutor(1, thread_name_prefix="datapath")
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="namespaces")
        self._opened = AsyncExitStack()
        self._ports = PortHolder(self._underlay_address)
        self.condition = Condition(now_ms=lambda: time.time_ns() // 1_000_000)
        self._held: dict[str, _Held] = {}
        self._leaving: deque[str] = deque()
        self._askers = Askers()
        self._subnets: Mapping[str, Subnet] = {}
        self._last_local: IPv4Address | None = None
        self._ended = asyncio.Event()
        self._dns = DnsServer(
            find_asker=self._askers.find,
            find_task=self._askers.task,
            questions_per_second=settings.dns_questions_per_second,
            upstream=Upstream(
                resolvers=(lambda: settings.upstream_resolvers) if settings.upstream_resolvers else HostResolvers(),
                timeout_seconds=settings.dns_timeout_seconds,
            ),
            ttl_seconds=settings.dns_ttl_seconds,
            shuffle=random.Random(),  # noqa: S311  (balance, no secret)
        )

    async def _in_kernel(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._kernel, lambda: work(*args, **kwargs))

    async def _in_maker(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._maker, lambda: work(*args, **kwargs))

    async def start(self) -> None:
        """Make devices, table and resolver.

        Raises:
            InvalidInput: the underlay address is not this host's.
            Unavailable: the kernel lacks something, which the text names.
            Refused: another agent has this network namespace.
        """
        opened = self._opened
        opened.callback(ownership.take(self._node_id).close)
        for executor in (self._kernel, self._maker):
            opened.callback(executor.shutdown)
        at = listening(GATEWAY)
        opened.callback(at.close)
        self._datapath = await self._in_kernel(
            lambda: Datapath(underlay_address=self._underlay_address, settings=self._settings, resolver_ports=at.ports)
        )
        opened.push_async_callback(self._in_kernel, self._datapath.close)
        self._arrivals = Arrivals(links=self._datapath, in_kernel=self._in_kernel)
        self._meaning = Meaning(node_id=self._node_id, ipv6=self._has_ipv6)
        self._names = NameTable(ipv6=self._has_ipv6)
        await self._in_kernel(self._datapath.prepare)
        mtu = self._datapath.underlay.overlay_mtu
        self._pool = await self._in_maker(lambda: NamespacePool(connection=Connection(), mtu=mtu, ipv6=self._has_ipv6))
        opened.push_async_callback(self._in_maker, self._pool.close)
        await self._in_maker(self._pool.begin)
        self._spares = Spares(
            pool=self._pool, in_maker=self._in_maker, least=self._settings.spare_namespaces, clock=time.monotonic
        )
        self.probing = Probing(underlay=lambda: self._datapath.underlay, has_tunnel=self._datapath.leads_to)
        opened.callback(self.probing.close)
        self._paths = PathWatch(
            peers=partial(self._in_kernel, self._datapath.peers),
            look=self.probing.look,
            note=self.condition.note_paths,
        )
        self._host = HostPorts(holder=self._ports)
        opened.callback(self._host.close)
        flows = Flows()
        opened.callback(flows.close)
        tend = partial(self._in_kernel, self._datapath.tend)
        self.encryption = Keeper(tunnels=self._datapath.tunnels, look=tend)
        docker = BesideDocker(repaired=self._datapath.findings.repaired)
        self.upkeep = Upkeep(
            node_id=self._node_id,
            datapath=self._datapath,
            host=self._host,
            flows=flows,
            in_kernel=self._in_kernel,
            condition=self.condition,
            obstacles=lambda: docker.look(self._datapath.ports()),
            compared=self.encryption.compared,
        )
        await self.upkeep.look_around()
        await self._dns.start(at)
        opened.push_async_callback(self._dns.stop)

    async def stop(self) -> None:
        """Let go of this process's part; containers, their links and all tables stay as they are."""
        await self._opened.aclose()
        self._ports.close()
        for held in self._held.values():
            os.close(held.namespace.descriptor)
        self._held.clear()

    def description(self) -> NodeDescription:
        """The part of the node's description that this package knows: address, VTEP, MTU and routes of the host."""
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
            without_ipv6=self._datapath.without_ipv6,
        )

    async def apply(self, change: TableChange) -> None:
        """See `Networks.apply`. Names change after the routes that they need, and before those that they lose.

        Raises:
            InvalidInput: the tables are no tables; nothing is changed.
            Unavailable: the kernel refused some; the next call, or the next comparison, tries again.
        """
        understood = await self._in_kernel(self._meaning.take, change)
        if understood.networks is not None:
            self._subnets = understood.step.after.subnets
        named_first = understood.takes_names_away
        if named_first:
            self._name(understood)
        try:
            await self.upkeep.apply(understood.step, understood.services)
        finally:
            if not named_first:
                self._name(understood)
            self.encryption.applied()
            if self._datapath.silence.lasts:
                self._ended.set()

    def _name(self, understood: Understood) -> None:
        for gone in understood.gone:
            self._names.withdraw(gone)
        for come in understood.come:
            self._names.add(come)
        if understood.networks is not None:
            self._names.reach(understood.networks)
        self._dns.zone = self._names.zone

    async def attach(self, task: Task, internal_only: bool = False, resolvers: Sequence[str] = ()) -> Sandbox:
        """See `Networks.attach`.

        Args:
            internal_only: no way out of the cluster, whatever the networks; without networks, loopback only.
            resolvers: addresses that are asked for names that are not the cluster's; none means the node's.
        """
        if (held := self._held.get(task.id)) is None:
            held = await self._attach(replace(self._attachment(task, internal_only), resolvers=_addresses(resolvers)))
        return replace(held.sandbox, netns_fd=os.dup(held.namespace.descriptor))

    async def _attach(self, wanted: Attachment) -> _Held:
        task_id = wanted.task_id
        self._host.mesh.yield_to(wanted.ports)
        self._ports.hold(task_id, wanted.ports)
        self._askers.add(wanted)
        namespace: Namespace | None = None
        try:
            namespace = await self._spares.get()
            await self._arrivals.attach(namespace, replace(wanted, mac=namespace.mac))
        except BaseException:
            # After a cancellation the thread may still be at work: what undoes it must queue behind it.
            self._kernel.submit(self._abandon, task_id, namespace)
            self._forget(task_id)
            raise
        namespace.connection.close()
        addresses, addresses6 = (
            {network: str(address) for network, address in each.items()}
            for each in (wanted.addresses, wanted.addresses6)
        )
        sandbox = Sandbox(namespace.descriptor, addresses, str(GATEWAY), addresses6)
        self._held[task_id] = _Held(namespace, sandbox)
        return self._held[task_id]

    def _abandon(self, task_id: str, namespace: Namespace | None) -> None:
        try:
            self._datapath.detach(task_id)
            self._datapath.sweep()
        except Unavailable as error:
            log.warning("What an attempt to attach task %s left is not all undone: %s", task_id, error)
        if namespace is not None:
            namespace.close()

    def _attachment(self, task: Task, internal_only: bool) -> Attachment:
        """What the task is to get; link and MAC address are still open."""
        local: IPv4Address | None = None
        if not task.addresses and not internal_only:
            local = next_address(self._datapath.local_pool, self._askers.addresses(), self._last_local)
            self._last_local = local
        return attachment_of(task, self._subnets, local, internal_only=internal_only, ipv6=self._has_ipv6)

    @property
    def _has_ipv6(self) -> bool:
        return not self._datapath.without_ipv6

    @property
    def names_last_seconds(self) -> float:
        """See `Networks.names_last_seconds`: all nodes have the same setting."""
        return self._settings.dns_ttl_seconds

    async def withdraw(self, task_id: str) -> None:
        """See `Networks.withdraw`. The ports stay held: nobody else gets them before the task has ended."""
        await self._in_kernel(self._datapath.withdraw, task_id)

    async def detach(self, task_id: str) -> None:
        """See `Networks.detach`. The link itself goes a moment later, together with others."""
        held = self._held.pop(task_id, None)
        self._leaving.append(task_id)
        await self._in_kernel(self._detach_gathered)
        self._forget(task_id)
        if held is not None:
            os.close(held.namespace.descriptor)
        self._ended.set()

    def _detach_gathered(self) -> None:
        """All that wait, in one transaction; who comes later finds them gone."""
        gone = [self._leaving.popleft() for _ in range(len(self._leaving))]
        self._datapath.detach(*gone)

    def _forget(self, task_id: str) -> None:
        self._ports.release(task_id)
        self._askers.remove(task_id)

    async def recover(self, live: Sequence[Task]) -> None:
        """See `Networks.recover`. A published port that another program took meanwhile is told in the log, and kept."""
        links = await self._in_kernel(self._datapath.container_links)
        found = {alias.task_id: (link, alias) for link in links if (alias := read_alias(link.alias)) is not None}
        left = [adopted(task, *found[task.id], ipv6=self._has_ipv6) for task in live if task.id in found]
        await self._in_kernel(self._datapath.adopt, left)
        self._ended.set()
        for attachment in left:
            self._askers.add(attachment)
            try:
                self._ports.hold(attachment.task_id, attachment.ports)
            except ShoalError as error:
                log.warning("Task %s keeps its port: %s", attachment.task_id, error)

    async def sockets(self, pid: int) -> Sockets:
        """See `Networks.sockets`."""
        return await asyncio.to_thread(container_sockets.look, pid)

    async def verify(self) -> Sequence[str]:
        """Compare the kernel with what it should hold and repair it; what was wrong, in a line each."""
        return await self.upkeep.verify()

    async def reset(self) -> None:
        """Remove everything of ours from this host's network; containers that still run lose theirs."""
        await self._dns.stop()
        await self._in_maker(self._pool.close)
        await self._in_kernel(self._datapath.reset)

    async def run(self) -> None:
        """The work in the background, without end: spare namespaces, links of ended tasks, comparisons."""
        async with TaskGroup() as work:
            work.create_task(self._spares.run(), name="spare network namespaces")
            work.create_task(self._sweep(), name="links of ended tasks")
            work.create_task(self.encryption.run(), name="encrypted tunnels")
            work.create_task(self._paths.run(), name="paths to other nodes")
            work.create_task(self.upkeep.watch_ports(), name="ports of the host")
            work.create_task(self.upkeep.run(self._settings.verify_seconds), name="comparison of the network")

    async def _sweep(self) -> None:
        while True:
            await self._ended.wait()
            await asyncio.sleep(self._settings.sweep_seconds)
            self._ended.clear()
            if await self._in_kernel(self._datapath.sweep):
                asyncio.get_running_loop().call_later(SILENT_SECONDS, self._ended.set)


def _addresses(texts: Sequence[str]) -> tuple[IPv4Address | IPv6Address, ...]:
    return tuple(map(ip_address, texts))
