"""The node's VXLAN device, its underlay interface and the sysctls that both need. Blocking."""

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.network import well_known
from agent.network.datapath.comparison import Comparison
from agent.network.host import ipv6_support
from agent.network.host.kernel_features import explain_vxlan_error
from agent.network.host.underlay import find_underlay, overlay_address6
from agent.network.ip_types import Address
from agent.network.netlink import rtnetlink, rtnetlink_dump
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink_dump import Link, Vxlan
from agent.network.network_settings import NetworkSettings
from shoal.errors import InvalidInput, Unavailable

_IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
LINK_SETTINGS = {
    rtnetlink.DEVCONF_RP_FILTER: 0,  # our rules check senders, and replies may take another path
    rtnetlink.DEVCONF_ROUTE_LOCALNET: 1,  # 127.0.0.1 reaches published ports
    rtnetlink.DEVCONF_SEND_REDIRECTS: 0,
}
"""Of each of our links in the node's namespace."""


class OverlayDevice:
    """For the thread that creates it.

    Args:
        connection: rtnetlink; the caller closes it.
        address: this host's address, by which other nodes reach it.
    Raises:
        InvalidInput: no interface has the address, or its MTU is too small.
    """

    def __init__(self, *, connection: Connection, address: Address, settings: NetworkSettings) -> None:
        self._connection = connection
        self._settings = settings
        self.index = 0
        self.underlay = find_underlay(address, rtnetlink_dump.addresses(connection), rtnetlink_dump.links(connection))
        self.ipv6_unavailable_reason = ipv6_support.unavailable_reason(self.underlay.overlay_mtu)
        """Why this node had no IPv6 at the start; empty when it had."""
        self.ipv6_lost_reason = ""
        """Why it has lost IPv6 since the start; empty when it has it, or never had."""

    @property
    def has_ipv6(self) -> bool:
        """Whether the kernel accepts IPv6 entries, as last seen."""
        return not (self.ipv6_unavailable_reason or self.ipv6_lost_reason)

    def check_ipv6(self) -> None:
        """See whether IPv6 is still available."""
        if not self.ipv6_unavailable_reason:
            self.ipv6_lost_reason = ipv6_support.unavailable_reason(self.underlay.overlay_mtu)

    def ensure(self) -> None:
        """Create the device, or repair what differs.

        Raises:
            Unavailable: the kernel refused; the text names the missing feature, where that is the reason.
        """
        self._enable_forwarding()
        try:
            self._make()
        except Unavailable as error:
            raise explain_vxlan_error(error) from error

    def compare(self, comparison: Comparison) -> None:
        """Repair what differs."""
        links = rtnetlink_dump.links(self._connection)
        addresses = rtnetlink_dump.addresses(self._connection)
        comparison.attempt(lambda found: self._follow_underlay(found, links, addresses))
        self.check_ipv6()
        if self.ipv6_lost_reason:
            comparison.refused.append(f"containers on this node lost IPv6: {self.ipv6_lost_reason}")
        if repaired := [*self._forwarding_off(), *self._differences(links, addresses)]:
            self.ensure()
            comparison.repaired += repaired

    def _follow_underlay(self, comparison: Comparison, links: Sequence[Link], addresses: dict[Address, int]) -> None:
        """The interface may be recreated, or get another MTU; containers detect a smaller one by path MTU discovery."""
        previous = self.underlay
        try:
            self.underlay = find_underlay(previous.address, addresses, links)
        except InvalidInput as error:
            raise Unavailable(f"the overlay network is down: {error}") from error
        name = next(link.name for link in links if link.index == self.underlay.link)
        if self.underlay.link != previous.link:
            comparison.repaired.append(f"the address {previous.address} moved to interface {name}")
        elif self.underlay.mtu != previous.mtu:
            comparison.repaired.append(f"the MTU of interface {name} changed to {self.underlay.mtu}")

    def _forwarding_off(self) -> list[str]:
        off = []
        if _IP_FORWARD.read_text().strip() != "1":
            off.append("IPv4 forwarding was disabled")
        if self.has_ipv6 and not ipv6_support.is_forwarding_enabled():
            off.append("IPv6 forwarding was disabled")
        return off

    def _differences(self, links: Sequence[Link], addresses: dict[Address, int]) -> list[str]:
        device = next((link for link in links if link.name == well_known.VXLAN_DEVICE), None)
        if device is None or device != self._expected(device):
            return [f"device {well_known.VXLAN_DEVICE} was missing or changed"]
        missing = [each for each in (well_known.GATEWAY, *self._addresses6()) if addresses.get(each) != device.index]
        return [f"device {well_known.VXLAN_DEVICE} was missing the address {each}" for each in missing]

    def _expected(self, device: Link) -> Link:
        """The desired state; index and alias are not compared."""
        underlay = self.underlay
        vxlan = Vxlan(self._settings.vni, underlay.link, underlay.address, self._settings.vxlan_port)
        return replace(
            device,
            up=True,
            mtu=underlay.overlay_mtu,
            mac=underlay.vtep_mac,
            master=0,
            vxlan=vxlan,
            group=well_known.OVERLAY_GROUP,
        )

    def _enable_forwarding(self) -> None:
        _IP_FORWARD.write_text("1")
        if self.has_ipv6:
            ipv6_support.enable_forwarding()

    def _make(self) -> None:
        links = {link.name: link for link in rtnetlink_dump.links(self._connection)}
        present = links.get(well_known.VXLAN_DEVICE)
        if present is None or not self._is_reusable(present):
            self._connection.apply([rtnetlink.delete_link(well_known.VXLAN_DEVICE), self._device_message()])
            if not self.ipv6_unavailable_reason:  # refused where IPv6 was disabled since, and not needed there
                self._connection.attempt([rtnetlink.disable_ipv6_autoconf(well_known.VXLAN_DEVICE)])
        self.index = socket.if_nametoindex(well_known.VXLAN_DEVICE)
        self._connection.apply(
            [
                rtnetlink.set_link(
                    self.index,
                    up=True,
                    mtu=self.underlay.overlay_mtu,
                    master=0,
                    group=well_known.OVERLAY_GROUP,
                    ipv4=LINK_SETTINGS,
                ),
                rtnetlink.add_address(self.index, well_known.GATEWAY, rtnetlink.SCOPE_LINK),
                *(rtnetlink.add_address(self.index, each, deprecated=True) for each in self._addresses6()),
            ]
        )

    def _is_reusable(self, device: Link) -> bool:
        """Whether everything that can be set only at creation is as desired."""
        expected = self._expected(device)
        return (device.vxlan, device.mac) == (expected.vxlan, expected.mac)

    def _addresses6(self) -> tuple[Address, ...]:
        """The containers' gateway, the relay's address, and this node's address for other nodes."""
        return (
            (well_known.GATEWAY6, well_known.LOOPBACK6, overlay_address6(self.underlay.address))
            if self.has_ipv6
            else ()
        )

    def _device_message(self) -> rtnetlink.Message:
        return rtnetlink.add_vxlan(
            well_known.VXLAN_DEVICE,
            vni=self._settings.vni,
            mac=self.underlay.vtep_mac,
            local=self.underlay.address,
            link=self.underlay.link,
            port=self._settings.vxlan_port,
            mtu=self.underlay.overlay_mtu,
            up=False,
        )
