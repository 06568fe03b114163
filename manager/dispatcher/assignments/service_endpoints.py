"""Index of services' virtual addresses and ingress ports by network, kept in sync with the store."""

from collections import defaultdict
from collections.abc import Collection, Iterable

from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import ServiceEndpoint
from shoal.networks.published_ports import MESH_NETWORK


class ServiceEndpointIndex:
    """Services and containers with a virtual address, or with ports on the routing mesh."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._records: dict[str, ServiceEndpoint] = {}
        self._on_network: defaultdict[str, set[str]] = defaultdict(set)
        for service_id in view.service_status:
            self.refresh(service_id)

    def refresh(self, service_id: str) -> set[str]:
        """Read the service from the view; returns the networks whose nodes are affected."""
        old, new = self._records.get(service_id), self._record(service_id)
        if old == new:
            return set()
        networks = _networks(old) | _networks(new)
        for network in networks:
            self._on_network[network].discard(service_id)
        self._records.pop(service_id, None)
        if new is not None:
            self._records[service_id] = new
            for network in _networks(new):
                self._on_network[network].add(service_id)
        return networks

    def on_network(self, network_id: str) -> Collection[str]:
        """Ids of the services that the nodes of a network see."""
        return self._on_network.get(network_id, ())

    def endpoint(self, service_id: str, networks: Collection[str]) -> ServiceEndpoint | None:
        """The part of a service that is on these networks, None if nothing is."""
        record = self._records.get(service_id)
        return _narrowed(record, networks) if record is not None else None

    def _record(self, service_id: str) -> ServiceEndpoint | None:
        status, service = self._view.service_status.get(service_id), self._view.services.get(service_id)
        if status is None or not (status.virtual_addresses or status.mesh_ports):
            return None
        container = self._view.containers.get(service_id)
        # A removed service keeps its name until its last task has ended.
        known = self._records.get(service_id)
        if service is not None:
            name = service.spec.name
        elif container is not None:
            name = container.name
        else:
            name = known.service_name if known is not None else ""
        return ServiceEndpoint(
            service_id=service_id,
            service_name=name,
            virtual_addresses=status.virtual_addresses,
            mesh_ports=status.mesh_ports,
        )


def _networks(record: ServiceEndpoint | None) -> set[str]:
    if record is None:
        return set()
    mesh: Iterable[str] = [MESH_NETWORK] if record.mesh_ports else []
    return {address.network_id for address in record.virtual_addresses} | set(mesh)


def _narrowed(record: ServiceEndpoint, networks: Collection[str]) -> ServiceEndpoint | None:
    own = _networks(record)
    if own.isdisjoint(networks):
        return None
    if own <= set(networks):
        return record
    narrow = ServiceEndpoint()
    narrow.CopyFrom(record)
    del narrow.virtual_addresses[:]
    narrow.virtual_addresses.extend(each for each in record.virtual_addresses if each.network_id in networks)
    if MESH_NETWORK not in networks:
        del narrow.mesh_ports[:]
    return narrow
