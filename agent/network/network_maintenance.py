"""Periodic work: reconcile the kernel's state, scan the host's ports, inspect other firewalls."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from agent.network.balancing.stale_flows import WithdrawnBackends
from agent.network.cluster_state.derived_diff import DerivedDiff
from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.service_map import Frontend, ServiceMap
from agent.network.condition_reporter import ConditionReporter
from agent.network.datapath.comparison import Findings
from agent.network.host import namespace_lock
from agent.network.host.rp_filter import relax_rp_filter
from agent.network.host.underlay import Underlay
from agent.network.ip_types import Network
from agent.network.kernel_threads import RunInThread
from shoal.api.v1.node_pb2 import HostListener
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

PORT_SCAN_SECONDS = 3.0
"""Between two scans of the host's listening ports; a scan costs about half a millisecond."""


class TunnelStatus(Protocol):
    """What maintenance needs of the encrypted tunnels."""

    @property
    def fault(self) -> str: ...


class DatapathOperations(Protocol):
    """What maintenance needs of the datapath. Blocking."""

    @property
    def findings(self) -> Findings: ...
    @property
    def underlay(self) -> Underlay: ...
    @property
    def tunnels(self) -> TunnelStatus: ...
    def apply(self, diff: DerivedDiff, excluded: frozenset[Frontend]) -> WithdrawnBackends: ...
    def reconcile(self) -> Sequence[str]: ...
    def host_prefixes(self) -> Sequence[Network]: ...
    def query_floods(self) -> Sequence[str]: ...


class HostPortState(Protocol):
    """What maintenance needs of the host's ports."""

    excluded: frozenset[Frontend]

    def apply(self, diff: Diff[ServiceMap]) -> frozenset[Frontend]: ...
    async def scan(self) -> bool: ...
    def fixed_listeners(self) -> Sequence[HostListener]: ...
    def problems(self) -> Iterable[str]: ...


class FlowCleaner(Protocol):
    """What maintenance needs of `StaleFlows`."""

    async def delete_stale(self, withdrawn: WithdrawnBackends) -> None: ...


class NetworkMaintenance:
    """The periodic work of one node.

    Args:
        datapath: its methods are called through `in_kernel`; properties directly.
        host: ports of the host.
        flows: deletes stale conntrack entries.
        in_kernel: runs a function in the datapath's thread.
        condition: receives the findings.
        find_blocked: rules of other programs that block container traffic, one line each. Blocking, in any thread, for
            a time that grows with the number of rules. Raises Unavailable.
        on_compared: called after each reconciliation.
    """

    def __init__(
        self,
        *,
        node_id: str,
        datapath: DatapathOperations,
        host: HostPortState,
        flows: FlowCleaner,
        in_kernel: RunInThread,
        condition: ConditionReporter,
        find_blocked: Callable[[], Sequence[str]],
        on_compared: Callable[[], None] = lambda: None,
    ) -> None:
        self._node_id = node_id
        self._datapath = datapath
        self._host = host
        self._flows = flows
        self._in_kernel = in_kernel
        self._condition = condition
        self._on_compared = on_compared
        self._find_blocked = find_blocked
        self._blocked: Sequence[str] = ()
        self._query_floods: Sequence[str] = ()
        self._prefixes: list[str] = []

    async def apply(self, diff: DerivedDiff) -> None:
        """Apply a change to the kernel, except for ports of the mesh that other programs use.

        Raises:
            Unavailable: the kernel refused part of it; the next call or reconciliation tries again.
        """
        await self._apply(diff, self._host.apply(diff.services))
        await self._in_kernel(relax_rp_filter)

    async def _apply(self, diff: DerivedDiff, excluded: frozenset[Frontend]) -> None:
        try:
            withdrawn = await self._in_kernel(lambda: self._datapath.apply(diff, excluded))
        finally:
            self._report()
        await self._flows.delete_stale(withdrawn)

    async def run(self, period_seconds: float) -> None:
        """Reconcile and inspect the host periodically, until cancelled."""
        while True:
            await asyncio.sleep(period_seconds)
            try:
                await self.reconcile()
            except Unavailable as error:
                log.error("Repairing the node's network failed; retrying: %s", error)
            await self.inspect_host()

    async def reconcile(self) -> Sequence[str]:
        """Compare the kernel's actual state with the desired one and repair it; one line for each repair."""
        try:
            repaired = await self._in_kernel(self._datapath.reconcile)
        finally:
            self._on_compared()
            self._report()
        if await self._in_kernel(relax_rp_filter):
            log.info("net.ipv4.conf.all.rp_filter is 1 (strict): set the overlay device to loose mode")
        return repaired

    async def watch_ports(self) -> None:
        """Scan the host's listening ports periodically, so that a conflict, and its end, shows within seconds."""
        while True:
            await asyncio.sleep(PORT_SCAN_SECONDS)
            await self._scan_ports()

    async def inspect_host(self) -> None:
        """See what other programs do on this host: listening ports, routes, rules that block container traffic."""
        try:
            await self._in_kernel(partial(namespace_lock.write_owner, self._node_id))
        except Unavailable as error:
            log.warning("Could not record this node's id on the overlay device: %s", error)
        try:
            self._blocked = await asyncio.to_thread(self._find_blocked)
            self._prefixes = list(map(str, await self._in_kernel(self._datapath.host_prefixes)))
        except Unavailable as error:
            log.warning("Cannot inspect other firewall rules or the host's routes: %s", error)
        try:
            self._query_floods = await self._in_kernel(self._datapath.query_floods)
        except Unavailable as error:
            log.warning("Cannot read the DNS query counters: %s", error)
        await self._scan_ports()

    async def _scan_ports(self) -> None:
        try:
            if await self._host.scan():
                await self._apply(DerivedDiff(), self._host.excluded)
        except Unavailable as error:
            log.warning("Cannot scan the host's listening ports or update the routing mesh: %s", error)
        self._report()

    def _report(self) -> None:
        """Report the repairs of every caller, and the current state."""
        if repaired := self._datapath.findings.drain_repairs():
            more = f" (and {len(repaired) - 1} more)" if len(repaired) > 1 else ""
            log.warning("Repaired the node's network: %s%s", repaired[0], more)
            self._condition.record_repair(repaired)
        fault = filter(None, [self._datapath.tunnels.fault])
        problems = [
            *self._datapath.findings.refusals(),
            *fault,
            *self._host.problems(),
            *self._blocked,
            *self._query_floods,
        ]
        for problem in set(problems) - set(self._condition.current.problems):
            log.warning("%s", problem)
        mtu = self._datapath.underlay.mtu
        self._condition.set_network(
            problems=problems, listeners=self._host.fixed_listeners(), underlay_mtu=mtu, host_prefixes=self._prefixes
        )
