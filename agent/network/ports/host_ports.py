"""Host ports in use by other programs, which the routing mesh therefore does not serve."""

import asyncio
from collections.abc import Iterator, Sequence

from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.service_map import Frontend, ServiceMap
from agent.network.ip_protocols import PROTOCOL_NAMES
from agent.network.netlink import sock_diag
from agent.network.netlink.connection import Connection
from agent.network.ports.host_listeners import ProgramNames, ephemeral_ports, foreign_sockets, listeners, programs_at
from agent.network.ports.mesh_ports import MeshPorts, node_port
from agent.network.ports.port_reservations import PortReservations
from shoal.api.v1.node_pb2 import HostListener


class HostPorts:
    """For the event loop's thread; create it in the node's network namespace.

    Args:
        reservations: the ports of this node's tasks.
    """

    def __init__(self, *, reservations: PortReservations) -> None:
        self._reservations = reservations
        self._connection = Connection(sock_diag.SOCK_DIAG)
        self._names = ProgramNames()
        self.mesh = MeshPorts(reservations=reservations, foreign_sockets=self.foreign_sockets)
        self.excluded: frozenset[Frontend] = frozenset()
        """Frontends that this node does not serve, since other programs use their ports."""
        self.listeners: Sequence[HostListener] = ()

    def close(self) -> None:
        self._connection.close()

    def foreign_sockets(self) -> list[sock_diag.Socket]:
        """Listening sockets of other programs.

        Raises:
            Unavailable: the kernel refused.
        """
        return foreign_sockets(
            sock_diag.listening_sockets(self._connection), self._reservations.inodes(), ephemeral_ports()
        )

    def apply(self, diff: Diff[ServiceMap]) -> frozenset[Frontend]:
        """Apply a change of the services; returns `excluded`."""
        self.excluded = self.mesh.apply(diff)
        return self.excluded

    async def scan(self) -> bool:
        """Scan the listening ports. Whether `excluded` has changed.

        Raises:
            Unavailable: the kernel refused.
        """
        found = self.foreign_sockets()
        names = await asyncio.to_thread(self._names.names_of, {each.inode for each in found})
        self.listeners = listeners(found, names)
        before, self.excluded = self.excluded, self.mesh.rescan()
        return self.excluded != before

    def fixed_listeners(self) -> list[HostListener]:
        """Listeners on ports outside the ephemeral range; the others are short-lived."""
        ephemeral = ephemeral_ports()
        return [each for each in self.listeners if each.port not in ephemeral]

    def problems(self) -> Iterator[str]:
        """One line for each mesh port that this node does not serve."""
        for frontend in sorted(self.excluded, key=lambda each: each.key):
            port = node_port(frontend)
            name = f"{port.published}/{PROTOCOL_NAMES[port.protocol]}"
            programs = programs_at(self.listeners, port.protocol, port.published)
            yield (
                f"port {name} is in use by {programs} on this node and not "
                "forwarded to its service: stop that program, or publish another port"
            )
