"""All encrypted tunnels of the node: WireGuard where both ends support it, ESP otherwise. Blocking."""

from collections.abc import Callable, Sequence, Set

from agent.network.cluster_state.encrypted_overlay import (
    AddressMoves,
    EncryptedOverlay,
    moves_on_nodes,
    split_by_method,
)
from agent.network.encryption.esp_driver import EspDriver, NodeAddresses
from agent.network.encryption.esp_key_store import EspKeyStore
from agent.network.encryption.tunnel_driver import TunnelDriver
from agent.network.encryption.tunnel_set import TunnelSet
from agent.network.encryption.wireguard_driver import WireGuardDriver
from agent.network.host.kernel_features import supports_ipsec_match
from agent.network.ip_types import Address
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import KernelRoute
from agent.network.network_settings import NetworkSettings
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.networks.overlay_encryption import AUTO, ESP, WIREGUARD


class EncryptedTunnels:
    """For the thread that creates it, except where noted.

    Args:
        connection: rtnetlink; the caller closes it.
        node: this node's addresses.
        run: executes an nft transaction.
    """

    def __init__(
        self, *, connection: Connection, settings: NetworkSettings, node: NodeAddresses, run: Callable[[str], None]
    ) -> None:
        self._configured = configured = settings.overlay_encryption
        wireguard = WireGuardDriver(connection=connection, first_port=settings.wireguard_port)
        esp = EspDriver(
            connection=connection,
            node=node,
            vni=settings.vni,
            first_port=settings.esp_port,
            secrets=EspKeyStore(settings.keys_directory),
            has_rules=configured != WIREGUARD and supports_ipsec_match(run),
        )
        drivers: tuple[TunnelDriver, ...] = (wireguard, esp)
        self.features = [each.feature for each in drivers if each.feature and configured in (AUTO, each.feature)]
        """The methods that the kernel supports and the settings allow, as in `NodeDescription.features`."""
        self.esp_ports = (settings.esp_port, settings.esp_port + 1) if esp.feature else ()
        """UDP ports where clear text is dropped; none where the kernel cannot match it."""
        self._wireguard = TunnelSet(connection=connection, driver=wireguard)
        self._esp = TunnelSet(connection=connection, driver=esp)
        self._node = node
        self._tunnel_sets = (self._wireguard, self._esp)
        self._nodes: tuple[Set[Address], Set[Address]] = (frozenset(), frozenset())

    def close(self) -> None:
        for part in self._tunnel_sets:
            part.close()

    def recover(self) -> None:
        """See `TunnelSet.recover`."""
        for part in self._tunnel_sets:
            part.recover()

    def reset(self) -> None:
        """See `TunnelSet.reset`."""
        for part in self._tunnel_sets:
            part.reset()

    @property
    def mtu(self) -> int:
        """MTU of containers' packets on an encrypted network, bytes; smaller towards some nodes."""
        underlay = self._node.underlay
        return underlay.esp_mtu if self.features == [ESP] else underlay.wireguard_mtu

    def apply(self, overlay: EncryptedOverlay) -> None:
        """See `TunnelSet.apply`."""
        # Without any supported method, the configured one reports what the kernel lacks.
        used = self.features or [ESP if self._configured == ESP else WIREGUARD]
        by_wireguard, by_esp = split_by_method(overlay, wireguard=WIREGUARD in used, esp=ESP in used)
        self._nodes = (by_wireguard.keys.keys(), by_esp.keys.keys())
        underlay = self._node.underlay
        self._wireguard.apply(by_wireguard, underlay.wireguard_mtu)
        self._esp.apply(by_esp, underlay.esp_mtu)

    def move_addresses(self, moves: AddressMoves) -> None:
        """See `TunnelSet.move_addresses`."""
        for part, nodes in zip(self._tunnel_sets, self._nodes, strict=True):
            part.move_addresses(moves_on_nodes(moves, nodes))

    def reconcile(self) -> list[str]:
        """See `TunnelSet.reconcile`."""
        underlay = self._node.underlay
        return [*self._wireguard.reconcile(underlay.wireguard_mtu), *self._esp.reconcile(underlay.esp_mtu)]

    @property
    def fault(self) -> str:
        """See `TunnelSet.fault`."""
        return self._wireguard.fault or self._esp.fault

    @property
    def routes(self) -> frozenset[KernelRoute]:
        return frozenset(self._wireguard.routes | self._esp.routes)

    @property
    def keys(self) -> Sequence[OverlayKey]:
        """The public keys, for other nodes. Safe to read from any thread, as is `is_settled`."""
        return (*self._wireguard.keys, *self._esp.keys)

    @property
    def is_settled(self) -> bool:
        """Whether no key rollover is in progress, so that periodic reconciliation suffices."""
        return self._wireguard.is_settled and self._esp.is_settled
