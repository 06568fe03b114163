"""Links of this node's tasks: attached, admitted, withdrawn, detached, taken over. Blocking; single-threaded."""

import logging
import os
import socket
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace

from agent.network import well_known
from agent.network.attachments.attachment import (
    CONTAINER_INDEX,
    Attachment,
    container_messages,
    host_messages,
    removed_host_messages,
    surplus_messages,
)
from agent.network.attachments.namespaces import (
    Namespace,
    connect_to_namespace,
    gateway_messages,
    initial_messages,
    mac_messages,
    random_mac,
)
from agent.network.datapath.datapath_state import DatapathState, merged_elements
from agent.network.datapath.overlay_device import LINK_SETTINGS
from agent.network.datapath.removal import mark_ended
from agent.network.netlink import rtnetlink, rtnetlink_dump
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import VethEnd
from agent.network.nftables import set_elements
from shoal.errors import Unavailable
from shoal.fault_points.injection import fault

log = logging.getLogger(__name__)

_HIGH_INDEX = 1 << 29
"""The kernel counts up from 1, and comes nowhere near."""


class TaskLinks:
    """Changes the links of tasks, their routes and their elements."""

    def __init__(self, state: DatapathState) -> None:
        self._state = state
        self._linking: set[str] = set()
        """Tasks with links; those of most nodes have none, and then nothing is looked for."""

    def link(self, namespace: Namespace, attachment: Attachment) -> Attachment:
        """Configure a namespace's addresses and name the host's end of its link; `admit` follows. After an error only
        the link is left, in the group that `sweep` deletes."""
        state = self._state
        with suppress(OSError):
            stale_index = socket.if_nametoindex(attachment.name)
            log.warning("Deleting the leftover link %s of an earlier attempt", attachment.name)
            state.connection.apply([rtnetlink.set_link(stale_index, group=well_known.ENDED_GROUP)])
            self.sweep()
        subnets = state.cluster.current.subnets
        if state.tunnels.fault and any(subnets[name].encrypted for name in attachment.addresses if name):
            raise Unavailable(state.tunnels.fault)
        attachment = replace(attachment, link=socket.if_nametoindex(namespace.link))
        self._remember(attachment)
        try:
            state.connection.apply([claim_message(attachment), *host_messages(self._without_lost_ipv6(attachment))])
            fault("agent.attach.host-end")
            ipv6 = state.overlay.has_ipv6
            own_mac = mac_messages(attachment.mac, ipv6=ipv6) if attachment.mac != namespace.mac else []
            namespace.connection.apply([*own_mac, *container_messages(attachment, subnets, state.tunnels.mtu)])
            fault("agent.attach.container-end")
        except Unavailable:
            self.detach(attachment.task_id)
            raise
        return attachment

    def _without_lost_ipv6(self, attachment: Attachment) -> Attachment:
        """Without IPv6, where another program has just disabled it."""
        overlay = self._state.overlay
        if attachment.addresses6:
            overlay.check_ipv6()
        return attachment if overlay.has_ipv6 else replace(attachment, addresses6={})

    def admit(self, attachments: Iterable[Attachment]) -> None:
        """Accept the packets of linked tasks: of all, or of none where the kernel refuses one."""
        admitted = list(attachments)
        earlier = self._link_elements(without={each.task_id for each in admitted})
        added = set_elements.merge(merged_elements(admitted), self._link_elements())
        self._state.table.change(earlier, added)
        fault("agent.attach.admitted")

    def _link_elements(self, without: Collection[str] = ()) -> set_elements.Elements:
        """The elements of all links between tasks, except for some tasks."""
        if not self._linking:
            return {}
        every = self._state.attachments.values()
        return set_elements.link_elements([each for each in every if each.task_id not in without])

    def _remember(self, attachment: Attachment) -> None:
        self._state.attachments[attachment.task_id] = attachment
        if attachment.links:
            self._linking.add(attachment.task_id)

    def change(self, attachment: Attachment, netns_fd: int) -> Attachment:
        """Give a container's link other addresses while it runs; one without a link gets one. Idempotent.

        Args:
            attachment: as it is to be; link and MAC address are those that it has.
            netns_fd: the container's network namespace.
        Returns:
            The attachment as it is now.
        Raises:
            Unavailable: the kernel refused; the next call tries all of it again.
        """
        state, task_id = self._state, attachment.task_id
        before, links = state.attachments.get(task_id), self._link_elements()
        subnets = state.cluster.current.subnets
        if state.tunnels.fault and any(subnets[name].encrypted for name in attachment.addresses if name):
            raise Unavailable(state.tunnels.fault)
        inside = connect_to_namespace(netns_fd, socket.NETLINK_ROUTE)
        try:
            if before is None:
                after = self._new_link(attachment, netns_fd, inside)
            else:
                after = replace(attachment, link=before.link, mac=before.mac)
            self._remember(after)
            state.connection.apply([claim_message(after), *host_messages(self._without_lost_ipv6(after))])
            fault("agent.connect.host-end")
            gateway = gateway_messages(ipv6=state.overlay.has_ipv6)
            inside.apply([*gateway, *container_messages(after, subnets, state.tunnels.mtu)])
            own = set_elements.attachment_elements(before) if before is not None else {}
            added = set_elements.merge(set_elements.attachment_elements(after), self._link_elements())
            fault("agent.connect.container-end")
            state.commit(set_elements.merge(own, links), added)
            fault("agent.connect.admitted")
            inside.apply(self._surplus(after, before, inside))
            if before is not None:
                state.connection.apply(removed_host_messages(before, after))
            fault("agent.connect.surplus-removed")
        finally:
            inside.close()
        return after

    def _surplus(self, after: Attachment, before: Attachment | None, inside: Connection) -> list[rtnetlink.Message]:
        """The requests that remove what the container has of networks that it has left."""
        found = rtnetlink_dump.addresses(inside)
        return list(
            surplus_messages(
                after,
                self._state.cluster.current.subnets,
                addresses=[address for address, link in found.items() if link == CONTAINER_INDEX],
                routes=rtnetlink_dump.own_routes(inside),
                earlier=before.all_addresses if before is not None else (),
            )
        )

    def _new_link(self, attachment: Attachment, netns_fd: int, inside: Connection) -> Attachment:
        """Give a container without any a link."""
        state = self._state
        made = replace(attachment, mac=attachment.mac or random_mac())
        ends = (
            VethEnd(made.name, well_known.GATEWAY_MAC),
            VethEnd(well_known.CONTAINER_DEVICE, made.mac),
        )
        mtu = state.overlay.underlay.overlay_mtu
        # The namespace may have had a link: one that an earlier process made, and died before it was named.
        index = int.from_bytes(os.urandom(3), "big") | _HIGH_INDEX
        state.connection.apply([rtnetlink.add_veth(*ends, netns_fd, mtu, well_known.ATTACHED_GROUP, index=index)])
        fault("agent.connect.new-link")
        ipv6 = state.overlay.has_ipv6
        if ipv6:
            state.connection.apply([rtnetlink.disable_ipv6_autoconf(made.name)])
        inside.apply(initial_messages(ipv6=ipv6))
        return replace(made, link=socket.if_nametoindex(made.name))

    def withdraw(self, task_id: str) -> None:
        """Forward no new connection to a task's published ports on this node. Unknown tasks are ignored."""
        if attachment := self._state.attachments.get(task_id):
            self._state.attachments[task_id] = without = replace(attachment, ports=())
            self._state.commit(set_elements.attachment_elements(attachment), set_elements.attachment_elements(without))

    def detach(self, *task_ids: str) -> None:
        """Withdraw ports and addresses at once; the next `sweep` deletes the links. Unknown tasks are ignored."""
        state = self._state
        links = self._link_elements()
        detached = [each for task_id in task_ids if (each := state.attachments.pop(task_id, None)) is not None]
        if not detached:
            return
        try:
            self._linking.difference_update(task_ids)
            state.commit(set_elements.merge(merged_elements(detached), links), self._link_elements())
            fault("agent.detach.withdrawn")
        finally:
            state.connection.attempt(state.blackholes.replace_ended(detached))
            state.connection.apply(mark_ended(each.link) for each in detached)
        fault("agent.detach.link-marked")

    def sweep(self) -> bool:
        """Delete the links of stopped tasks, and expired blackhole routes. Whether blackhole routes remain."""
        expired = self._state.blackholes.remove_expired()
        self._state.connection.apply([rtnetlink.delete_group(well_known.ENDED_GROUP), *expired])
        fault("agent.detach.swept")
        return self._state.blackholes.is_active

    def adopt(self, attachments: Iterable[Attachment]) -> None:
        """Take over links that an earlier process left, and delete all our other links with their entries. What that
        process knew of other nodes stays until the first change of the derived state."""
        state = self._state
        state.attachments.clear()
        self._linking.clear()
        for attachment in attachments:
            self._remember(attachment)
        adopted_links = {attachment.link for attachment in state.attachments.values()}
        surplus = [link.index for link in state.container_links() if link.index not in adopted_links]
        state.connection.apply(map(mark_ended, surplus))
        fault("agent.recover.links")
        self.sweep()
        state.blackholes.recover(rtnetlink_dump.blackhole_routes(state.connection))
        state.table.keep_attachments(state.task_elements())

    def container_links(self) -> list[rtnetlink_dump.Link]:
        """The host's ends of all container links, except spare ones."""
        return self._state.container_links()


def claim_message(attachment: Attachment) -> rtnetlink.Message:
    """The request that names and configures a link as the attachment's."""
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
