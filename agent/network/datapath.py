"""The node's kernel: the one place that changes it. Blocking; all calls are for the thread that made the object."""

import logging
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from ipaddress import IPv4Network

from agent.network import names
from agent.network.attachment import Attachment, container_messages, host_messages, read_alias
from agent.network.balancing.balance import Balance
from agent.network.balancing.frontends import Services
from agent.network.balancing.silence import Silence
from agent.network.comparison import Comparison, Findings, asked_again, present_state
from agent.network.encryption.sealing import Sealing
from agent.network.floods import floods
from agent.network.flows import TRIED_SECONDS, Withdrawn
from agent.network.host_routes import host_prefixes
from agent.network.kernel_features import rules_refused
from agent.network.kernel_state import KernelState, additions, kernel_state, only_ipv4, plan, removals
from agent.network.live_tables import LiveTables, Step
from agent.network.local_pool import USUAL, choose_pool, tell_choice
from agent.network.lost_links import LinkSizes, Rooms, changed, restored
from agent.network.namespaces import Namespace
from agent.network.netlink import inventory, messages
from agent.network.netlink.connection import Connection
from agent.network.netlink.messages import Address
from agent.network.nftables import elements as nft
from agent.network.nftables.generation import KernelGeneration
from agent.network.nftables.libnftables import Nftables
from agent.network.nftables.own_table import OwnTable
from agent.network.nftables.ruleset import FLOODS, definition
from agent.network.obstacles import Ports
from agent.network.overlay_device import LINK_SETTINGS, OverlayDevice
from agent.network.removal import ended, remove_everything
from agent.network.settings import NetworkSettings
from agent.network.tables import Tables
from agent.network.underlay import Underlay
from shoal.errors import ShoalError, Unavailable

log = logging.getLogger(__name__)


