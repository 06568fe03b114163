"""Reserves the routing mesh's ports on this node, except those that other programs already use."""

from collections.abc import Callable, Collection
from ipaddress import ip_address

from agent.network.attachments.attachment import Port
from agent.network.cluster_state.diff import Diff
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
        self._unreserved: set[Frontend] = set()

    def apply(self, diff: Diff[ServiceMap]) -> frozenset[Frontend]:
        """Release the ports of removed frontends, and reserve those of added ones. Returns the same as `rescan`."""
        for removed in diff.removed.backends.keys() - diff.added.backends.keys():
            if removed in self._reserved:
                self._release(removed)
            self._unreserved.discard(removed)
        added = diff.added.backends.keys() - diff.removed.backends.keys()
        self._unreserved |= {frontend for frontend in added if not frontend.kind.is_virtual}
        return self.rescan()

    def rescan(self) -> frozenset[Frontend]:
        """Reserve the ports that are free now; returns those that other programs use.

        A port that cannot be reserved although no program listens there (a client of the host may use it briefly) is
        served all the same.
        """
        unavailable = [frontend for frontend in list(self._unreserved) if not self._reserve(frontend)]
        if not unavailable:
            return frozenset()
        busy = {(each.protocol, each.port) for each in self._foreign_sockets()}
        ports = ((frontend, node_port(frontend)) for frontend in unavailable)
        return frozenset(frontend for frontend, port in ports if (port.protocol, port.published) in busy)

    def release_for(self, ports: Collection[Port]) -> None:
        """Release ports that a task of this node is about to reserve: the service has just changed its mode."""
        numbers = {(port.protocol, port.published) for port in ports}
        for frontend in [
            each for each in self._reserved if (node_port(each).protocol, node_port(each).published) in numbers
        ]:
            self._release(frontend)

    def _release(self, frontend: Frontend) -> None:
        self._reservations.release(_reservation_key(frontend))
        self._reserved.remove(frontend)
        self._unreserved.add(frontend)

    def _reserve(self, frontend: Frontend) -> bool:
        """False when another socket uses it."""
        try:
            self._reservations.reserve(_reservation_key(frontend), [node_port(frontend)])
        except PortInUse:
            return False
        except (Refused, Unavailable):
            return True  # an address of another node: no client can reach it here
        self._unreserved.remove(frontend)
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
