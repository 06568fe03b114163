"""One kind of the node's encrypted tunnels: when devices, keys, peers and their routes change. Blocking; for the thread
that made the object."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from agent.network.encryption.changes import differences, sound
from agent.network.encryption.generations import (
    Tunnel,
    is_settled,
    moved_peers,
    outdated,
    routes,
    routes_to,
    superseded,
    wanted_peers,
)
from agent.network.encryption.kinds import Kind
from agent.network.encryption.sealed import Moves, Sealed
from agent.network.kernel_state import KernelState, plan
from agent.network.netlink.connection import Connection
from agent.network.netlink.messages import Address, Route
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

QUIET_SECONDS = 30.0
"""Without a packet on older keys, after which they are thrown away."""


class Tunnels:
    """Devices, keys, peers and routes. A later process of the agent finds the devices, and disturbs nothing.

    Args:
        connection: of rtnetlink; stays the caller's.
        kind: how it is done; closed with this.
        clock: seconds, steady.
    """

    def __init__(self, *, connection: Connection, kind: Kind, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._kind = kind
        self._clock = clock
        self._places: dict[Address, Address] = {}
        self._sealed = Sealed(places=self._places)
        self._mtu = 0
        self._tunnels: dict[int, Tunnel] = {}
        self._quiet: dict[int, tuple[int, float]] = {}
        self._in_doubt = True
        self.routes: set[Route] = set()
        self.fault = ""
        """Why nothing is encrypted though it should be; such tasks have no way to other nodes."""
        self.keys: tuple[OverlayKey, ...] = ()
        """The public ones, for other nodes. Safe to read from any thread, as `is_settled` is."""
        self.is_settled = True
        """Whether there is nothing to be looked after but at the usual times."""

    def close(self) -> None:
        self._kind.close()

    def reset(self) -> None:
        """Remove all, whoever left it.

        Raises:
            Unavailable: the kernel refused.
        """
        self._kind.delete((0, 1))

    def begin(self) -> None:
        """Find what an earlier process left, so that its keys are told from the beginning: others who heard of none
        would not speak with this node any more."""
        self._try(self._recover)

    def _recover(self) -> None:
        self._tunnels = sound({}, self._kind.found({}))
        self._in_doubt = bool(self._tunnels)

    def apply(self, sealed: Sealed, mtu: int) -> None:
        """Bring devices, peers and routes to this.

        What the kernel refuses is told in `fault` and in the log and tried again at the next look: until then nothing
        leads to other nodes, and other networks do not have to wait.
        """
        if self._is_idle(sealed):
            return
        self._places = dict(sealed.places)
        self._sealed, self._mtu = replace(sealed, places=self._places), mtu
        self._try(self._converge)

    def move(self, moves: Moves) -> None:
        """Follow addresses from node to node, by work in proportion to their number. Else as `apply`."""
        if not moves or self._is_idle(self._sealed):
            return
        for address in moves.gone.keys() - moves.come.keys():
            self._places.pop(address, None)
        self._places.update(moves.come)
        self._try(self._converge if self._in_doubt else lambda: self._move(moves))

    def _move(self, moves: Moves) -> None:
        """What others need is added first and removed last."""
        self._in_doubt = True
        todo = []
        for tunnel in self._tunnels.values():
            wanted = moved_peers(moves, self._sealed, tunnel)
            todo.append((replace(tunnel, peers={key: tunnel.peers[key] for key in wanted}), wanted))
        if self._kind.tells_addresses:
            self._kind.add(todo)
        for tunnel, wanted in todo:
            whole = self._tunnels[tunnel.generation]
            self._tunnels[tunnel.generation] = replace(whole, peers={**whole.peers, **wanted})
        old, new = (routes_to(places, self._sealed, self._tunnels.values()) for places in (moves.gone, moves.come))
        self._connection.apply(plan(KernelState(routes=old), KernelState(routes=new)))
        self.routes -= old
        self.routes |= new
        if self._kind.tells_addresses:
            self._kind.remove(todo)
        self._in_doubt = False

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
        kind = self._kind.key_kind
        self.keys = tuple(
            OverlayKey(generation=each.generation, public_key=each.key, port=each.port, kind=kind) for each in ordered
        )
        self.is_settled = not self._in_doubt and is_settled(ordered)

    def _look(self) -> list[str]:
        told = {} if self._in_doubt else self._tunnels
        found = self._kind.found(self._tunnels)
        wrong = differences(told.values(), found.values())
        fit = sound(told, found)
        places = {generation % 2 for generation in fit}
        self._kind.delete(each for each in {*told, *found} - fit.keys() if each % 2 not in places)
        self._tunnels = fit
        for each in fit.values():
            self._kind.mend(each, self._mtu)
        self._tunnels = {number: replace(each, mtu=self._mtu) for number, each in fit.items()}
        self._in_doubt = False
        self._converge()
        self._retire()
        return wrong

    def _converge(self) -> None:
        """What others need is added first and removed last."""
        if self._sealed.generation:
            self._kind.require()
        if self._in_doubt:
            self._tunnels = sound({}, self._kind.found(self._tunnels))
        self._in_doubt = True
        self._replace_devices()
        todo = [(tunnel, wanted_peers(self._sealed, tunnel)) for tunnel in self._tunnels.values()]
        self._kind.add(todo)
        self._tunnels = {tunnel.generation: replace(tunnel, peers=wanted) for tunnel, wanted in todo}
        self._lead()
        self._kind.remove(todo)
        if (newest := self._tunnels.get(self._sealed.generation)) is not None:
            self._kind.knock(newest)
        self._in_doubt = False

    def _replace_devices(self) -> None:
        spent = [
            each for each in self._tunnels.values() if not self._kind.admits(each, wanted_peers(self._sealed, each))
        ]
        gone = {each.generation for each in (*superseded(self._sealed, self._tunnels.values()), *spent)}
        for generation in gone:
            del self._tunnels[generation]
        self._lead()
        self._kind.delete(gone)
        generation = self._sealed.generation
        if generation and generation not in self._tunnels:
            self._tunnels[generation] = self._kind.make(generation, self._mtu)
            log.info("New keys of generation %d by %s", generation, self._tunnels[generation].name)

    def _lead(self) -> None:
        """Let the routes follow the tunnels."""
        wanted = routes(self._sealed, self._tunnels.values())
        self._connection.apply(plan(KernelState(routes=frozenset(self.routes)), KernelState(routes=wanted)))
        self.routes = set(wanted)

    def _retire(self) -> None:
        """Throw away older keys on which nothing has come for a while."""
        for tunnel in outdated(self._sealed, self._tunnels.values()):
            received, since = self._quiet.get(tunnel.generation, (-1, 0.0))
            if received != tunnel.received:
                self._quiet[tunnel.generation] = tunnel.received, self._clock()
            elif self._clock() - since >= QUIET_SECONDS:
                del self._tunnels[tunnel.generation], self._quiet[tunnel.generation]
                self._kind.delete([tunnel.generation])
                log.info("The keys of generation %d are thrown away", tunnel.generation)
