"""Reserves the routing mesh's ports on this node, except those that other programs already use."""

from collections.abc import Callable, Collection
from dataclasses import replace
from ipaddress import ip_address

from agent.network.attachments.attachment import Port
from agent.network.cluster_state.service_map import Frontend, FrontendKind, ServiceMap
from agent.network.netlink.sock_diag import Socket
from agent.network.ports.port_reservations import PortInUse, PortReservations
from agent.network.well_known import LOOPBACK6
from shoal.errors import Refused, Unavailable


class MeshPorts:
    """A reserved port is a bound socket: no program can listen there, where no client could reach it.

    Args:
        foreign_sockets: listening sockets of other programs, requested only when a port cannot be reserved.
    """

    def __init__(self, *, reservations: PortReservations, foreign_sockets: Callable[[], Collection[Socket]]) -> None:
        self._reservations = reservations
        self._foreign_sockets = foreign_sockets
        self._reserved: set[Frontend] = set()

    def apply(self, services: ServiceMap) -> ServiceMap:
        """Reserve new ports and release removed ones; returns the services without the ports that other programs use.

        A port that cannot be reserved although no program listens there (a client of the host may use it briefly) is
        served all the same.
        """
        requested = {frontend for frontend in services.backends if not frontend.kind.is_virtual}
        for removed in self._reserved - requested:
            self._reservations.release(_reservation_key(removed))
        self._reserved &= requested
        unavailable = [frontend for frontend in requested - self._reserved if not self._reserve(frontend)]
        if not unavailable:
            return services
        busy = {(each.protocol, each.port) for each in self._foreign_sockets()}
        conflicting = {
            frontend
            for frontend in unavailable
            if (node_port(frontend).protocol, node_port(frontend).published) in busy
        }
        served = {frontend: backends for frontend, backends in services.backends.items() if frontend not in conflicting}
        return replace(services, backends=served)

    def release_for(self, ports: Collection[Port]) -> None:
        """Release ports that a task of this node is about to reserve: the service has just changed its mode."""
        numbers = {(port.protocol, port.published) for port in ports}
        for frontend in [
            each for each in self._reserved if (node_port(each).protocol, node_port(each).published) in numbers
        ]:
            self._reservations.release(_reservation_key(frontend))
            self._reserved.remove(frontend)

    def _reserve(self, frontend: Frontend) -> bool:
        """False when another socket uses it."""
        try:
            self._reservations.reserve(_reservation_key(frontend), [node_port(frontend)])
        except PortInUse:
            return False
        except (Refused, Unavailable):
            return True  # an address of another node: no client can reach it here
        self._reserved.add(frontend)
        return True


def node_port(frontend: Frontend) -> Port:
    """The node's port of a mesh frontend. Its target is not known here."""
    words = frontend.key.split(" . ")
    everywhere = "0.0.0.0" if frontend.kind.version == 4 else "::"  # noqa: S104  (reserved, not listened on)
    host = ip_address(everywhere if frontend.kind in (FrontendKind.MESH, FrontendKind.MESH6) else words[1])
    host = ip_address("::1") if host == LOOPBACK6 else host
    return Port(int(words[0]), host, int(words[-1]), 0)


def _reservation_key(frontend: Frontend) -> str:
    return f"{frontend.kind.value} {frontend.key}"
