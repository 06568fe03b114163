"""All other services as a request leaves them: their ports and addresses are not available. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from manager.store.tables import View
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec
from shoal.errors import Fault


@dataclass(frozen=True)
class OtherServices:
    """What a request changes beside the service in question; nothing by default.

    Attributes:
        submitted: specs that the request creates or changes, by service name; their networks are not resolved yet.
        removed: names of services that the request removes.
    """

    submitted: Mapping[str, ServiceSpec] = field(default_factory=dict)
    removed: Collection[str] = ()

    def specs(self, view: View, name: str) -> Iterator[ServiceSpec]:
        """The specs of all services except the one of this name."""
        for service in view.services.values():
            if service.spec.name not in self.submitted and service.spec.name not in self.removed:
                yield from () if service.spec.name == name else (service.spec,)
        yield from (spec for other, spec in self.submitted.items() if other != name)

    def ports(self, view: View, name: str) -> Iterator[tuple[str, PublishedPort]]:
        """Their ports, with the services' names: as requested, and those that the planner chose."""
        for spec in self.specs(view, name):
            yield from ((spec.name, port) for port in spec.endpoint.ports)
            present = view.service_named(spec.name)
            status = view.service_status.get(present.meta.id) if present is not None else None
            if present is not None and status is not None:
                requested = {port.published for port in present.spec.endpoint.ports}
                yield from ((spec.name, port) for port in status.mesh_ports if port.published not in requested)

    def name_faults(self, view: View, spec: ServiceSpec) -> Iterator[Fault]:
        """A name that another service has in other letter case: they would have one name in DNS (RFC 4343)."""
        if view.service_named(spec.name) is not None:  # it was checked at its creation
            return
        for other in self.specs(view, spec.name):
            if other.name.lower() == spec.name.lower():
                yield Fault(
                    "name",
                    f'differs from service "{other.name}" only in case, '
                    "and DNS names are case-insensitive; choose another name",
                )


UNCHANGED = OtherServices()
"""Of a request that concerns one service only."""
