"""The node's encrypted tunnels: the one place that changes them. Blocking; for the thread that made the object."""

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from agent.network.encryption.changes import STALE_SECONDS, additions, differences, removals, sound
from agent.network.encryption.generations import (
    Tunnel,
    device_name,
    device_port,
    is_settled,
    outdated,
    routes,
    superseded,
    wanted_peers,
)
from agent.network.encryption.sealed import Sealed
from agent.network.kernel_state import KernelState, plan
from agent.network.names import TUNNEL_PREFIX
from agent.network.netlink import inventory, messages, wireguard
from agent.network.netlink.connection import Connection
from agent.network.netlink.inventory import Link
from agent.network.netlink.messages import Message, Route
from agent.network.netlink.wireguard import Peer, PeerState
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.errors import Unavailable
from shoal.overlay_encryption import FEATURE

log = logging.getLogger(__name__)

QUIET_SECONDS = 30.0
"""Without a packet on older keys, after which they are thrown away."""
_LACKING = "this kernel lacks WireGuard (CONFIG_WIREGUARD): load the module wireguard, or take a kernel that has it"
_ALIAS = re.compile(r"keys of generation (\d+)")
_LINK_SETTINGS = {messages.DEVCONF_RP_FILTER: 0, messages.DEVCONF_SEND_REDIRECTS: 0}


