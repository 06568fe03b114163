"""Changes to the cluster records that this node needs; passed unchanged from the session to the datapath."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint


@dataclass(frozen=True)
class ClusterDiff:
    """Changed records by the keys of `Assignments`; None: removed."""

    networks: Mapping[str, NetworkAssignment | None] = field(default_factory=dict)
    endpoints: Mapping[str, TaskEndpoint | None] = field(default_factory=dict)
    peers: Mapping[str, Peer | None] = field(default_factory=dict)
    services: Mapping[str, ServiceEndpoint | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def merge(self, later: "ClusterDiff") -> "ClusterDiff":
        """Both as one: if both change a record, the later change is kept."""
        return ClusterDiff(
            networks={**self.networks, **later.networks},
            endpoints={**self.endpoints, **later.endpoints},
            peers={**self.peers, **later.peers},
            services={**self.services, **later.services},
        )
