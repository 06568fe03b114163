"""Ports of the host: who listens there beside us, and what is therefore not led to services."""

import asyncio
from collections.abc import Iterator, Sequence

from agent.network.balancing.frontends import Services
from agent.network.host_listeners import ProgramNames, ephemeral_ports, foreign, listeners, programs_at
from agent.network.mesh_ports import MeshPorts, port_of
from agent.network.netlink import sockets
from agent.network.netlink.connection import Connection
from agent.network.ports import PortHolder
from agent.network.protocols import PROTOCOL_NAMES
from shoal.api.v1.node_pb2 import HostListener


class HostPorts:
    """For the event loop's thread; make it in the node's network namespace.

    Args:
        holder: by which tasks hold their ports.
    """

    def __init__(self, *, holder: PortHolder) -> None:
        self._holder = holder
        self._connection = Connection(sockets.FAMILY)
        self._names = ProgramNames()
        self._wished = Services()
        self.mesh = MeshPorts(holder=holder, foreign=self.foreign)
        self.led = Services()
        self.listeners: Sequence[HostListener] = ()

    def close(self) -> None:
        self._connection.close()

    def foreign(self) -> list[sockets.Socket]:
        """Sockets of other programs that wait for clients.

        Raises:
            Unavailable: the kernel does not tell.
        """
        return foreign(sockets.listening(self._connection), self._holder.inodes(), ephemeral_ports())

    def follow(self, services: Services) -> Services:
        """What of these services is to be led to by this node."""
        self._wished, self.led = services, self.mesh.follow(services)
        return self.led

    async def look(self) -> bool:
        """See who listens now. True when other services are to be led to than after the last `follow`.

        Raises:
            Unavailable: the kernel does not tell.
        """
        found = self.foreign()
        names = await asyncio.to_thread(self._names.of, {each.inode for each in found})
        self.listeners = listeners(found, names)
        before = self.led
        return self.follow(self._wished) != before

    def lasting(self) -> list[HostListener]:
        """Listeners at ports that somebody chose; the others come and go."""
        ephemeral = ephemeral_ports()
        return [each for each in self.listeners if each.port not in ephemeral]

    def problems(self) -> Iterator[str]:
        """A line for each port of the mesh that does not work here."""
        for frontend in sorted(self._wished.backends.keys() - self.led.backends.keys(), key=lambda each: each.key):
            port = port_of(frontend)
            name = f"{port.published}/{PROTOCOL_NAMES[port.protocol]}"
            who = programs_at(self.listeners, port.protocol, port.published)
            yield f"{name} is taken by {who} on this node, so no service gets it: stop that, or publish another port"