class Tunnels:
    """Devices, keys, peers and routes of encrypted networks.

    A private key is made here, handed to the kernel and forgotten: it lies nowhere else, and lives as long as the
    device. A later process of the agent finds the devices, and disturbs nothing.

    Args:
        connection: of rtnetlink; stays the caller's.
        first_port: UDP; the next one is used too.
        clock: seconds, steady.
        now: seconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        first_port: int,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._generic = Connection(wireguard.GENERIC)
        self._first_port = first_port
        self._clock = clock
        self._now = now
        self._family = wireguard.family(self._generic)
        self._sealed = Sealed()
        self._mtu = 0
        self._tunnels: dict[int, Tunnel] = {}
        self._quiet: dict[int, tuple[int, float]] = {}
        self._in_doubt = True
        self.routes: frozenset[Route] = frozenset()
        self.fault = ""
        """Why nothing is encrypted though it should be; such tasks have no way to other nodes."""
        self.keys: tuple[OverlayKey, ...] = ()
        """The public ones, for other nodes. Safe to read from any thread, as `is_settled` is."""
        self.is_settled = True
        """Whether there is nothing to be looked after but at the usual times."""

    @property
    def features(self) -> list[str]:
        """What of this the kernel has, by the names of `NodeDescription.features`."""
        return [] if self._family is None else [FEATURE]

    def close(self) -> None:
        self._generic.close()

    def apply(self, sealed: Sealed, mtu: int) -> None:
        """Bring devices, peers and routes to this.

        What the kernel refuses is told in `fault` and in the log and tried again at the next look: until then nothing
        leads to other nodes, and other networks do not have to wait.
        """
        if self._is_idle(sealed):
            return
        self._sealed, self._mtu = sealed, mtu
        self._try(self._converge)

    def look(self, mtu: int) -> list[str]:
        """Compare with the kernel, set right what differs, and go on with a change of keys. What was wrong, in a line
        each."""
        if self._is_idle(self._sealed):
            return []
        self._mtu = mtu
        wrong: list[str] = []
        self._try(lambda: wrong.extend(self._look()))
        return wrong

    def _is_idle(self, sealed: Sealed) -> bool:
        """Nothing is encrypted, nor was."""
        return not (sealed.generation or self._sealed.generation or self._tunnels or self._in_doubt)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Unavailable as error:
            fault = f"encrypted networks do not work on this node: {error}"
            if fault != self.fault:
                log.error("%s", fault)
            self.fault = fault
        else:
            self.fault = ""
        ordered = sorted(self._tunnels.values(), key=lambda each: each.generation)
        self.keys = tuple(
            OverlayKey(generation=each.generation, public_key=each.key, port=each.port) for each in ordered
        )
        self.is_settled = not self._in_doubt and is_settled(ordered)

    def _look(self) -> list[str]:
        told = {} if self._in_doubt else self._tunnels
        found = self._found()
        wrong = differences(told.values(), found.values())
        fit = sound(told, found)
        self._delete(each for each in found.values() if each.generation not in fit)
        self._tunnels = fit
        self._connection.apply(
            messages.set_link(each.link, up=True, mtu=self._mtu) for each in fit.values() if each.mtu != self._mtu
        )
        self._tunnels = {number: replace(each, mtu=self._mtu) for number, each in fit.items()}
        self._in_doubt = False
        self._converge()
        self._retire()
        return wrong

    def _converge(self) -> None:
        """What others need is added first and removed last."""
        if self._in_doubt:
            self._tunnels = self._found()
        self._in_doubt = True
        self._replace_devices()
        family = self._number()
        added: list[Message] = []
        removed: list[Message] = []
        for number, tunnel in self._tunnels.items():
            wanted = wanted_peers(self._sealed, tunnel)
            added += additions(family, tunnel, wanted)
            removed += removals(family, tunnel, wanted)
            self._tunnels[number] = replace(tunnel, peers=wanted)
        self._generic.apply(added)
        self._lead()
        self._generic.apply(removed)
        self._in_doubt = False

    def _replace_devices(self) -> None:
        gone = superseded(self._sealed, self._tunnels.values())
        for tunnel in gone:
            del self._tunnels[tunnel.generation]
        self._lead()
        self._delete(gone)
        generation = self._sealed.generation
        if generation and generation not in self._tunnels:
            self._tunnels[generation] = self._made(generation)

    def _lead(self) -> None:
        """Let the routes follow the tunnels."""
        wanted = routes(self._sealed, self._tunnels.values())
        self._connection.apply(plan(KernelState(routes=self.routes), KernelState(routes=wanted)))
        self.routes = wanted

    def _delete(self, tunnels: Iterable[Tunnel]) -> None:
        self._connection.apply(messages.delete_link(each.name) for each in tunnels)

    def _retire(self) -> None:
        """Throw away older keys on which nothing has come for a while."""
        for tunnel in outdated(self._sealed, self._tunnels.values()):
            received, since = self._quiet.get(tunnel.generation, (-1, 0.0))
            if received != tunnel.received:
                self._quiet[tunnel.generation] = tunnel.received, self._clock()
            elif self._clock() - since >= QUIET_SECONDS:
                del self._tunnels[tunnel.generation], self._quiet[tunnel.generation]
                self._delete([tunnel])
                log.info("The keys of generation %d are thrown away", tunnel.generation)

    def _made(self, generation: int) -> Tunnel:
        """A device with a new key. Nothing is left when the kernel refuses it."""
        name, port = device_name(generation), device_port(self._first_port, generation)
        family = self._number()
        self._connection.apply([messages.delete_link(name), wireguard.add_device(name, self._mtu)])
        link = socket.if_nametoindex(name)
        try:
            self._generic.apply([wireguard.set_device(family, link, os.urandom(wireguard.KEY_BYTES), port)])
            alias = f"keys of generation {generation}"
            self._connection.apply(
                [messages.set_link(link, alias=alias, ipv4=_LINK_SETTINGS), messages.set_link(link, up=True)]
            )
        except Unavailable as error:
            self._connection.apply([messages.delete_link(name)])
            raise Unavailable(f"the tunnel {name} cannot be had at UDP port {port}: {error}") from error
        log.info("New keys of generation %d at UDP port %d", generation, port)
        return Tunnel(generation, link, wireguard.device(self._generic, family, link).key, port, self._mtu)

    def _number(self) -> int:
        """WireGuard's, asked again where it was not there: its module may have come."""
        self._family = self._family if self._family is not None else wireguard.family(self._generic)
        if self._family is None and (self._sealed.generation or self._tunnels):
            raise Unavailable(_LACKING)
        return self._family or 0

    def _links(self) -> list[Link]:
        return [link for link in inventory.links(self._connection) if link.name.startswith(TUNNEL_PREFIX)]

    def _found(self) -> dict[int, Tunnel]:
        """The devices as the kernel has them; those that are not ours by their alias are not there."""
        found = {}
        for link in self._links():
            if match := _ALIAS.fullmatch(link.alias):
                generation = int(match[1])
                found[generation] = self._read(generation, link)
        return found

    def _read(self, generation: int, link: Link) -> Tunnel:
        device = wireguard.device(self._generic, self._number(), link.index)
        told = self._tunnels.get(generation)
        known = told.peers if told is not None else {}
        return Tunnel(
            generation,
            link.index,
            device.key,
            device.port,
            link.mtu if link.up else 0,
            {key: self._as_told(state, known.get(key)) for key, state in device.peers.items()},
            frozenset(key for key, state in device.peers.items() if state.handshake),
            sum(state.received for state in device.peers.values()),
        )

    def _as_told(self, state: PeerState, told: Peer | None) -> Peer:
        """A peer is spoken to where it was last heard; where it was told to be counts again once it is silent."""
        if told is None or self._now() - state.handshake > STALE_SECONDS:
            return state.peer
        return replace(state.peer, endpoint=told.endpoint)
