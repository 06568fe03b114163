"""The node's kernel: the one place that changes it. Blocking; all calls are for the thread that made the object."""

import logging
import socket
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from pathlib import Path

from agent.network import names
from agent.network.attachment import Attachment, container_messages, host_messages
from agent.network.balancing.elements import Slots, changed, rebalanced
from agent.network.balancing.frontends import Services, withdrawn
from agent.network.kernel_features import rules_refused, tunnel_refused
from agent.network.kernel_state import KernelState, kernel_state, plan
from agent.network.namespaces import Namespace
from agent.network.netlink import inventory, messages, tracking
from agent.network.netlink.connection import Connection
from agent.network.nftables import elements as nft
from agent.network.nftables.libnftables import Nftables
from agent.network.nftables.ruleset import chains, definition
from agent.network.settings import NetworkSettings
from agent.network.tables import Tables, without_common
from agent.network.underlay import SMALLEST_MTU, Underlay, find_underlay
from shoal.errors import ShoalError, Unavailable

log = logging.getLogger(__name__)

_IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_MOST_PREFIXES = 64
_LINK_SETTINGS = {
    messages.DEVCONF_RP_FILTER: 0,  # senders are checked by our rules, and replies may come another way
    messages.DEVCONF_ROUTE_LOCALNET: 1,  # 127.0.0.1 reaches published ports
    messages.DEVCONF_SEND_REDIRECTS: 0,
}


