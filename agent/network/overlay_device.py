"""The node's VXLAN device, the interface that carries it, and what the host must be set to for both. Blocking."""

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.network import ipv6, names
from agent.network.comparison import Comparison
from agent.network.kernel_features import tunnel_refused
from agent.network.netlink import inventory, messages
from agent.network.netlink.connection import Connection
from agent.network.netlink.inventory import Link, Vxlan
from agent.network.netlink.messages import Address
from agent.network.settings import NetworkSettings
from agent.network.underlay import find_underlay, node_address6
from shoal.errors import InvalidInput, Unavailable

_IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
LINK_SETTINGS = {
    messages.DEVCONF_RP_FILTER: 0,  # senders are checked by our rules, and replies may come another way
    messages.DEVCONF_ROUTE_LOCALNET: 1,  # 127.0.0.1 reaches published ports
    messages.DEVCONF_SEND_REDIRECTS: 0,
}
"""Of every link of ours in the node's namespace."""


class OverlayDevice:
    """For the thread that made it.

    Args:
        connection: of rtnetlink; stays the caller's.
        address: this host's, by which the other nodes reach it.
    Raises:
        InvalidInput: no interface has the address, or its MTU is too small.
    """

    def __init__(self, *, connection: Connection, address: Address, settings: NetworkSettings) -> None:
        self._connection = connection
        self._settings = settings
        self.index = 0
        self.underlay = find_underlay(address, inventory.addresses(connection), inventory.links(connection))
        self.without_ipv6 = ipv6.lacking(self.underlay.overlay_mtu)
        """Why this node has had no IPv6 from the start; empty when it has."""
        self.lost_ipv6 = ""
        """Why it has none now, though it had; empty when it has, or never had."""

    @property
    def has_ipv6(self) -> bool:
        """Whether the kernel takes what is of IPv6, as far as was seen last."""
        return not (self.without_ipv6 or self.lost_ipv6)

    def look_for_ipv6(self) -> None:
        """See whether it is still there."""
        if not self.without_ipv6:
            self.lost_ipv6 = ipv6.lacking(self.underlay.overlay_mtu)

    def make(self) -> None:
        """Make it, or what of it is not as it should be.

        Raises:
            Unavailable: the kernel refused; the text names what it lacks, where that is the reason.
        """
        self._forward()
        try:
            self._make()
        except Unavailable as error:
            raise tunnel_refused(error) from error

    def compare(self, found: Comparison) -> None:
        """Set right what differs."""
        links = inventory.links(self._connection)
        addresses = inventory.addresses(self._connection)
        found.attempt(lambda found: self._follow_underlay(found, links, addresses))
        self.look_for_ipv6()
        if self.lost_ipv6:
            found.refused.append(f"containers of this node have no IPv6 any more: {self.lost_ipv6}")
        if wrong := [*self._unset(), *self._differences(links, addresses)]:
            self.make()
            found.wrong += wrong

    def _follow_underlay(self, found: Comparison, links: Sequence[Link], addresses: dict[Address, int]) -> None:
        """Its interface may be made anew, or get another MTU; containers learn of a smaller one as of any path."""
        was = self.underlay
        try:
            self.underlay = find_underlay(was.address, addresses, links)
        except InvalidInput as error:
            raise Unavailable(f"the overlay does not work: {error}") from error
        name = next(link.name for link in links if link.index == self.underlay.link)
        if self.underlay.link != was.link:
            found.wrong.append(f"the address {was.address} is on another interface, {name}")
        elif self.underlay.mtu != was.mtu:
            found.wrong.append(f"the interface {name} has another MTU, {self.underlay.mtu}")

    def _unset(self) -> list[str]:
        wrong = []
        if _IP_FORWARD.read_text().strip() != "1":
            wrong.append("forwarding of IPv4 was off")
        if self.has_ipv6 and not ipv6.is_forwarding():
            wrong.append("forwarding of IPv6 was off")
        return wrong

    def _differences(self, links: Sequence[Link], addresses: dict[Address, int]) -> list[str]:
        device = next((link for link in links if link.name == names.VXLAN_DEVICE), None)
        if device is None or device != self._wanted(device):
            return [f"the device {names.VXLAN_DEVICE} was missing or changed"]
        lacked = [each for each in (names.GATEWAY, *self._addresses6()) if addresses.get(each) != device.index]
        return [f"the device {names.VXLAN_DEVICE} lacked the address {each}" for each in lacked]

    def _wanted(self, device: Link) -> Link:
        """How it should be; index and alias are nobody's concern."""
        underlay = self.underlay
        terms = Vxlan(self._settings.vni, underlay.link, underlay.address, self._settings.vxlan_port)
        return replace(
            device,
            up=True,
            mtu=underlay.overlay_mtu,
            mac=underlay.vtep_mac,
            master=0,
            vxlan=terms,
            group=names.OVERLAY_GROUP,
        )

    def _forward(self) -> None:
        _IP_FORWARD.write_text("1")
        if self.has_ipv6:
            ipv6.forward()

    def _make(self) -> None:
        links = {link.name: link for link in inventory.links(self._connection)}
        present = links.get(names.VXLAN_DEVICE)
        if present is None or not self._fits(present):
            self._connection.apply([messages.delete_link(names.VXLAN_DEVICE), self._device_message()])
            if not self.without_ipv6:  # refused where IPv6 is gone meanwhile, and not needed there
                self._connection.attempt([messages.without_own_ipv6(names.VXLAN_DEVICE)])
        self.index = socket.if_nametoindex(names.VXLAN_DEVICE)
        self._connection.apply(
            [
                messages.set_link(
                    self.index,
                    up=True,
                    mtu=self.underlay.overlay_mtu,
                    master=0,
                    group=names.OVERLAY_GROUP,
                    ipv4=LINK_SETTINGS,
                ),
                messages.add_address(self.index, names.GATEWAY, messages.SCOPE_LINK),
                *(messages.add_address(self.index, each, last_choice=True) for each in self._addresses6()),
            ]
        )

    def _fits(self, device: Link) -> bool:
        """Whether it differs by nothing that must be so from the beginning."""
        wanted = self._wanted(device)
        return (device.vxlan, device.mac) == (wanted.vxlan, wanted.mac)

    def _addresses6(self) -> tuple[Address, ...]:
        """What containers call their gateway, and what other nodes call this one."""
        return (names.GATEWAY6, names.LOOPBACK6, node_address6(self.underlay.address)) if self.has_ipv6 else ()

    def _device_message(self) -> messages.Message:
        return messages.add_vxlan(
            names.VXLAN_DEVICE,
            vni=self._settings.vni,
            mac=self.underlay.vtep_mac,
            local=self.underlay.address,
            link=self.underlay.link,
            port=self._settings.vxlan_port,
            mtu=self.underlay.overlay_mtu,
            up=False,
        )
