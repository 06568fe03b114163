"""Ports and protocols that our rules know: of the tunnels between nodes, and of the hosts' own that containers must not
reach. As values."""

from dataclasses import dataclass

CONTROL_PORTS = (7440, 7441, 7442)
"""TCP: the managers' API, the agents' server, and where nodes join."""
OTHER_TUNNELS = (4500, 4789, 6081, 8472)
"""UDP ports of tunnels that other programs may have between the same hosts: ESP in UDP (RFC 3948), VXLAN (RFC 7348),
Geneve (RFC 8926), and VXLAN as Linux had it first."""


@dataclass(frozen=True)
class OverlayPorts:
    """How the overlay's own packets are known, and what is closed to containers.

    Attributes:
        vni: VXLAN network identifier.
        open: UDP port of what is in clear.
        sealed: UDP ports of what comes and goes by ESP alone.
        encrypted: UDP ports that nodes may have for WireGuard and ESP, whatever this one has.
        closed: TCP ports of hosts that containers do not reach.
        questions: to the resolver that one container may ask each second; also the most at once.
    """

    vni: int
    open: int
    sealed: tuple[int, ...] = ()
    encrypted: tuple[int, ...] = ()
    closed: tuple[int, ...] = CONTROL_PORTS
    questions: int = 4000

    @property
    def all(self) -> str:
        """Of VXLAN, in clear or by ESP."""
        return _listed((self.open, *self.sealed))

    @property
    def tunnels(self) -> str:
        """Where any tunnel between nodes may listen, ours or another program's."""
        return _listed((self.open, *self.sealed, *self.encrypted, *OTHER_TUNNELS))

    @property
    def control(self) -> str:
        return _listed(self.closed)

    def of_ours(self, ports: str) -> str:
        """Matches packets of our own overlay at these ports."""
        # The VNI with the reserved octet behind it: four octets are read faster than three, and the kernel drops what
        # has anything in that octet (RFC 7348, 5).
        return f"udp dport {ports} @th,96,32 {self.vni << 8:#x}"


def _listed(ports: tuple[int, ...]) -> str:
    return f"{{ {', '.join(map(str, sorted(set(ports))))} }}"
