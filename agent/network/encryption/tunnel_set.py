"""The tunnels of one driver: when devices, keys, peers and routes change.

Blocking; for the thread that creates the object.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from agent.network.cluster_state.encrypted_overlay import AddressMoves, EncryptedOverlay
from agent.network.encryption.key_generations import (
    Tunnel,
    desired_peers,
    is_settled,
    peers_after_moves,
    routes,
    routes_to,
    superseded_tunnels,
    unused_tunnels,
)
from agent.network.encryption.peer_changes import intact_tunnels, tunnel_differences
from agent.network.encryption.tunnel_driver import TunnelDriver
from agent.network.ip_types import Address
from agent.network.kernel_state import KernelState, plan
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import KernelRoute
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
"""Without a packet on older keys, after which they are deleted."""


class TunnelSet:
    """Devices, keys, peers and routes. A later agent process takes over the devices without an interruption.

    Args:
        connection: rtnetlink; the caller closes it.
        driver: creates and changes the devices; closed with this.
        clock: seconds, monotonic.
    """

    def __init__(
        self, *, connection: Connection, driver: TunnelDriver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._driver = driver
        self._clock = clock
        self._locations: dict[Address, Address] = {}
        self._overlay = EncryptedOverlay(locations=self._locations)
        self._mtu = 0
        self._tunnels: dict[int, Tunnel] = {}
        self._idle_since: dict[int, tuple[int, float]] = {}
        self._dirty = True
        self.routes: set[KernelRoute] = set()
        self.fault = ""
        """Why encrypted networks are not available; tasks on them then have no routes to other nodes."""
        self.keys: tuple[OverlayKey, ...] = ()
        """The public keys, for other nodes. Safe to read from any thread, as is `is_settled`."""
        self.is_settled = True
        """Whether no key rollover is in progress, so that periodic reconciliation suffices."""

    def close(self) -> None:
        self._driver.close()

    def reset(self) -> None:
        """Remove all tunnels, including those of an earlier process.

        Raises:
            Unavailable: the kernel refused.
        """
        self._driver.delete((0, 1))

    def recover(self) -> None:
        """Find the devices of an earlier process, so that their keys are published from the start: without any, other
        nodes would stop sending to this one."""
        self._try(self._find_devices)

    def _find_devices(self) -> None:
        self._tunnels = intact_tunnels({}, self._driver.list_tunnels({}))
        self._dirty = bool(self._tunnels)

    def apply(self, overlay: EncryptedOverlay, mtu: int) -> None:
        """Bring devices, peers and routes to this state.

        What the kernel refuses is reported in `fault` and in the log, and retried at the next reconciliation: until
        then there are no routes to other nodes, and other networks do not have to wait.
        """
        if self._is_idle(overlay):
            return
        self._locations = dict(overlay.locations)
        self._overlay, self._mtu = replace(overlay, locations=self._locations), mtu
        self._try(self._converge)

    def move_addresses(self, moves: AddressMoves) -> None:
        """Apply moves of addresses, in time proportional to their number. Otherwise like `apply`."""
        if not (moves.removed or moves.added) or self._is_idle(self._overlay):
            return
        for address in moves.removed.keys() - moves.added.keys():
            self._locations.pop(address, None)
        self._locations.update(moves.added)
        self._try(self._converge if self._dirty else lambda: self._move_addresses(moves))

    def _move_addresses(self, moves: AddressMoves) -> None:
        """Entries that others depend on are added first and removed last."""
        self._dirty = True
        todo = []
        for tunnel in self._tunnels.values():
            peers = peers_after_moves(moves, self._overlay, tunnel)
            todo.append((replace(tunnel, peers={key: tunnel.peers[key] for key in peers}), peers))
        if self._driver.uses_allowed_ips:
            self._driver.add_peers(todo)
        for tunnel, peers in todo:
            whole = self._tunnels[tunnel.generation]
            self._tunnels[tunnel.generation] = replace(whole, peers={**whole.peers, **peers})
        old, new = (
            routes_to(locations, self._overlay, self._tunnels.values()) for locations in (moves.removed, moves.added)
        )
        self._connection.apply(plan(KernelState(routes=old), KernelState(routes=new)))
        self.routes -= old
        self.routes |= new
        if self._driver.uses_allowed_ips:
            self._driver.remove_peers(todo)
        self._dirty = False

    def reconcile(self, mtu: int) -> list[str]:
        """Compare with the kernel, repair what differs, and continue a key rollover. One line for each repair."""
        if self._is_idle(self._overlay):
            return []
        self._mtu = mtu
        repaired: list[str] = []
        self._try(lambda: repaired.extend(self._reconcile()))
        return repaired

    def _is_idle(self, overlay: EncryptedOverlay) -> bool:
        """Whether there is, and was, no encrypted network."""
        return not (overlay.generation or self._overlay.generation or self._tunnels or self._dirty)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Unavailable as error:
            fault = f"encrypted networks are not available on this node: {error}"
            if fault != self.fault:
                log.error("%s", fault)
            self.fault = fault
        else:
            self.fault = ""
        ordered = sorted(self._tunnels.values(), key=lambda each: each.generation)
        kind = self._driver.key_kind
        self.keys = tuple(
            OverlayKey(generation=each.generation, public_key=each.key, port=each.port, kind=kind) for each in ordered
        )
        self.is_settled = not self._dirty and is_settled(ordered)

    def _reconcile(self) -> list[str]:
        expected = {} if self._dirty else self._tunnels
        found = self._driver.list_tunnels(self._tunnels)
        repaired = tunnel_differences(expected.values(), found.values())
        intact = intact_tunnels(expected, found)
        used_names = {generation % 2 for generation in intact}
        self._driver.delete(each for each in {*expected, *found} - intact.keys() if each % 2 not in used_names)
        self._tunnels = intact
        for each in intact.values():
            self._driver.repair(each, self._mtu)
        self._tunnels = {number: replace(each, mtu=self._mtu) for number, each in intact.items()}
        self._dirty = False
        self._converge()
        self._delete_unused()
        return repaired

    def _converge(self) -> None:
        """Entries that others depend on are added first and removed last."""
        if self._overlay.generation:
            self._driver.require()
        if self._dirty:
            self._tunnels = intact_tunnels({}, self._driver.list_tunnels(self._tunnels))
        self._dirty = True
        self._replace_devices()
        todo = [(tunnel, desired_peers(self._overlay, tunnel)) for tunnel in self._tunnels.values()]
        self._driver.add_peers(todo)
        self._tunnels = {tunnel.generation: replace(tunnel, peers=peers) for tunnel, peers in todo}
        self._sync_routes()
        self._driver.remove_peers(todo)
        if (newest := self._tunnels.get(self._overlay.generation)) is not None:
            self._driver.send_probe(newest)
        self._dirty = False

    def _replace_devices(self) -> None:
        unusable = [
            each
            for each in self._tunnels.values()
            if not self._driver.can_add(each, desired_peers(self._overlay, each))
        ]
        removed = {each.generation for each in (*superseded_tunnels(self._overlay, self._tunnels.values()), *unusable)}
        for generation in removed:
            del self._tunnels[generation]
        self._sync_routes()
        self._driver.delete(removed)
        generation = self._overlay.generation
        if generation and generation not in self._tunnels:
            self._tunnels[generation] = self._driver.create(generation, self._mtu)
            log.info("New keys, generation %d, on device %s", generation, self._tunnels[generation].name)

    def _sync_routes(self) -> None:
        """Bring the routes in line with the tunnels."""
        desired = routes(self._overlay, self._tunnels.values())
        self._connection.apply(plan(KernelState(routes=frozenset(self.routes)), KernelState(routes=desired)))
        self.routes = set(desired)

    def _delete_unused(self) -> None:
        """Delete older keys on which no packet has arrived for `IDLE_SECONDS`."""
        for tunnel in unused_tunnels(self._overlay, self._tunnels.values()):
            received, since = self._idle_since.get(tunnel.generation, (-1, 0.0))
            if received != tunnel.received:
                self._idle_since[tunnel.generation] = tunnel.received, self._clock()
            elif self._clock() - since >= IDLE_SECONDS:
                del self._tunnels[tunnel.generation], self._idle_since[tunnel.generation]
                self._driver.delete([tunnel.generation])
                log.info("Deleted the keys of generation %d", tunnel.generation)
