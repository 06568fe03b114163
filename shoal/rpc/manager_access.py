"""The access table of a manager's API, as `access.py` has the others."""

from shoal.api.v1 import builds_pb2, control_pb2, dispatcher_pb2, engine_pb2
from shoal.identity.roles import Role
from shoal.rpc.access import AUTHORITY, Access, allow, methods_of

ENGINE_CALLS = (
    "Attach",
    "CreateConfig",
    "CreateNetwork",
    "CreateSecret",
    "CreateService",
    "CreateVolume",
    "GetCluster",
    "GetConfig",
    "GetNetwork",
    "GetNode",
    "GetSecret",
    "GetService",
    "GetVolume",
    "ListConfigs",
    "ListManagers",
    "ListNetworks",
    "ListNodes",
    "ListRevisions",
    "ListSecrets",
    "ListServices",
    "ListTasks",
    "ListVolumes",
    "Logs",
    "RemoveConfig",
    "RemoveNetwork",
    "RemoveNode",
    "RemoveSecret",
    "RemoveService",
    "RemoveVolume",
    "RollbackService",
    "Stats",
    "UpdateCluster",
    "UpdateConfig",
    "UpdateNode",
    "UpdateSecret",
    "UpdateService",
    "WatchEvents",
)
"""Of `Control`, what an engine may call, for itself and on behalf of users: what Docker's API has. Neither join tokens,
managers and keys of the cluster nor its store."""

MANAGER_API: Access = {
    **allow(methods_of(control_pb2.DESCRIPTOR, "Control"), Role.ADMIN),
    **allow([f"/shoal.api.v1.Control/{name}" for name in ENGINE_CALLS], Role.ADMIN, Role.ENGINE),
    **allow(methods_of(engine_pb2.DESCRIPTOR, "Containers"), Role.ADMIN, Role.ENGINE),
    **allow(methods_of(engine_pb2.DESCRIPTOR, "Images"), Role.ADMIN, Role.ENGINE),
    **allow(methods_of(builds_pb2.DESCRIPTOR, "Builds"), Role.ADMIN, Role.ENGINE),
    **allow(methods_of(dispatcher_pb2.DESCRIPTOR, "Dispatcher"), Role.AGENT),
    **allow(methods_of(dispatcher_pb2.DESCRIPTOR, "ManagerPeers"), Role.MANAGER),
    **allow([f"{AUTHORITY}/GetRoot", f"{AUTHORITY}/Renew"], *Role),
    **allow([f"{AUTHORITY}/IssueServerCertificate"], Role.ADMIN, Role.ENGINE),
}
"""On a manager's API port, with mutual TLS."""
