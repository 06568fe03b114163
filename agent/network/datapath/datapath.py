"""The only code that changes the kernel's network state. Blocking; single-threaded."""

import logging
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from ipaddress import IPv4Network

from agent.network import well_known
from agent.network.attachments.attachment import Attachment, container_messages, host_messages, parse_alias
from agent.network.attachments.local_pool import DEFAULT_POOL, choose_pool, log_choice
from agent.network.attachments.namespaces import Namespace
from agent.network.balancing.blackhole_routes import BlackholeRoutes
from agent.network.balancing.load_balancer import LoadBalancer
from agent.network.balancing.stale_flows import CONNECT_WINDOW_SECONDS, WithdrawnBackends
from agent.network.cluster_state.derived_diff import DerivedDiff
from agent.network.cluster_state.overlay_tables import OverlayTables
from agent.network.cluster_state.service_map import Frontend
from agent.network.cluster_state.table_state import TableState
from agent.network.datapath.comparison import Comparison, Findings, actual_state, retried_refusal
from agent.network.datapath.link_repair import ContainerMtus, LinkMtus, link_differences, restore_links
from agent.network.datapath.overlay_device import LINK_SETTINGS, OverlayDevice
from agent.network.datapath.removal import mark_ended, remove_all
from agent.network.dns.query_floods import query_floods
from agent.network.encryption.encrypted_tunnels import EncryptedTunnels
from agent.network.firewalls.blocked_traffic import RequiredPorts
from agent.network.host.host_routes import host_prefixes
from agent.network.host.kernel_features import explain_rules_error
from agent.network.host.underlay import Underlay
from agent.network.kernel_state import KernelState, additions, desired_state, only_ipv4, plan, removals
from agent.network.netlink import rtnetlink, rtnetlink_dump
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import Address
from agent.network.network_settings import NetworkSettings
from agent.network.nftables import set_elements
from agent.network.nftables.libnftables import Nftables
from agent.network.nftables.ruleset import QUERY_FLOODS, definition
from agent.network.nftables.ruleset_generation import KernelGeneration
from agent.network.nftables.shoal_table import ShoalTable
from shoal.errors import ShoalError, Unavailable

log = logging.getLogger(__name__)


