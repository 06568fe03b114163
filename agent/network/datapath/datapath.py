"""The only code that changes the kernel's network state. Blocking; single-threaded."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from ipaddress import IPv4Network

from agent.network import well_known
from agent.network.balancing.stale_flows import CONNECT_WINDOW_SECONDS, WithdrawnBackends
from agent.network.cluster_state.derived_diff import DerivedDiff
from agent.network.cluster_state.overlay_tables import OverlayTables
from agent.network.cluster_state.service_map import Frontend
from agent.network.datapath.comparison import Findings, retried_refusal
from agent.network.datapath.datapath_state import DatapathState, open_datapath_state
from agent.network.datapath.reconciliation import Reconciliation
from agent.network.datapath.removal import remove_all
from agent.network.datapath.task_links import TaskLinks
from agent.network.dns.query_floods import query_floods
from agent.network.dns.upstream import resolvers_of
from agent.network.encryption.encrypted_tunnels import EncryptedTunnels
from agent.network.firewalls.blocked_traffic import RequiredPorts
from agent.network.host.host_routes import host_prefixes
from agent.network.host.underlay import Underlay
from agent.network.ip_types import Address, Network
from agent.network.kernel_state import KernelState, additions, desired_state, removals
from agent.network.network_settings import NetworkSettings
from agent.network.nftables import set_elements
from agent.network.nftables.ruleset import QUERY_FLOODS
from shoal.errors import Unavailable


class Datapath:
    """Devices, routes, neighbours, FDB entries and rules of this node's network namespace. Created by `open`."""

    def __init__(
        self, *, state: DatapathState, settings: NetworkSettings, resolver_port: int, opened: ExitStack
    ) -> None:
        self._state = state
        self._settings = settings
        self._resolver_port = resolver_port
        self._name_servers = resolvers_of(settings.upstream_resolvers)
        self._opened = opened
        self._reconciliation = Reconciliation(state)
        self.links = TaskLinks(state)
        self.blackholes = state.blackholes

    @classmethod
    def open(
        cls, *, underlay_address: Address, settings: NetworkSettings, resolver_ports: Mapping[int, int]
    ) -> "Datapath":
        """See `open_datapath_state`; for the thread that calls it."""
        with ExitStack() as opened:
            state = open_datapath_state(
                opened, underlay_address=underlay_address, settings=settings, resolver_ports=resolver_ports
            )
            resolver_port = resolver_ports[socket.IPPROTO_UDP]
            return cls(state=state, settings=settings, resolver_port=resolver_port, opened=opened.pop_all())

    def close(self) -> None:
        """Close the handles; the kernel's state stays."""
        self._opened.close()

    @property
    def findings(self) -> Findings:
        return self._state.findings

    @property
    def tunnels(self) -> EncryptedTunnels:
        return self._state.tunnels

    @property
    def local_pool(self) -> IPv4Network:
        """For containers without a network."""
        return self._state.local_pool

    @property
    def underlay(self) -> Underlay:
        """As last seen. Safe from any thread."""
        return self._state.overlay.underlay

    @property
    def ipv6_unavailable_reason(self) -> str:
        """Why containers on this node cannot have IPv6; empty when they can."""
        return self._state.overlay.ipv6_unavailable_reason

    def has_tunnel_to(self, node: Address) -> bool:
        """Whether the overlay has a tunnel to the node with this underlay address. Safe from any thread."""
        return node in self._state.cluster.current.peers

    def peers(self) -> dict[Address, str]:
        """The nodes that the overlay has a tunnel to, with the MAC addresses of their VTEPs."""
        return dict(self._state.cluster.current.peers)

    def host_prefixes(self) -> list[Network]:
        """Routes of the host that are not ours, and its name servers."""
        return host_prefixes(self._state.connection, self._name_servers())

    def required_ports(self) -> RequiredPorts:
        """The ports of this host that other machines must reach.

        Raises:
            Unavailable: the underlay's interface does not exist any more.
        """
        try:
            name = socket.if_indextoname(self.underlay.link)
        except OSError as error:
            raise Unavailable(f"no interface has the address {self.underlay.address} any more") from error
        own = self._settings
        return RequiredPorts(name, self.underlay.address, own.vxlan_port, own.agent_port, self._resolver_port)

    def query_floods(self) -> list[str]:
        """The tasks that exceed the DNS query limit, one line each."""
        listed = self._state.nftables.list_set(well_known.FAMILY, well_known.TABLE, QUERY_FLOODS)
        return query_floods(listed, self._state.attachments.values())

    def apply(self, diff: DerivedDiff, excluded: frozenset[Frontend]) -> WithdrawnBackends:
        """Apply a change of the derived state to the kernel.

        Routes, neighbours and the like that the kernel refuses are recorded in `findings`, and retried by each
        reconciliation: nothing else has to wait for them.

        Args:
            excluded: frontends that this node does not serve, from now on.
        Raises:
            Unavailable: the kernel refused the rules; the next call, or `reconcile`, compares everything and retries.
        """
        state = self._state
        had_ingress = state.cluster.has_ingress
        state.cluster.apply(diff.tables)
        balance_change, state.has_applied = state.balancer.apply(diff.services, excluded), True
        removed = state.balancer.withdrawn_recently(diff.removed_addresses, CONNECT_WINDOW_SECONDS)
        withdrawn = WithdrawnBackends(balance_change.withdrawn, removed)
        state.connection.attempt(state.blackholes.add(withdrawn.removed))
        if diff.encrypted is not None:
            state.tunnels.apply(diff.encrypted)
        state.tunnels.move_addresses(diff.encrypted_moves)
        if self._reconciliation.due:
            self.reconcile()
            return withdrawn
        self._reconciliation.due = True
        before = self._part_state(diff.tables.removed, had_ingress)
        after = self._part_state(diff.tables.added, state.cluster.has_ingress)
        # No client is forwarded to an address that has no route yet, or none any more.
        refusals = state.connection.attempt(additions(before, after))
        # Elements of this node's own tasks change only when they are attached or detached.
        less, more = (
            set_elements.desired_elements(part, (), state.local_pool)
            for part in (diff.tables.removed, diff.tables.added)
        )
        state.commit(set_elements.merge(less, balance_change.before), set_elements.merge(more, balance_change.after))
        refusals += state.connection.attempt(removals(before, after))
        state.findings.set_refusals((retried_refusal(each.reason) for each in refusals), keep_earlier=True)
        self._reconciliation.due = False
        return withdrawn

    def _part_state(self, part: OverlayTables, has_ingress: bool) -> KernelState:
        overlay = self._state.overlay
        return desired_state(
            part, (), overlay.index, self._state.local_pool, ipv6=overlay.has_ipv6, has_ingress=has_ingress
        )

    def reconcile(self) -> list[str]:
        """See `Reconciliation.reconcile`."""
        return self._reconciliation.reconcile()

    def reconcile_tunnels(self) -> list[str]:
        """See `Reconciliation.reconcile_tunnels`."""
        return self._reconciliation.reconcile_tunnels()

    def reset(self) -> None:
        """Remove everything of Shoal's from this host's network."""
        self._state.attachments.clear()
        self._state.tunnels.reset()
        remove_all(self._state.connection, self._state.nftables)
