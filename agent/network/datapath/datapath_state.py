"""Handles to the kernel, and the desired state of this node. Blocking; single-threaded."""

import logging
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import reduce
from ipaddress import IPv4Network

from agent.network.attachments.attachment import Attachment, parse_alias
from agent.network.attachments.local_pool import choose_pool, log_choice
from agent.network.balancing.blackhole_routes import BlackholeRoutes
from agent.network.balancing.load_balancer import LoadBalancer
from agent.network.cluster_state.table_state import TableState
from agent.network.datapath.comparison import Findings
from agent.network.datapath.overlay_device import OverlayDevice
from agent.network.dns.upstream import resolvers_of
from agent.network.encryption.encrypted_tunnels import EncryptedTunnels
from agent.network.host.host_routes import host_prefixes
from agent.network.host.kernel_features import explain_rules_error
from agent.network.ip_types import Address
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink_dump import Link, links
from agent.network.network_settings import NetworkSettings
from agent.network.nftables import set_elements
from agent.network.nftables.libnftables import Nftables
from agent.network.nftables.ruleset import definition
from agent.network.nftables.ruleset_generation import KernelGeneration
from agent.network.nftables.set_elements import Elements
from agent.network.nftables.shoal_table import ShoalTable
from agent.network.well_known import LINK_PREFIX
from shoal.errors import Unavailable

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class DatapathState:
    """What the parts of the datapath share. Created by `open_datapath_state`.

    Attributes:
        resolver: elements that redirect DNS queries.
        local_pool: for containers without a network.
        cluster, balancer, attachments: the desired state, from records and tasks; attachments by task id.
        has_applied: whether the desired state is known; before the first change nothing is repaired.
    """

    connection: Connection
    nftables: Nftables
    overlay: OverlayDevice
    tunnels: EncryptedTunnels
    table: ShoalTable
    resolver: Elements
    local_pool: IPv4Network
    findings: Findings = field(default_factory=Findings)
    cluster: TableState = field(default_factory=TableState)
    balancer: LoadBalancer = field(default_factory=LoadBalancer)
    attachments: dict[str, Attachment] = field(default_factory=dict)
    has_applied: bool = False

    def __post_init__(self) -> None:
        self.blackholes = BlackholeRoutes(
            clock=time.monotonic, in_use=self.balancer.in_use, attached=self.attachments.values
        )

    def task_elements(self) -> Elements:
        """The desired elements without those of services."""
        own = set_elements.desired_elements(self.cluster.current, self.attachments.values(), self.local_pool)
        return set_elements.merge(own, self.resolver)

    def all_elements(self) -> Elements:
        """All desired elements of our table."""
        return set_elements.merge(self.task_elements(), self.balancer.elements())

    def commit(self, before: Elements, after: Elements) -> None:
        """Change the elements; where another program changed the table, repair all of it.

        Raises:
            Unavailable: the kernel refused the repair.
        """
        try:
            self.table.change(before, after)
        except Unavailable as error:
            log.warning("Another program changed Shoal's nftables table; repairing it: %s", error)
            if self.has_applied:  # otherwise the first change repairs it
                self.findings.add_repairs(self.table.repair(self.all_elements()))

    def container_links(self) -> list[Link]:
        """The host's ends of all container links, except spare ones."""
        return container_links(self.connection)


def open_datapath_state(
    opened: ExitStack, *, underlay_address: Address, settings: NetworkSettings, resolver_ports: Mapping[int, int]
) -> DatapathState:
    """Create what every container needs: forwarding, devices, table. What is already correct stays untouched.

    Args:
        opened: closes the handles.
        resolver_ports: ports of the DNS resolver, by protocol.
    Raises:
        InvalidInput: no interface has the address, or its MTU is too small.
        Unavailable: the kernel lacks a feature; the text names it.
    """
    connection, nftables, generation = Connection(), Nftables(), KernelGeneration()
    for handle in (connection, generation, nftables):
        opened.callback(handle.close)
    overlay = OverlayDevice(connection=connection, address=underlay_address, settings=settings)
    tunnels = EncryptedTunnels(connection=connection, settings=settings, node=overlay, run=nftables.run)
    opened.callback(tunnels.close)
    rules = definition(settings.rule_ports(tunnels.esp_ports), underlay_address)
    table = ShoalTable(nftables=nftables, definition=rules, generation=generation)
    overlay.ensure()
    tunnels.recover()
    current = table.current()
    previous = set_elements.local_pool_of(current)
    state = DatapathState(
        connection=connection,
        nftables=nftables,
        overlay=overlay,
        tunnels=tunnels,
        table=table,
        resolver=set_elements.resolver_elements(resolver_ports),
        local_pool=_choose_pool(connection, settings, previous),
    )
    try:
        table.load(state.task_elements(), outdated=_outdated(current, previous))
    except Unavailable as error:
        raise explain_rules_error(error, nftables.run) from error
    return state


def _outdated(current: Elements, previous: IPv4Network | None) -> Elements:
    """The elements of an earlier process that this one replaces."""
    pool = set_elements.pool_elements(previous) if previous is not None else set_elements.NO_ELEMENTS
    return set_elements.merge(pool, set_elements.resolver_part(current))


def _choose_pool(connection: Connection, settings: NetworkSettings, previous: IPv4Network | None) -> IPv4Network:
    configured, prefixes = settings.local_pool, host_prefixes(connection, resolvers_of(settings.upstream_resolvers)())
    aliases = (parse_alias(link.alias) for link in container_links(connection))
    used = [alias.local for alias in aliases if alias is not None and alias.local is not None]
    pool = choose_pool(configured=configured, previous=previous, used=used, host_prefixes=prefixes)
    log_choice(pool, configured=configured, host_prefixes=prefixes)
    return pool


def container_links(connection: Connection) -> list[Link]:
    """The host's ends of all container links, except spare ones."""
    return [link for link in links(connection) if link.name.startswith(LINK_PREFIX)]


def merged_elements(attachments: Collection[Attachment]) -> Elements:
    """The elements of some tasks."""
    return reduce(set_elements.merge, map(set_elements.attachment_elements, attachments))
