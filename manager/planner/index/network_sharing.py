"""Index of the services that share other services' networks: a change of a provider makes them dirty."""

from collections.abc import Collection
from functools import cached_property

from manager.store.tables import View
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.networks.network_modes import network_provider


class NetworkSharingIndex:
    """Covers all revisions in the store, since tasks may run an earlier one."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._names: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._by_provider)

    def add(self, revision: ServiceRevision) -> None:
        """Add a revision."""
        if name := network_provider(revision.spec.task):
            self._by_provider.setdefault(name, {})[revision.service_id] = None

    @cached_property
    def _by_provider(self) -> dict[str, dict[str, None]]:
        """Ids of services by the name of the provider; computed at the first use."""
        found: dict[str, dict[str, None]] = {}
        for revision in self._view.revisions.values():
            if name := network_provider(revision.spec.task):
                found.setdefault(name, {})[revision.service_id] = None
        return found

    def services_sharing(self, service_id: str) -> Collection[str]:
        """Ids of the services that share the networks of this one's tasks, which may be gone."""
        return self._by_provider.get(self._name(service_id), ())

    def _name(self, service_id: str) -> str:
        name = self._names.get(service_id)
        if name is None:
            service = self._view.services.get(service_id)
            name = service.spec.name if service is not None else self._name_of_removed(service_id)
            self._names[service_id] = name
        return name

    def _name_of_removed(self, service_id: str) -> str:
        revisions = self._view.revisions.values()
        return next((revision.spec.name for revision in revisions if revision.service_id == service_id), "")
