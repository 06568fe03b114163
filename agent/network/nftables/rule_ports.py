"""Ports that the rules match: of tunnels between nodes, and of host services closed to containers."""

from dataclasses import dataclass

CONTROL_PORTS = (7440, 7441, 7442)
"""TCP: the managers' API, the agents' server, and the port that nodes join at."""
OTHER_TUNNEL_PORTS = (4500, 4789, 6081, 8472)
"""UDP ports of tunnels that other programs may run between the same hosts: ESP in UDP (RFC 3948), VXLAN (RFC 7348),
Geneve (RFC 8926), and Linux's former default for VXLAN."""


@dataclass(frozen=True)
class RulePorts:
    """How the overlay's packets are matched, and what is closed to containers.

    Attributes:
        vni: VXLAN network identifier.
        vxlan: UDP port of the unencrypted overlay.
        esp: UDP ports of VXLAN that is accepted and sent in ESP only.
        encrypted: UDP ports that nodes may use for WireGuard and ESP, whatever this one uses.
        closed: TCP ports of hosts that containers must not reach.
        queries: DNS queries per second of one container; also the burst.
    """

    vni: int
    vxlan: int
    esp: tuple[int, ...] = ()
    encrypted: tuple[int, ...] = ()
    closed: tuple[int, ...] = CONTROL_PORTS
    queries: int = 4000

    @property
    def vxlan_ports(self) -> str:
        """Ports of VXLAN, unencrypted or in ESP."""
        return _port_set((self.vxlan, *self.esp))

    @property
    def tunnel_ports(self) -> str:
        """Ports at which any tunnel between nodes may listen, ours or another program's."""
        return _port_set((self.vxlan, *self.esp, *self.encrypted, *OTHER_TUNNEL_PORTS))

    @property
    def closed_ports(self) -> str:
        return _port_set(self.closed)

    def match_overlay(self, ports: str) -> str:
        """Matches packets of our overlay on these ports."""
        # The VNI with the reserved octet behind it: four octets are read faster than three, and the kernel drops
        # packets in which that octet is not zero (RFC 7348, 5).
        return f"udp dport {ports} @th,96,32 {self.vni << 8:#x}"


def _port_set(ports: tuple[int, ...]) -> str:
    return f"{{ {', '.join(map(str, sorted(set(ports))))} }}"