class Datapath:
    """Devices, routes, neighbours, forwarding entries and rules of this node's network namespace.

    Args:
        resolver_ports: where the resolver listens, by protocol.
    """

    def __init__(
        self, *, underlay_address: Address, settings: NetworkSettings, resolver_ports: Mapping[int, int]
    ) -> None:
        self._settings = settings
        self._connection = Connection()
        self._nftables = Nftables()
        self._generation = KernelGeneration()
        self.findings = Findings()
        self._resolver = nft.of_resolver(resolver_ports)
        self._resolver_port = resolver_ports[socket.IPPROTO_UDP]
        self._live = LiveTables()
        self._balance = Balance()
        self._attachments: dict[str, Attachment] = {}
        self.silence = Silence(clock=time.monotonic, led_to=self._balance.led_to, attached=lambda: self.attachments)
        self._sizes = LinkSizes()
        self._in_doubt, self._told, self._settled = True, False, False
        self.local_pool = USUAL
        """For containers without a network; chosen by `prepare`."""
        try:
            self._overlay = OverlayDevice(connection=self._connection, address=underlay_address, settings=settings)
        except ShoalError:
            self._close()
            raise
        run = self._nftables.run
        self.tunnels = Sealing(connection=self._connection, settings=settings, place=self._overlay, run=run)
        rules = definition(settings.rule_ports(self.tunnels.esp_ports), underlay_address)
        self._table = OwnTable(nftables=self._nftables, definition=rules, generation=self._generation)

    @property
    def attachments(self) -> Collection[Attachment]:
        return self._attachments.values()

    @property
    def underlay(self) -> Underlay:
        """As it was seen last. Safe from any thread."""
        return self._overlay.underlay

    @property
    def without_ipv6(self) -> str:
        """Why containers of this node cannot have IPv6; empty when they can."""
        return self._overlay.without_ipv6

    def leads_to(self, node: Address) -> bool:
        """Whether the overlay leads to the node of this underlay address. Safe from any thread."""
        return node in self._live.whole.peers

    def peers(self) -> dict[Address, str]:
        """The nodes that the overlay leads to, with the MAC addresses of their tunnels' ends."""
        return dict(self._live.whole.peers)

    def close(self) -> None:
        self.tunnels.close()
        self._close()

    def _close(self) -> None:
        for each in (self._nftables, self._generation, self._connection):
            each.close()

    def prepare(self) -> None:
        """Make what every container needs: forwarding, the two devices, the table. What is right stays untouched.

        Raises:
            Unavailable: the kernel lacks something, which the text names.
        """
        self._overlay.make()
        self.tunnels.begin()
        present = self._table.present()
        before = nft.pool_of(present)
        self._choose_pool(before)
        outdated = nft.merged(nft.of_pools(before) if before is not None else nft.NONE, nft.resolver_of(present))
        try:
            self._table.begin(self._elements(), outdated=outdated)
        except Unavailable as error:
            raise rules_refused(error, self._nftables.run) from error

    def _choose_pool(self, before: IPv4Network | None) -> None:
        told, prefixes = self._settings.local_pool, self.host_prefixes()
        aliases = (read_alias(link.alias) for link in self.container_links())
        used = [alias.local for alias in aliases if alias is not None and alias.local is not None]
        self.local_pool = choose_pool(told=told, before=before, used=used, prefixes=prefixes)
        tell_choice(self.local_pool, told=told, prefixes=prefixes)

    def host_prefixes(self) -> list[messages.Network]:
        """What the host routes besides us."""
        return host_prefixes(self._connection)

    def ports(self) -> Ports:
        """What others must reach on this host.

        Raises:
            Unavailable: the underlay's interface is gone.
        """
        try:
            name = socket.if_indextoname(self.underlay.link)
        except OSError as error:
            raise Unavailable(f"the interface of {self.underlay.address} is gone") from error
        own = self._settings
        return Ports(name, self.underlay.address, own.vxlan_port, own.agent_port, self._resolver_port)

    def floods(self) -> list[str]:
        """The tasks that ask the resolver more than it answers, in a line each."""
        return floods(self._nftables.list_set(names.FAMILY, names.TABLE, FLOODS), self.attachments)

    def _elements(self) -> nft.Elements:
        return nft.merged(nft.elements(self._live.whole, self.attachments, self.local_pool), self._resolver)

    def _all_elements(self) -> nft.Elements:
        return nft.merged(self._elements(), self._balance.elements())

    def _state(self, tables: Tables, attachments: Collection[Attachment]) -> KernelState:
        overlay = self._overlay
        return kernel_state(tables, attachments, overlay.index, self.local_pool, ipv6=overlay.has_ipv6)

    def apply(self, step: Step, services: Services) -> Withdrawn:
        """Bring the kernel from the tables and services of the last call a step on, and to these services.

        Routes, neighbours and the like that the kernel refuses are in `findings`, and tried again at each comparison:
        nothing else has to wait for them.

        Raises:
            Unavailable: the kernel refused the rules; the next call, or `verify`, compares everything and tries again.
        """
        parts = self._live.take(step)
        move, self._told = self._balance.follow(services), True
        withdrawn = Withdrawn(move.withdrawn, self._balance.withdrawn_lately(step.gone, TRIED_SECONDS))
        self._connection.attempt(self.silence.begin(withdrawn.gone))
        if step.sealed is not None:
            self.tunnels.apply(step.sealed)
        self.tunnels.move(step.moves)
        if self._in_doubt:
            self.verify()
            return withdrawn
        self._in_doubt = True
        was, will_be = (self._state(each, ()) for each in parts)
        # No client is led to where there is no way yet, or no longer one.
        refusals = self._connection.attempt(additions(was, will_be))
        # Elements of this node's tasks change only when they come and go.
        before, after = (nft.elements(each, (), self.local_pool) for each in (step.before, step.after))
        self._commit(nft.merged(before, move.before), nft.merged(after, move.after))
        refusals += self._connection.attempt(removals(was, will_be))
        self.findings.refuses((asked_again(each.text) for each in refusals), besides=True)
        self._in_doubt = False
        return withdrawn

    def _commit(self, before: nft.Elements, after: nft.Elements) -> None:
        """Change the elements; where the table was not as we left it, set right all of it."""
        try:
            self._table.change(before, after)
        except Unavailable as error:
            log.warning("Our nftables table was changed by someone else, and is set right: %s", error)
            if self._told:  # else the first `apply` does it
                self.findings.repaired(self._table.repair(self._all_elements()))

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
            self._connection.apply([self._claim(attachment), *host_messages(self._as_host_takes(attachment))])
            namespace.connection.apply(container_messages(attachment, subnets, self.tunnels.mtu))
        except Unavailable:
            self.detach(attachment.task_id)
            raise
        return attachment

    def _as_host_takes(self, attachment: Attachment) -> Attachment:
        """Without IPv6, where somebody has just turned that off."""
        if attachment.addresses6:
            self._overlay.look_for_ipv6()
        return attachment if self._overlay.has_ipv6 else replace(attachment, addresses6={})

    def admit(self, attachments: Iterable[Attachment]) -> None:
        """Let the packets of linked tasks pass: all, or none where the kernel refuses one."""
        self._table.change(nft.NONE, reduce(nft.merged, map(nft.of_attachment, attachments)))

    def _claim(self, attachment: Attachment) -> messages.Message:
        return messages.set_link(
            attachment.link,
            up=True,
            name=attachment.name,
            alias=attachment.alias,
            group=names.LIVE_GROUP,
            master=0,
            ipv4=LINK_SETTINGS,
            asks_nobody=True,  # else a container fills the host's table of neighbours
        )

    def withdraw(self, task_id: str) -> None:
        """Lead no new connection to a task by its ports of this node. An unknown one is passed over."""
        if was := self._attachments.get(task_id):
            self._attachments[task_id] = without = replace(was, ports=())
            self._commit(nft.of_attachment(was), nft.of_attachment(without))

    def detach(self, *task_ids: str) -> None:
        """Withdraw ports and addresses at once; the links go at the next `sweep`. Unknown tasks are passed over."""
        gone = [each for task_id in task_ids if (each := self._attachments.pop(task_id, None)) is not None]
        if not gone:
            return
        try:
            self._commit(reduce(nft.merged, map(nft.of_attachment, gone)), {})
        finally:
            self._connection.attempt(self.silence.after(gone))
            self._connection.apply(ended(each.link) for each in gone)

    def sweep(self) -> bool:
        """Delete the links of ended tasks, all at once, and silence that is over; whether some of it is not."""
        self._connection.apply([messages.delete_group(names.ENDED_GROUP), *self.silence.over()])
        return self.silence.lasts

    def adopt(self, attachments: Iterable[Attachment]) -> None:
        """Take over links that an earlier process left, and delete all others of ours with what leads to them. What it
        knew of other nodes stays as it is until `apply` tells it anew."""
        self._attachments = {attachment.task_id: attachment for attachment in attachments}
        kept = {attachment.link for attachment in self.attachments}
        surplus = [link.index for link in self.container_links() if link.index not in kept]
        self._connection.apply(map(ended, surplus))
        self.sweep()
        self.silence.resume(inventory.silent_routes(self._connection))
        self._table.keep_only(self._elements())

    def container_links(self) -> list[inventory.Link]:
        """The host's ends of all containers' links, but for spare ones."""
        return [link for link in inventory.links(self._connection) if link.name.startswith(names.LINK_PREFIX)]

    def verify(self) -> list[str]:
        """Compare the kernel with what it should hold, and set right what differs. What was wrong, in a line each.

        Each part is done whatever the kernel refuses of the others; `findings` has it all. Before the first `apply` it
        is not known what the kernel should hold, so nothing is touched.

        Raises:
            Unavailable: the kernel refused the rules.
        """
        if not self._told:
            return []
        self._in_doubt = True
        found = Comparison()
        found.attempt(self._overlay.compare)
        found.attempt(lambda found: found.wrong.extend(self.tunnels.look()))
        found.attempt(self._repair_links)
        found.attempt(self._repair_routes)
        try:
            found.wrong += self._table.repair(self._all_elements())
        except Unavailable as error:
            found.refused.append(str(error))
            raise
        finally:
            # What the first comparison adds was never there: nobody has changed it.
            self.findings.repaired(found.wrong if self._settled else ())
            self.findings.refuses(found.refused)
        self._in_doubt, self._settled = False, True
        return found.wrong

    def tend(self) -> list[str]:
        """Look after the encrypted tunnels alone; what was wrong, in a line each."""
        wrong = self.tunnels.look()
        self.findings.repaired(wrong)
        return wrong

    def _repair_links(self, found: Comparison) -> None:
        """A task whose link is gone gets another one, or is forgotten with its namespace."""
        links = {link.index: link for link in inventory.links(self._connection)}
        lost = [each for each in self.attachments if each.link not in links]
        ours = {each.link: each for each in self.attachments if each.link in links}
        sizes = self._sizes.wanted(links[index] for index in ours)
        for index, attachment in ours.items():
            if text := changed(links[index], attachment, sizes[index]):
                self._connection.apply([self._claim(attachment), messages.set_link(index, mtu=sizes[index])])
                found.wrong.append(f"the link {attachment.name} {text}")
        rooms = Rooms(self.underlay.overlay_mtu, self.tunnels.mtu)
        made = restored(lost, self._connection, self._live.whole.subnets, rooms, self._claim, found)
        self.silence.after([self._attachments.pop(each.task_id) for each in lost if each not in made])

    def _repair_routes(self, found: Comparison) -> None:
        present = present_state(self._connection, self._overlay.index, {each.link for each in self.attachments})
        wanted = self._state(self._live.whole, self.attachments)
        wanted = replace(wanted, routes=wanted.routes | self.tunnels.routes | self.silence.routes)
        todo = plan(present, wanted if self._overlay.has_ipv6 else only_ipv4(wanted))
        refusals = self._connection.attempt(todo)
        found.refused += (asked_again(each.text) for each in refusals)
        refused = {id(each.message) for each in refusals}
        found.wrong += (f"the kernel's tables differed: {each.what}" for each in todo if id(each) not in refused)

    def reset(self) -> None:
        """Remove everything of ours from this host's network."""
        self._attachments.clear()
        self.tunnels.reset()
        remove_everything(self._connection, self._nftables)