class Datapath:
    """Devices, routes, neighbours, forwarding entries and rules of this node's network namespace."""

    def __init__(self, *, underlay_address: IPv4Address, settings: NetworkSettings) -> None:
        self._settings = settings
        self._connection = Connection()
        self._tracking = Connection(tracking.FAMILY)
        self._nftables = Nftables()
        self._tables = Tables()
        self._services = Services()
        self._slots: Slots = {}
        self._attachments: dict[str, Attachment] = {}
        self._overlay = 0
        self._in_doubt = True
        self._told = False
        try:
            self.underlay = find_underlay(
                underlay_address, inventory.addresses(self._connection), inventory.links(self._connection)
            )
        except ShoalError:
            self.close()
            raise

    @property
    def attachments(self) -> Collection[Attachment]:
        return self._attachments.values()

    def leads_to(self, node: IPv4Address) -> bool:
        """Whether the overlay leads to the node of this underlay address. Safe from any thread."""
        return node in self._tables.peers

    def close(self) -> None:
        self._nftables.close()
        self._tracking.close()
        self._connection.close()

    def prepare(self) -> None:
        """Make what every container needs: forwarding, the two devices, the table. What is right stays untouched.

        Raises:
            Unavailable: the kernel lacks something, which the text names.
        """
        _IP_FORWARD.write_text("1")
        try:
            self._make_overlay()
        except Unavailable as error:
            raise tunnel_refused(error) from error
        self._warn_of_overlap()
        present = self._nftables.list_table(names.FAMILY, names.TABLE)
        if not nft.rules_are_whole(present, self._chains()):
            # What an older version of us left keeps working until the planner's tables are told again.
            try:
                self._load_table(nft.merged(nft.listed(present), self._elements()))
            except Unavailable as error:
                raise rules_refused(error, self._nftables.run) from error

    def _chains(self) -> dict[str, tuple[str, ...]]:
        return chains(self._settings.vni, self._settings.vxlan_port, self.underlay.address)

    def _warn_of_overlap(self) -> None:
        pool = self._settings.local_pool
        for prefix in self.host_prefixes():
            if prefix.overlaps(pool):
                log.warning(
                    "The pool %s of containers without a network overlaps the host's route to %s: set another",
                    pool,
                    prefix,
                )

    def host_prefixes(self) -> list[IPv4Network]:
        """What the host routes besides us, but for the default route: the widest, at most 64."""
        others = set(inventory.all_routes(self._connection)) - set(inventory.own_routes(self._connection))
        found = {route.destination for route in others if route.destination.prefixlen}
        return sorted(collapse_addresses(found), key=lambda prefix: (prefix.prefixlen, prefix))[:_MOST_PREFIXES]

    def _load_table(self, elements: nft.Elements) -> None:
        """Rules and elements in one transaction: at no moment is there a table without its elements."""
        rules = definition(self._settings.vni, self._settings.vxlan_port, self.underlay.address)
        self._nftables.run(rules + nft.transaction(nft.NONE, elements))

    def _make_overlay(self) -> None:
        links = {link.name: link for link in inventory.links(self._connection)}
        present = links.get(names.VXLAN_DEVICE)
        if present is None or not self._fits(present):
            self._connection.apply(
                [messages.delete_link(names.VXLAN_DEVICE), self._overlay_message(self.underlay)],
            )
        self._overlay = socket.if_nametoindex(names.VXLAN_DEVICE)
        mtu = self.underlay.overlay_mtu
        self._connection.apply(
            [
                messages.set_link(self._overlay, up=True, mtu=mtu, ipv4=_LINK_SETTINGS),
                messages.add_address(self._overlay, names.GATEWAY, messages.SCOPE_LINK),
            ]
        )

    def _fits(self, link: inventory.Link) -> bool:
        return link.vni == self._settings.vni and link.mac == self.underlay.vtep_mac

    def _overlay_message(self, underlay: Underlay) -> messages.Message:
        return messages.add_vxlan(
            names.VXLAN_DEVICE,
            vni=self._settings.vni,
            mac=underlay.vtep_mac,
            local=underlay.address,
            link=underlay.link,
            port=self._settings.vxlan_port,
            mtu=underlay.overlay_mtu,
        )

    def _elements(self) -> nft.Elements:
        return nft.elements(self._tables, self.attachments, self._settings.local_pool)

    def _shared_elements(self, tables: Tables) -> nft.Elements:
        """Without those of tasks, which change only when they come and go."""
        return nft.elements(tables, (), self._settings.local_pool)

    def _all_elements(self) -> nft.Elements:
        return nft.merged(self._elements(), nft.of_services(self._services, self._slots))

    def _state(self, tables: Tables, attachments: Collection[Attachment]) -> KernelState:
        return kernel_state(tables, attachments, self._overlay, self._settings.local_pool)

    def apply(self, tables: Tables, services: Services) -> None:
        """Bring the kernel from the tables and services of the last call to these.

        Raises:
            Unavailable: the kernel refused some; the next call, or `verify`, compares everything and tries again.
        """
        elements, differing = self._shared_elements(self._tables), without_common(self._tables, tables)
        old = self._services, self._slots
        self._services, self._slots = services, rebalanced(self._slots, services)
        self._tables, self._told = tables, True
        if self._in_doubt:
            self.verify()
            return
        self._in_doubt = True
        before, after = changed(old[1], self._slots)
        self._commit(
            nft.merged(elements, nft.of_services(old[0], before)),
            nft.merged(self._shared_elements(tables), nft.of_services(services, after)),
        )
        self._connection.apply(plan(*(self._state(each, ()) for each in differing)))
        self._in_doubt = False
        tracking.forget_datagrams(self._tracking, withdrawn(old[0], services))

    def _commit(self, before: nft.Elements, after: nft.Elements) -> None:
        """Change the elements; where the table was not as we left it, set right all of it."""
        if not (command := nft.transaction(before, after)):
            return
        try:
            self._nftables.run(command)
        except Unavailable as error:
            log.warning("Our nftables table was changed by someone else, and is set right: %s", error)
            if self._told:  # else the first `apply` does it
                self._repair_table()

    def attach(self, namespace: Namespace, attachment: Attachment) -> None:
        """Give a namespace its addresses and the host's end of its link a name. On an error nothing is left but the
        link in the group that `sweep` deletes."""
        with suppress(OSError):
            stale = socket.if_nametoindex(attachment.name)
            log.warning("The link %s of an earlier attempt is in the way and is deleted", attachment.name)
            self._connection.apply([messages.set_link(stale, group=names.ENDED_GROUP)])
            self.sweep()
        attachment = replace(attachment, link=socket.if_nametoindex(namespace.link))
        self._attachments[attachment.task_id] = attachment
        try:
            self._connection.apply([self._claim(attachment), *host_messages(attachment)])
            namespace.connection.apply(container_messages(attachment, self._tables.subnets))
            self._nftables.run(nft.transaction(nft.NONE, nft.of_attachment(attachment)))
        except Unavailable:
            self.detach(attachment.task_id)
            raise

    def _claim(self, attachment: Attachment) -> messages.Message:
        return messages.set_link(
            attachment.link,
            up=True,
            name=attachment.name,
            alias=attachment.alias,
            group=names.LIVE_GROUP,
            ipv4=_LINK_SETTINGS,
        )

    def detach(self, *task_ids: str) -> None:
        """Withdraw ports and addresses at once; the links go at the next `sweep`. Unknown tasks are passed over."""
        gone = [each for task_id in task_ids if (each := self._attachments.pop(task_id, None)) is not None]
        if gone:
            self._commit(reduce(nft.merged, map(nft.of_attachment, gone)), {})
            self._connection.apply(_if_there(messages.set_link(each.link, group=names.ENDED_GROUP)) for each in gone)

    def sweep(self) -> None:
        """Delete the links of ended tasks, all at once."""
        self._connection.apply([messages.delete_group(names.ENDED_GROUP)])

    def adopt(self, attachments: Iterable[Attachment]) -> None:
        """Take over links that an earlier process left, and delete all others of ours with what leads to them.

        What that process knew of other nodes stays as it is until `apply` tells it anew.
        """
        self._attachments = {attachment.task_id: attachment for attachment in attachments}
        kept = {attachment.link for attachment in self.attachments}
        surplus = [link.index for link in self.container_links() if link.index not in kept]
        self._connection.apply(_if_there(messages.set_link(index, group=names.ENDED_GROUP)) for index in surplus)
        self.sweep()
        present = nft.listed(self._nftables.list_table(names.FAMILY, names.TABLE))
        if command := nft.transaction(*map(nft.of_tasks, (present, self._elements()))):
            self._nftables.run(command)

    def container_links(self) -> list[inventory.Link]:
        """The host's ends of all containers' links, but for spare ones."""
        return [link for link in inventory.links(self._connection) if link.name.startswith(names.LINK_PREFIX)]

    def verify(self) -> list[str]:
        """Compare the kernel with what it should hold, and set right what differs. What was wrong, in a line each.

        Before the first `apply` it is not known what the kernel should hold, so nothing is touched.

        Raises:
            Unavailable: the kernel refused.
        """
        if not self._told:
            return []
        self._in_doubt = True
        wrong = [*self._repair_devices(), *self._repair_routes(), *self._repair_table()]
        self._in_doubt = False
        return wrong

    def _follow_underlay(self, links: Iterable[inventory.Link]) -> list[str]:
        """Its interface may get another MTU while we run; containers learn of a smaller one as of any path."""
        carrier = next((link for link in links if link.index == self.underlay.link), None)
        if carrier is None or carrier.mtu == self.underlay.mtu or carrier.mtu < SMALLEST_MTU:
            return []
        self.underlay = replace(self.underlay, mtu=carrier.mtu)
        return [f"the interface {carrier.name} has another MTU, {carrier.mtu}"]

    def _repair_devices(self) -> list[str]:
        links = {link.name: link for link in inventory.links(self._connection)}
        overlay = links.get(names.VXLAN_DEVICE)
        wrong = self._follow_underlay(links.values())
        if _IP_FORWARD.read_text().strip() != "1":
            wrong.append("forwarding of IPv4 was off")
        if overlay is None or not self._fits(overlay) or not overlay.up or overlay.mtu != self.underlay.overlay_mtu:
            wrong.append(f"the device {names.VXLAN_DEVICE} was missing or changed")
        elif inventory.addresses(self._connection).get(names.GATEWAY) != overlay.index:
            wrong.append(f"the device {names.VXLAN_DEVICE} lacked the address {names.GATEWAY}")
        if wrong:
            _IP_FORWARD.write_text("1")
            self._make_overlay()
        return wrong

    def _repair_routes(self) -> list[str]:
        self._forget_lost_links()
        links = {self._overlay, *(attachment.link for attachment in self.attachments)}
        present = KernelState(
            routes=frozenset(inventory.own_routes(self._connection)),
            neighbours=frozenset(entry for entry in inventory.neighbours(self._connection) if entry.link in links),
            forwarding=frozenset(inventory.forwarding(self._connection, self._overlay)),
            rules=frozenset(inventory.own_rules(self._connection)),
        )
        todo = plan(present, self._state(self._tables, self.attachments))
        self._connection.apply(todo)
        return [f"the kernel's tables differed: {message.what}" for message in todo]

    def _forget_lost_links(self) -> None:
        """A task whose link is gone has lost its namespace, or someone deleted it: there is nothing to route to."""
        present = {link.index for link in self.container_links()}
        for task_id, attachment in list(self._attachments.items()):
            if attachment.link not in present:
                log.warning("The link %s of task %s is gone: it has no network any more", attachment.name, task_id)
                del self._attachments[task_id]

    def _repair_table(self) -> list[str]:
        objects = self._nftables.list_table(names.FAMILY, names.TABLE)
        if not nft.rules_are_whole(objects, self._chains()):
            self._load_table(self._all_elements())
            return [f"the nftables table {names.TABLE} was missing or its rules were changed"]
        if not (command := nft.transaction(nft.listed(objects), self._all_elements())):
            return []
        self._nftables.run(command)
        return [f"elements of the nftables table {names.TABLE} differed: {command.splitlines()[0][:200]}"]

    def reset(self) -> None:
        """Remove everything of ours from this host's network."""
        self._nftables.run(f"add table {names.FAMILY} {names.TABLE}\ndelete table {names.FAMILY} {names.TABLE}")
        self._attachments.clear()
        for link in inventory.links(self._connection):
            if names.is_ours(link.name):
                self._connection.apply(
                    [_if_there(messages.set_link(link.index, group=names.ENDED_GROUP))],
                )
        self.sweep()
        self._connection.apply([messages.delete_link(names.VXLAN_DEVICE)])
        self._connection.apply(messages.delete_rule(rule) for rule in inventory.own_rules(self._connection))
        self._connection.apply(messages.delete_route(route) for route in inventory.own_routes(self._connection))


def _if_there(message: messages.Message) -> messages.Message:
    """The same, content when its object is gone: links of containers vanish with their namespaces at any moment."""
    return message._replace(harmless=messages.GONE)