class Datapath:
    """Devices, routes, neighbours, FDB entries and rules of this node's network namespace.

    Args:
        resolver_ports: ports of the DNS resolver, by protocol.
    """

    def __init__(
        self, *, underlay_address: Address, settings: NetworkSettings, resolver_ports: Mapping[int, int]
    ) -> None:
        self._settings = settings
        self._connection = Connection()
        self._nftables = Nftables()
        self._generation = KernelGeneration()
        self.findings = Findings()
        self._resolver = set_elements.resolver_elements(resolver_ports)
        self._resolver_port = resolver_ports[socket.IPPROTO_UDP]
        self._cluster = TableState()
        self._balance = LoadBalancer()
        self._attachments: dict[str, Attachment] = {}
        self.blackholes = BlackholeRoutes(
            clock=time.monotonic, in_use=self._balance.in_use, attached=lambda: self.attachments
        )
        self._link_mtus = LinkMtus()
        self._dirty, self._has_applied, self._compared_once = True, False, False
        self.local_pool = DEFAULT_POOL
        """For containers without a network; chosen by `prepare`."""
        try:
            self._overlay = OverlayDevice(connection=self._connection, address=underlay_address, settings=settings)
        except ShoalError:
            self._close()
            raise
        run = self._nftables.run
        self.tunnels = EncryptedTunnels(connection=self._connection, settings=settings, node=self._overlay, run=run)
        rules = definition(settings.rule_ports(self.tunnels.esp_ports), underlay_address)
        self._table = ShoalTable(nftables=self._nftables, definition=rules, generation=self._generation)

    @property
    def attachments(self) -> Collection[Attachment]:
        return self._attachments.values()

    @property
    def underlay(self) -> Underlay:
        """As last seen. Safe from any thread."""
        return self._overlay.underlay

    @property
    def ipv6_unavailable_reason(self) -> str:
        """Why containers on this node cannot have IPv6; empty when they can."""
        return self._overlay.ipv6_unavailable_reason

    def has_tunnel_to(self, node: Address) -> bool:
        """Whether the overlay has a tunnel to the node with this underlay address. Safe from any thread."""
        return node in self._cluster.current.peers

    def peers(self) -> dict[Address, str]:
        """The nodes that the overlay has a tunnel to, with the MAC addresses of their VTEPs."""
        return dict(self._cluster.current.peers)

    def close(self) -> None:
        self.tunnels.close()
        self._close()

    def _close(self) -> None:
        for each in (self._nftables, self._generation, self._connection):
            each.close()

    def prepare(self) -> None:
        """Create what every container needs: forwarding, devices, table. What is already correct stays untouched.

        Raises:
            Unavailable: the kernel lacks a feature; the text names it.
        """
        self._overlay.ensure()
        self.tunnels.recover()
        current = self._table.current()
        before = set_elements.local_pool_of(current)
        self._choose_pool(before)
        outdated = set_elements.merge(
            set_elements.pool_elements(before) if before is not None else set_elements.NO_ELEMENTS,
            set_elements.resolver_part(current),
        )
        try:
            self._table.load(self._desired_elements(), outdated=outdated)
        except Unavailable as error:
            raise explain_rules_error(error, self._nftables.run) from error

    def _choose_pool(self, previous: IPv4Network | None) -> None:
        configured, prefixes = self._settings.local_pool, self.host_prefixes()
        aliases = (parse_alias(link.alias) for link in self.container_links())
        used = [alias.local for alias in aliases if alias is not None and alias.local is not None]
        self.local_pool = choose_pool(configured=configured, previous=previous, used=used, host_prefixes=prefixes)
        log_choice(self.local_pool, configured=configured, host_prefixes=prefixes)

    def host_prefixes(self) -> list[rtnetlink.Network]:
        """Routes of the host that are not ours."""
        return host_prefixes(self._connection)

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
        return query_floods(
            self._nftables.list_set(well_known.FAMILY, well_known.TABLE, QUERY_FLOODS), self.attachments
        )

    def _desired_elements(self) -> set_elements.Elements:
        return set_elements.merge(
            set_elements.desired_elements(self._cluster.current, self.attachments, self.local_pool), self._resolver
        )

    def _all_desired_elements(self) -> set_elements.Elements:
        return set_elements.merge(self._desired_elements(), self._balance.elements())

    def _part_state(self, part: OverlayTables, has_ingress: bool) -> KernelState:
        return desired_state(
            part, (), self._overlay.index, self.local_pool, ipv6=self._overlay.has_ipv6, has_ingress=has_ingress
        )

    def apply(self, diff: DerivedDiff, excluded: frozenset[Frontend]) -> WithdrawnBackends:
        """Apply a change of the derived state to the kernel.

        Routes, neighbours and the like that the kernel refuses are recorded in `findings`, and retried by each
        reconciliation: nothing else has to wait for them.

        Args:
            excluded: frontends that this node does not serve, from now on.
        Raises:
            Unavailable: the kernel refused the rules; the next call, or `reconcile`, compares everything and retries.
        """
        had_ingress = self._cluster.has_ingress
        self._cluster.apply(diff.tables)
        balance_change, self._has_applied = self._balance.apply(diff.services, excluded), True
        withdrawn = WithdrawnBackends(
            balance_change.withdrawn,
            self._balance.withdrawn_recently(diff.removed_addresses, CONNECT_WINDOW_SECONDS),
        )
        self._connection.attempt(self.blackholes.add(withdrawn.removed))
        if diff.encrypted is not None:
            self.tunnels.apply(diff.encrypted)
        self.tunnels.move_addresses(diff.encrypted_moves)
        if self._dirty:
            self.reconcile()
            return withdrawn
        self._dirty = True
        before_state = self._part_state(diff.tables.removed, had_ingress)
        after_state = self._part_state(diff.tables.added, self._cluster.has_ingress)
        # No client is forwarded to an address that has no route yet, or none any more.
        refusals = self._connection.attempt(additions(before_state, after_state))
        # Elements of this node's own tasks change only when they are attached or detached.
        before, after = (
            set_elements.desired_elements(each, (), self.local_pool)
            for each in (diff.tables.removed, diff.tables.added)
        )
        self._commit(set_elements.merge(before, balance_change.before), set_elements.merge(after, balance_change.after))
        refusals += self._connection.attempt(removals(before_state, after_state))
        self.findings.set_refusals((retried_refusal(each.reason) for each in refusals), keep_earlier=True)
        self._dirty = False
        return withdrawn

    def _commit(self, before: set_elements.Elements, after: set_elements.Elements) -> None:
        """Change the elements; where another program changed the table, repair all of it."""
        try:
            self._table.change(before, after)
        except Unavailable as error:
            log.warning("Another program changed Shoal's nftables table; repairing it: %s", error)
            if self._has_applied:  # otherwise the first `apply` repairs it
                self.findings.add_repairs(self._table.repair(self._all_desired_elements()))

    def link(self, namespace: Namespace, attachment: Attachment) -> Attachment:
        """Configure a namespace's addresses and name the host's end of its link; `admit` follows. After an error only
        the link is left, in the group that `sweep` deletes."""
        with suppress(OSError):
            stale_index = socket.if_nametoindex(attachment.name)
            log.warning("Deleting the leftover link %s of an earlier attempt", attachment.name)
            self._connection.apply([rtnetlink.set_link(stale_index, group=well_known.ENDED_GROUP)])
            self.sweep()
        subnets = self._cluster.current.subnets
        if self.tunnels.fault and any(subnets[name].encrypted for name in attachment.addresses if name):
            raise Unavailable(self.tunnels.fault)
        attachment = replace(attachment, link=socket.if_nametoindex(namespace.link))
        self._attachments[attachment.task_id] = attachment
        try:
            self._connection.apply(
                [self._claim_message(attachment), *host_messages(self._without_lost_ipv6(attachment))]
            )
            namespace.connection.apply(container_messages(attachment, subnets, self.tunnels.mtu))
        except Unavailable:
            self.detach(attachment.task_id)
            raise
        return attachment

    def _without_lost_ipv6(self, attachment: Attachment) -> Attachment:
        """Without IPv6, where another program has just disabled it."""
        if attachment.addresses6:
            self._overlay.check_ipv6()
        return attachment if self._overlay.has_ipv6 else replace(attachment, addresses6={})

    def admit(self, attachments: Iterable[Attachment]) -> None:
        """Accept the packets of linked tasks: of all, or of none where the kernel refuses one."""
        self._table.change(
            set_elements.NO_ELEMENTS, reduce(set_elements.merge, map(set_elements.attachment_elements, attachments))
        )

    def _claim_message(self, attachment: Attachment) -> rtnetlink.Message:
        return rtnetlink.set_link(
            attachment.link,
            up=True,
            name=attachment.name,
            alias=attachment.alias,
            group=well_known.ATTACHED_GROUP,
            master=0,
            ipv4=LINK_SETTINGS,
            no_arp=True,  # otherwise a container could fill the host's neighbour table
        )

    def withdraw(self, task_id: str) -> None:
        """Forward no new connection to a task's published ports on this node. Unknown tasks are ignored."""
        if attachment := self._attachments.get(task_id):
            self._attachments[task_id] = without = replace(attachment, ports=())
            self._commit(set_elements.attachment_elements(attachment), set_elements.attachment_elements(without))

    def detach(self, *task_ids: str) -> None:
        """Withdraw ports and addresses at once; the next `sweep` deletes the links. Unknown tasks are ignored."""
        detached = [each for task_id in task_ids if (each := self._attachments.pop(task_id, None)) is not None]
        if not detached:
            return
        try:
            self._commit(reduce(set_elements.merge, map(set_elements.attachment_elements, detached)), {})
        finally:
            self._connection.attempt(self.blackholes.replace_ended(detached))
            self._connection.apply(mark_ended(each.link) for each in detached)

    def sweep(self) -> bool:
        """Delete the links of stopped tasks, and expired blackhole routes. Whether blackhole routes remain."""
        self._connection.apply([rtnetlink.delete_group(well_known.ENDED_GROUP), *self.blackholes.remove_expired()])
        return self.blackholes.is_active

    def adopt(self, attachments: Iterable[Attachment]) -> None:
        """Take over links that an earlier process left, and delete all our other links with their entries. What that
        process knew of other nodes stays until the first `apply`."""
        self._attachments = {attachment.task_id: attachment for attachment in attachments}
        adopted_links = {attachment.link for attachment in self.attachments}
        surplus = [link.index for link in self.container_links() if link.index not in adopted_links]
        self._connection.apply(map(mark_ended, surplus))
        self.sweep()
        self.blackholes.recover(rtnetlink_dump.blackhole_routes(self._connection))
        self._table.keep_attachments(self._desired_elements())

    def container_links(self) -> list[rtnetlink_dump.Link]:
        """The host's ends of all container links, except spare ones."""
        return [link for link in rtnetlink_dump.links(self._connection) if link.name.startswith(well_known.LINK_PREFIX)]

    def reconcile(self) -> list[str]:
        """Compare the kernel's actual state with the desired one and repair it. Returns one line for each repair.

        Each part is done whatever the kernel refuses of the others; `findings` records all of it. Before the first
        `apply` the desired state is not known, so nothing is touched.

        Raises:
            Unavailable: the kernel refused the rules.
        """
        if not self._has_applied:
            return []
        self._dirty = True
        found = Comparison()
        found.attempt(self._overlay.compare)
        found.attempt(lambda found: found.repaired.extend(self.tunnels.reconcile()))
        found.attempt(self._repair_links)
        found.attempt(self._repair_routes)
        try:
            found.repaired += self._table.repair(self._all_desired_elements())
        except Unavailable as error:
            found.refused.append(str(error))
            raise
        finally:
            # What the first comparison adds was never there: no other program has changed it.
            self.findings.add_repairs(found.repaired if self._compared_once else ())
            self.findings.set_refusals(found.refused)
        self._dirty, self._compared_once = False, True
        return found.repaired

    def reconcile_tunnels(self) -> list[str]:
        """Reconcile the encrypted tunnels only; one line for each repair."""
        repaired = self.tunnels.reconcile()
        self.findings.add_repairs(repaired)
        return repaired

    def _repair_links(self, comparison: Comparison) -> None:
        """A task whose link was deleted gets another one, or is dropped when its namespace is gone."""
        links = {link.index: link for link in rtnetlink_dump.links(self._connection)}
        lost = [each for each in self.attachments if each.link not in links]
        ours = {each.link: each for each in self.attachments if each.link in links}
        link_mtus = self._link_mtus.expected(links[index] for index in ours)
        for index, attachment in ours.items():
            if text := link_differences(links[index], attachment, link_mtus[index]):
                self._connection.apply(
                    [self._claim_message(attachment), rtnetlink.set_link(index, mtu=link_mtus[index])]
                )
                comparison.repaired.append(f"link {attachment.name} {text}")
        container_mtus = ContainerMtus(self.underlay.overlay_mtu, self.tunnels.mtu)
        restored = restore_links(
            lost, self._connection, self._cluster.current.subnets, container_mtus, self._claim_message, comparison
        )
        self.blackholes.replace_ended([self._attachments.pop(each.task_id) for each in lost if each not in restored])

    def _repair_routes(self, comparison: Comparison) -> None:
        actual = actual_state(self._connection, self._overlay.index, {each.link for each in self.attachments})
        overlay, tables = self._overlay, self._cluster.current
        desired = desired_state(tables, self.attachments, overlay.index, self.local_pool, ipv6=overlay.has_ipv6)
        desired = replace(desired, routes=desired.routes | self.tunnels.routes | self.blackholes.routes)
        todo = plan(actual, desired if overlay.has_ipv6 else only_ipv4(desired))
        refusals = self._connection.attempt(todo)
        comparison.refused += (retried_refusal(each.reason) for each in refusals)
        refused = {id(each.message) for each in refusals}
        comparison.repaired += (
            f"kernel tables changed by another program; repaired: {each.description}"
            for each in todo
            if id(each) not in refused
        )

    def reset(self) -> None:
        """Remove everything of Shoal's from this host's network."""
        self._attachments.clear()
        self.tunnels.reset()
        remove_all(self._connection, self._nftables)
