"""The access tables: which roles may call which method. A method that is in none is denied to everyone.

That of a manager's API is `manager_access.py`: agents do not load its messages.
"""

from collections.abc import Mapping

from shoal.api.v1 import (
    agent_containers_pb2,
    builds_pb2,
    certificate_authority_pb2,
    streams_pb2,
    volume_data_pb2,
)
from shoal.identity.roles import Role

Access = Mapping[str, frozenset[Role] | None]
"""Full method name ("/shoal.api.v1.Control/GetNode") to the roles that may call it.

None admits those without a certificate too.
"""

AUTHORITY = "/shoal.api.v1.CertificateAuthority"
"""The service that both ports of a manager have a part of."""


def allow(methods: list[str], *roles: Role) -> dict[str, frozenset[Role] | None]:
    """These methods for these roles."""
    return dict.fromkeys(methods, frozenset(roles))


def methods_of(file: object, service: str) -> list[str]:
    """Full names of the methods of a service, which a file descriptor has."""
    descriptor = file.services_by_name[service]  # type: ignore[attr-defined]
    return [f"/{descriptor.full_name}/{method.name}" for method in descriptor.methods]


JOIN: Access = {f"{AUTHORITY}/{name}": None for name in ("GetRoot", "FindManagers", "Join", "JoinManager")}
"""On a manager's join port, without certificates of clients."""

AGENT_STREAMS: Access = {
    **allow(methods_of(streams_pb2.DESCRIPTOR, "AgentStreams"), Role.MANAGER),
    **allow(methods_of(agent_containers_pb2.DESCRIPTOR, "AgentContainers"), Role.MANAGER),
    **allow(methods_of(builds_pb2.DESCRIPTOR, "AgentBuilds"), Role.MANAGER),
    **allow(methods_of(volume_data_pb2.DESCRIPTOR, "VolumeData"), Role.AGENT),
}
"""On an agent's stream port, with mutual TLS. Another agent needs a manager's token as well."""

assert set(methods_of(certificate_authority_pb2.DESCRIPTOR, "CertificateAuthority")) == {
    f"{AUTHORITY}/{name}"
    for name in ("GetRoot", "FindManagers", "Join", "JoinManager", "Renew", "IssueServerCertificate")
}
