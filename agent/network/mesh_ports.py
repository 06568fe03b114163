"""The routing mesh's ports on this node: held against other programs, and left to those who had them first."""

from collections.abc import Callable, Collection
from dataclasses import replace
from ipaddress import ip_address

from agent.network.attachment import Port
from agent.network.balancing.frontends import Frontend, Kind, Services
from agent.network.names import LOOPBACK6
from agent.network.netlink.sockets import Socket
from agent.network.ports import PortHolder, Taken
from shoal.errors import Refused, Unavailable


class MeshPorts:
    """A held port is a bound socket: no program can listen there behind the mesh's back, where no client came to it.

    Args:
        foreign: sockets of other programs that wait for clients, asked for only when a port cannot be had.
    """

    def __init__(self, *, holder: PortHolder, foreign: Callable[[], Collection[Socket]]) -> None:
        self._holder = holder
        self._foreign = foreign
        self._held: set[Frontend] = set()

    def follow(self, services: Services) -> Services:
        """Hold what is new and let go of what is gone; the services without the ports that other programs have.

        A port that cannot be held though nobody listens there (a client of the host's own may have it for a moment)
        is led to the service all the same.
        """
        wanted = {frontend for frontend in services.backends if not frontend.kind.is_virtual}
        for gone in self._held - wanted:
            self._holder.release(_key(gone))
        self._held &= wanted
        taken = [frontend for frontend in wanted - self._held if not self._hold(frontend)]
        if not taken:
            return services
        busy = {(each.protocol, each.port) for each in self._foreign()}
        lost = {frontend for frontend in taken if (port_of(frontend).protocol, port_of(frontend).published) in busy}
        kept = {frontend: backends for frontend, backends in services.backends.items() if frontend not in lost}
        return replace(services, backends=kept)

    def yield_to(self, ports: Collection[Port]) -> None:
        """Let go of ports that a task of this node is about to hold: the service has just changed its mode."""
        numbers = {(port.protocol, port.published) for port in ports}
        for frontend in [each for each in self._held if (port_of(each).protocol, port_of(each).published) in numbers]:
            self._holder.release(_key(frontend))
            self._held.remove(frontend)

    def _hold(self, frontend: Frontend) -> bool:
        """False when another socket has it."""
        try:
            self._holder.hold(_key(frontend), [port_of(frontend)])
        except Taken:
            return False
        except (Refused, Unavailable):
            return True  # an address that is another node's: nobody can come to it here
        self._held.add(frontend)
        return True


def port_of(frontend: Frontend) -> Port:
    """The port of the node that a frontend of the mesh is. Its target is not known here."""
    words = frontend.key.split(" . ")
    everywhere = "0.0.0.0" if frontend.kind.version == 4 else "::"  # noqa: S104  (held, not listened on)
    host = ip_address(everywhere if frontend.kind in (Kind.MESH, Kind.MESH6) else words[1])
    host = ip_address("::1") if host == LOOPBACK6 else host
    return Port(int(words[0]), host, int(words[-1]), 0)


def _key(frontend: Frontend) -> str:
    return f"{frontend.kind.value} {frontend.key}"
