"""What the records of the cluster mean for this node, kept by differences: a change costs what it changes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.network.balancing.frontends import Services, services
from agent.network.balancing.live_services import LiveServices
from agent.network.dns.claims import Claims, claims
from agent.network.encryption.sealed import Moves, Sealed, encrypted_ids, moves, sealed
from agent.network.live_tables import Step
from agent.network.netlink.messages import Address
from agent.network.tables import Tables, tables
from agent.network.told import Part, Told
from agent.worker.table_change import TableChange
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment


@dataclass(frozen=True)
class Understood:
    """What a change of records changes.

    Attributes:
        networks: all, where one of them has changed; else None.
        services: all, sharing what stays the same with those before.
        gone, come: what is claimed of names no more, and from now on; one pair for each service.
    """

    step: Step
    networks: list[NetworkAssignment] | None
    services: Services
    gone: list[Claims]
    come: list[Claims]

    @property
    def takes_names_away(self) -> bool:
        """Whether names lead to less than before, and to nothing new: to be told before the kernel refuses clients."""
        known = set(_led_to(self.gone))
        return bool(known) and all(each in known for each in _led_to(self.come))


def _led_to(claimed: Iterable[Claims]) -> Iterator[tuple[str, str, Address]]:
    return ((network, name, each) for one in claimed for network, name, addresses in one.names for each in addresses)


@dataclass(frozen=True)
class _Reading:
    tables: Tables
    services: list[Services]
    claims: list[Claims]


class Meaning:
    """For one thread.

    Args:
        node_id: of this node.
        ipv6: whether it has it.
    """

    def __init__(self, *, node_id: str, ipv6: bool) -> None:
        self._node_id = node_id
        self._ipv6 = ipv6
        self._services = LiveServices()
        self.told = Told()

    def take(self, change: TableChange) -> Understood:
        """Go to the records after a change.

        Raises:
            InvalidInput: they would be no tables; nothing is changed.
        """
        before, after = self.told.parts(change)
        was, now = self._read(before), self._read(after)
        self.told.take(change)
        self._services.take(was.services, now.services)
        step = Step(was.tables, now.tables, *self._encrypted(change, before, after, was, now))
        networks = list(after.networks.values()) if change.networks else None
        return Understood(step, networks, self._services.whole, was.claims, now.claims)

    def _read(self, part: Part) -> _Reading:
        return _Reading(
            tables(part.places, part.endpoints, part.peers, self._node_id, ipv6=self._ipv6),
            list(self._read_services(part)),
            [claims(service, own, part.networks, ipv6=self._ipv6) for service, own in part.by_service()],
        )

    def _read_services(self, part: Part) -> Iterator[Services]:
        """Each alone, so that what two of them say counts twice."""
        networks = list(part.networks.values())
        for service, own in part.by_service():
            if service is not None:
                yield services(networks, own, [service], self._node_id, ipv6=self._ipv6)

    def _encrypted(
        self, change: TableChange, before: Part, after: Part, was: _Reading, now: _Reading
    ) -> tuple[Sealed | None, Moves]:
        """All of it where a network or a node has changed, else what addresses do."""
        if not (change.networks or change.peers):
            return None, moves(was.tables.sealed.places, now.tables.sealed.places)
        is_meant = encrypted_ids(before.places) or encrypted_ids(after.places)
        return self._sealed() if is_meant else None, Moves()

    def _sealed(self) -> Sealed:
        """Whole: there is one for all encrypted networks."""
        networks = list(self.told.networks.values())
        endpoints = self.told.on_networks(encrypted_ids(networks))
        return sealed(networks, endpoints, list(self.told.peers.values()), self._node_id, ipv6=self._ipv6)
