"""Ports and protocols that our rules know: of the tunnels between nodes, and of the hosts' own that containers must not
reach. As values."""

from dataclasses import dataclass

CONTROL_PORTS = (7440, 7441, 7442)
"""TCP: the managers' API, the agents' server, and where nodes join."""
OTHER_TUNNEL_PORTS = (4500, 4789, 6081, 8472)
"""UDP ports of tunnels that other programs may have between the same hosts: ESP in UDP (RFC 3948), VXLAN (RFC 7348),
Geneve (RFC 8926), and VXLAN as Linux had it first."""


@dataclass(frozen=True)
class RulePorts:
    """How the overlay's own packets are known, and what is closed to containers.

    Attributes:
        vni: VXLAN network identifier.
        vxlan: UDP port of what is in clear.
        esp: UDP ports of what comes and goes by ESP alone.
        encrypted: UDP ports that nodes may have for WireGuard and ESP, whatever this one has.
        closed: TCP ports of hosts that containers do not reach.
        queries: to the resolver that one container may ask each second; also the most at once.
    """

    vni: int
    vxlan: int
    esp: tuple[int, ...] = ()
    encrypted: tuple[int, ...] = ()
    closed: tuple[int, ...] = CONTROL_PORTS
    queries: int = 4000

    @property
    def vxlan_ports(self) -> str:
        """Of VXLAN, in clear or by ESP."""
        return _port_set((self.vxlan, *self.esp))

    @property
    def tunnel_ports(self) -> str:
        """Where any tunnel between nodes may listen, ours or another program's."""
        return _port_set((self.vxlan, *self.esp, *self.encrypted, *OTHER_TUNNEL_PORTS))

    @property
    def closed_ports(self) -> str:
        return _port_set(self.closed)

    def match_overlay(self, ports: str) -> str:
        """Matches packets of our own overlay at these ports."""
        # The VNI with the reserved octet behind it: four octets are read faster than three, and the kernel drops what
        # has anything in that octet (RFC 7348, 5).
        return f"udp dport {ports} @th,96,32 {self.vni << 8:#x}"


def _port_set(ports: tuple[int, ...]) -> str:
    return f"{{ {', '.join(map(str, sorted(set(ports))))} }}"
