"""The node's kernel: the one place that changes it. Blocking; all calls are for the thread that made the object."""

import logging
import socket
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from pathlib import Path

from agent.network import ipv6, names
from agent.network.attachment import Attachment, container_messages, host_messages
from agent.network.balancing.balance import Balance
from agent.network.balancing.frontends import Services
from agent.network.encryption.tunnels import Tunnels
from agent.network.host_routes import host_prefixes, warn_of_overlap
from agent.network.kernel_features import rules_refused, tunnel_refused
from agent.network.kernel_state import KernelState, kernel_state, plan
from agent.network.live_tables import LiveTables, Step
from agent.network.lost_links import restored
from agent.network.namespaces import Namespace
from agent.network.netlink import inventory, messages
from agent.network.netlink.connection import Connection
from agent.network.netlink.messages import Address
from agent.network.nftables import elements as nft
from agent.network.nftables.libnftables import Nftables
from agent.network.nftables.ruleset import chains, definition
from agent.network.removal import remove_everything
from agent.network.settings import NetworkSettings
from agent.network.tables import Tables, without_common
from agent.network.underlay import Underlay, find_underlay, node_address6, smallest_mtu
from shoal.errors import ShoalError, Unavailable

log = logging.getLogger(__name__)

_IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_LINK_SETTINGS = {
    messages.DEVCONF_RP_FILTER: 0,  # senders are checked by our rules, and replies may come another way
    messages.DEVCONF_ROUTE_LOCALNET: 1,  # 127.0.0.1 reaches published ports
    messages.DEVCONF_SEND_REDIRECTS: 0,
}


