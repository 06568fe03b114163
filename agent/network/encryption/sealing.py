"""All of a node's encrypted tunnels: by WireGuard to nodes that have it too, by ESP to the others. Blocking."""

from collections.abc import Callable, Sequence, Set

from agent.network.encryption.by_esp import ByEsp, Place
from agent.network.encryption.by_wireguard import ByWireGuard
from agent.network.encryption.kinds import Kind
from agent.network.encryption.sealed import Moves, Sealed, by_kind
from agent.network.encryption.secrets import Secrets
from agent.network.encryption.tunnels import Tunnels
from agent.network.kernel_features import knows_ipsec
from agent.network.netlink.connection import Connection
from agent.network.netlink.messages import Address, Route
from agent.network.settings import NetworkSettings
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.overlay_encryption import AUTO, ESP, WIREGUARD


class Sealing:
    """For the thread that made it, but for what says otherwise.

    Args:
        connection: of rtnetlink; stays the caller's.
        place: of this node.
        run: executes a transaction of nft.
    """

    def __init__(
        self, *, connection: Connection, settings: NetworkSettings, place: Place, run: Callable[[str], None]
    ) -> None:
        self._wanted = wanted = settings.overlay_encryption
        wireguard = ByWireGuard(connection=connection, first_port=settings.wireguard_port)
        esp = ByEsp(
            connection=connection,
            place=place,
            vni=settings.vni,
            first_port=settings.esp_port,
            secrets=Secrets(settings.keys_directory),
            has_rules=wanted != WIREGUARD and knows_ipsec(run),
        )
        kinds: tuple[Kind, ...] = (wireguard, esp)
        self.features = [each.feature for each in kinds if each.feature and wanted in (AUTO, each.feature)]
        """What of this the kernel has, and is to be used, by the names of `NodeDescription.features`."""
        self.esp_ports = (settings.esp_port, settings.esp_port + 1) if esp.feature else ()
        """UDP ports where nothing may be in clear; none where the kernel cannot tell."""
        self._wireguard = Tunnels(connection=connection, kind=wireguard)
        self._esp = Tunnels(connection=connection, kind=esp)
        self._place = place
        self._parts = (self._wireguard, self._esp)
        self._nodes: tuple[Set[Address], Set[Address]] = (frozenset(), frozenset())

    def close(self) -> None:
        for part in self._parts:
            part.close()

    def begin(self) -> None:
        """See `Tunnels.begin`."""
        for part in self._parts:
            part.begin()

    def reset(self) -> None:
        """See `Tunnels.reset`."""
        for part in self._parts:
            part.reset()

    @property
    def mtu(self) -> int:
        """What is left for a packet of a container on an encrypted network, bytes; towards some nodes less."""
        underlay = self._place.underlay
        return underlay.esp_mtu if self.features == [ESP] else underlay.wireguard_mtu

    def apply(self, sealed: Sealed) -> None:
        """See `Tunnels.apply`."""
        # What lacks everything is told that it does by what it was to use.
        used = self.features or [ESP if self._wanted == ESP else WIREGUARD]
        by_wireguard, by_esp = by_kind(sealed, wireguard=WIREGUARD in used, esp=ESP in used)
        self._nodes = (by_wireguard.keys.keys(), by_esp.keys.keys())
        underlay = self._place.underlay
        self._wireguard.apply(by_wireguard, underlay.wireguard_mtu)
        self._esp.apply(by_esp, underlay.esp_mtu)

    def move(self, moves: Moves) -> None:
        """See `Tunnels.move`."""
        for part, nodes in zip(self._parts, self._nodes, strict=True):
            part.move(moves.of(nodes))

    def look(self) -> list[str]:
        """See `Tunnels.look`."""
        underlay = self._place.underlay
        return [*self._wireguard.look(underlay.wireguard_mtu), *self._esp.look(underlay.esp_mtu)]

    @property
    def fault(self) -> str:
        """See `Tunnels.fault`."""
        return self._wireguard.fault or self._esp.fault

    @property
    def routes(self) -> frozenset[Route]:
        return frozenset(self._wireguard.routes | self._esp.routes)

    @property
    def keys(self) -> Sequence[OverlayKey]:
        """The public ones, for other nodes. Safe to read from any thread, as `is_settled` is."""
        return (*self._wireguard.keys, *self._esp.keys)

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to be looked after but at the usual times."""
        return self._wireguard.is_settled and self._esp.is_settled
