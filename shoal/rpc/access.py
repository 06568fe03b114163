"""The access table: which roles may call which method. A method that is not in it is denied to everyone."""

from collections.abc import Mapping

from shoal.api.v1 import (
    agent_containers_pb2,
    certificate_authority_pb2,
    control_pb2,
    dispatcher_pb2,
    engine_pb2,
    streams_pb2,
    volume_data_pb2,
)
from shoal.identity.roles import Role

Access = Mapping[str, frozenset[Role] | None]
"""Full method name ("/shoal.api.v1.Control/GetNode") to the roles that may call it.

None admits those without a certificate too.
"""

_AUTHORITY = "/shoal.api.v1.CertificateAuthority"


def _allow(methods: list[str], *roles: Role) -> dict[str, frozenset[Role] | None]:
    return dict.fromkeys(methods, frozenset(roles))


def _methods(file: object, service: str) -> list[str]:
    descriptor = file.services_by_name[service]  # type: ignore[attr-defined]
    return [f"/{descriptor.full_name}/{method.name}" for method in descriptor.methods]


MANAGER_API: Access = {
    **_allow(_methods(control_pb2.DESCRIPTOR, "Control"), Role.ADMIN),
    **_allow(_methods(engine_pb2.DESCRIPTOR, "Containers"), Role.ADMIN),
    **_allow(_methods(engine_pb2.DESCRIPTOR, "Images"), Role.ADMIN),
    **_allow(_methods(dispatcher_pb2.DESCRIPTOR, "Dispatcher"), Role.AGENT),
    **_allow(_methods(dispatcher_pb2.DESCRIPTOR, "ManagerPeers"), Role.MANAGER),
    **_allow([f"{_AUTHORITY}/GetRoot", f"{_AUTHORITY}/Renew"], *Role),
}
"""On a manager's API port, with mutual TLS."""

JOIN: Access = {f"{_AUTHORITY}/{name}": None for name in ("GetRoot", "FindManagers", "Join")}
"""On a manager's join port, without certificates of clients."""

AGENT_STREAMS: Access = {
    **_allow(_methods(streams_pb2.DESCRIPTOR, "AgentStreams"), Role.MANAGER),
    **_allow(_methods(agent_containers_pb2.DESCRIPTOR, "AgentContainers"), Role.MANAGER),
    **_allow(_methods(volume_data_pb2.DESCRIPTOR, "VolumeData"), Role.AGENT),
}
"""On an agent's stream port, with mutual TLS. Another agent needs a manager's token as well."""

assert set(_methods(certificate_authority_pb2.DESCRIPTOR, "CertificateAuthority")) == {
    f"{_AUTHORITY}/{name}" for name in ("GetRoot", "FindManagers", "Join", "Renew")
}