class Datapath:
    """Devices, routes, neighbours, forwarding entries and rules of this node's network namespace."""

    def __init__(self, *, underlay_address: Address, settings: NetworkSettings) -> None:
        self._settings = settings
        self._connection = Connection()
        self._nftables = Nftables()
        self.tunnels = Tunnels(connection=self._connection, first_port=settings.wireguard_port)
        self._live = LiveTables()
        self._balance = Balance()
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
        self.without_ipv6 = ipv6.lacking(self.underlay.overlay_mtu)
        """Why containers of this node cannot have IPv6; empty when they can."""

    @property
    def attachments(self) -> Collection[Attachment]:
        return self._attachments.values()

    def leads_to(self, node: Address) -> bool:
        """Whether the overlay leads to the node of this underlay address. Safe from any thread."""
        return node in self._live.whole.peers

    def close(self) -> None:
        self._nftables.close()
        self.tunnels.close()
        self._connection.close()

    def prepare(self) -> None:
        """Make what every container needs: forwarding, the two devices, the table. What is right stays untouched.

        Raises:
            Unavailable: the kernel lacks something, which the text names.
        """
        self._forward()
        try:
            self._make_overlay()
        except Unavailable as error:
            raise tunnel_refused(error) from error
        warn_of_overlap(self._settings.local_pool, self.host_prefixes())
        present = self._nftables.list_table(names.FAMILY, names.TABLE)
        if not nft.rules_are_whole(present, self._chains()):
            # What an older version of us left keeps working until the planner's tables are told again.
            try:
                self._load_table(nft.merged(nft.listed(present), self._elements()))
            except Unavailable as error:
                raise rules_refused(error, self._nftables.run) from error

    def _forward(self) -> None:
        _IP_FORWARD.write_text("1")
        if not self.without_ipv6:
            ipv6.forward()

    def _chains(self) -> dict[str, tuple[str, ...]]:
        return chains(self._settings.vni, self._settings.vxlan_port, self.underlay.address)

    def host_prefixes(self) -> list[messages.Network]:
        """What the host routes besides us."""
        return host_prefixes(self._connection)

    def _load_table(self, elements: nft.Elements) -> None:
        """Rules and elements in one transaction: at no moment is there a table without its elements."""
        rules = definition(self._settings.vni, self._settings.vxlan_port, self.underlay.address)
        self._nftables.run(rules + nft.transaction(nft.NONE, elements))

    def _make_overlay(self) -> None:
        links = {link.name: link for link in inventory.links(self._connection)}
        present = links.get(names.VXLAN_DEVICE)
        if present is None or not self._fits(present):
            self._connection.apply([messages.delete_link(names.VXLAN_DEVICE), self._overlay_message(self.underlay)])
            if not self.without_ipv6:
                self._connection.apply([messages.without_own_ipv6(names.VXLAN_DEVICE)])
        self._overlay = socket.if_nametoindex(names.VXLAN_DEVICE)
        mtu = self.underlay.overlay_mtu
        self._connection.apply(
            [
                messages.set_link(self._overlay, up=True, mtu=mtu, ipv4=_LINK_SETTINGS),
                messages.add_address(self._overlay, names.GATEWAY, messages.SCOPE_LINK),
                *(messages.add_address(self._overlay, each, last_choice=True) for each in self._addresses6()),
            ]
        )

    def _addresses6(self) -> tuple[Address, ...]:
        """Of the overlay's device: what containers call their gateway, and what other nodes call this one."""
        return () if self.without_ipv6 else (names.GATEWAY6, names.LOOPBACK6, node_address6(self.underlay.address))

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
            up=False,
        )

    def _elements(self) -> nft.Elements:
        return nft.elements(self._live.whole, self.attachments, self._settings.local_pool)

    def _all_elements(self) -> nft.Elements:
        return nft.merged(self._elements(), self._balance.elements())

    def _state(self, tables: Tables, attachments: Collection[Attachment]) -> KernelState:
        return kernel_state(tables, attachments, self._overlay, self._settings.local_pool, ipv6=not self.without_ipv6)

    def apply(self, step: Step, services: Services) -> Collection[Address]:
        """Bring the kernel from the tables and services of the last call a step on, and to these services.

        Returns addresses of backends that clients are not led to any more.


        Raises:
            Unavailable: the kernel refused some; the next call, or `verify`, compares everything and tries again.
        """
        self._live.take(step)
        move, self._told = self._balance.follow(services), True
        if step.sealed is not None:
            self.tunnels.apply(step.sealed, self.underlay.sealed_mtu)
        if self._in_doubt:
            self.verify()
            return move.withdrawn
        self._in_doubt = True
        # Elements of this node's tasks change only when they come and go.
        before, after = (nft.elements(each, (), self._settings.local_pool) for each in (step.before, step.after))
        self._commit(nft.merged(before, move.before), nft.merged(after, move.after))
        differing = without_common(step.before, step.after)
        self._connection.apply(plan(*(self._state(each, ()) for each in differing)))
        self._in_doubt = False
        return move.withdrawn

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

    def link(self, namespace: Namespace, attachment: Attachment) -> Attachment:
        """Give a namespace its addresses and the host's end of its link a name; `admit` is next. On an error nothing
        is left but the link in the group that `sweep` deletes."""
        with suppress(OSError):
            stale = socket.if_nametoindex(attachment.name)
            log.warning("The link %s of an earlier attempt is in the way and is deleted", attachment.name)
            self._connection.apply([messages.set_link(stale, group=names.ENDED_GROUP)])
            self.sweep()
        subnets = self._live.whole.subnets
        if self.tunnels.fault and any(subnets[name].encrypted for name in attachment.addresses if name):
            raise Unavailable(self.tunnels.fault)
        attachment = replace(attachment, link=socket.if_nametoindex(namespace.link))
        self._attachments[attachment.task_id] = attachment
        try:
            self._connection.apply([self._claim(attachment), *host_messages(attachment)])
            namespace.connection.apply(container_messages(attachment, subnets, self.underlay.sealed_mtu))
        except Unavailable:
            self.detach(attachment.task_id)
            raise
        return attachment

    def admit(self, attachments: Iterable[Attachment]) -> None:
        """Let the packets of linked tasks pass: all, or none where the kernel refuses one."""
        self._nftables.run(nft.transaction(nft.NONE, reduce(nft.merged, map(nft.of_attachment, attachments))))

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
        wrong = [*self._repair_devices(), *self.tend(), *self._repair_routes(), *self._repair_table()]
        self._in_doubt = False
        return wrong

    def tend(self) -> list[str]:
        """Look after the encrypted tunnels alone; what was wrong, in a line each."""
        return self.tunnels.look(self.underlay.sealed_mtu)

    def _follow_underlay(self, links: Iterable[inventory.Link]) -> list[str]:
        """Its interface may get another MTU while we run; containers learn of a smaller one as of any path."""
        carrier = next((link for link in links if link.index == self.underlay.link), None)
        if carrier is None or carrier.mtu == self.underlay.mtu or carrier.mtu < smallest_mtu(self.underlay.address):
            return []
        self.underlay = replace(self.underlay, mtu=carrier.mtu)
        return [f"the interface {carrier.name} has another MTU, {carrier.mtu}"]

    def _repair_devices(self) -> list[str]:
        links = {link.name: link for link in inventory.links(self._connection)}
        overlay = links.get(names.VXLAN_DEVICE)
        wrong = self._follow_underlay(links.values())
        if _IP_FORWARD.read_text().strip() != "1":
            wrong.append("forwarding of IPv4 was off")
        if not self.without_ipv6 and not ipv6.is_forwarding():
            wrong.append("forwarding of IPv6 was off")
        if overlay is None or not self._fits(overlay) or not overlay.up or overlay.mtu != self.underlay.overlay_mtu:
            wrong.append(f"the device {names.VXLAN_DEVICE} was missing or changed")
        else:
            present = inventory.addresses(self._connection)
            lacked = [each for each in (names.GATEWAY, *self._addresses6()) if present.get(each) != overlay.index]
            wrong += (f"the device {names.VXLAN_DEVICE} lacked the address {each}" for each in lacked)
        if wrong:
            self._forward()
            self._make_overlay()
        return wrong

    def _repair_routes(self) -> list[str]:
        links_lost = self._restore_links()
        links = {self._overlay, *(attachment.link for attachment in self.attachments)}
        present = KernelState(
            routes=frozenset(inventory.own_routes(self._connection)),
            neighbours=frozenset(entry for entry in inventory.neighbours(self._connection) if entry.link in links),
            forwarding=frozenset(inventory.forwarding(self._connection, self._overlay)),
            rules=frozenset(inventory.own_rules(self._connection)),
        )
        wanted = self._state(self._live.whole, self.attachments)
        todo = plan(present, replace(wanted, routes=wanted.routes | self.tunnels.routes))
        self._connection.apply(todo)
        return [*links_lost, *(f"the kernel's tables differed: {message.what}" for message in todo)]

    def _restore_links(self) -> list[str]:
        """A task whose link is gone gets another one, or is forgotten with its namespace."""
        present = {link.index for link in self.container_links()}
        lost = [each for each in self.attachments if each.link not in present]
        made = restored(lost, self._connection, self._live.whole.subnets, self.underlay, self._claim)
        self._attachments = {each.task_id: each for each in self.attachments if each not in lost or each in made}
        return [f"the link {each.name} was missing" for each in made]

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
        self._attachments.clear()
        remove_everything(self._connection, self._nftables)


def _if_there(message: messages.Message) -> messages.Message:
    """The same, content when its object is gone: links of containers vanish with their namespaces at any moment."""
    return message._replace(harmless=messages.GONE)
