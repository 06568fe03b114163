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

CONSOLE_CALLS = (
    "CancelVolumeMove",
    "CheckNetwork",
    "CreateConfig",
    "CreateNetwork",
    "CreateSecret",
    "CreateService",
    "CreateVolume",
    "DeployStack",
    "Exec",
    "GetCluster",
    "GetConfig",
    "GetNetwork",
    "GetNode",
    "GetSecret",
    "GetService",
    "GetStore",
    "GetVolume",
    "ListConfigs",
    "ListManagers",
    "ListNetworks",
    "ListNodes",
    "ListRevisions",
    "ListSecrets",
    "ListTasks",
    "ListVolumes",
    "Logs",
    "ManageUpdate",
    "MoveVolume",
    "RebalanceService",
    "RemoveConfig",
    "RemoveNetwork",
    "RemoveSecret",
    "RemoveService",
    "RemoveStack",
    "RemoveVolume",
    "RollbackService",
    "RunJob",
    "ScaleServices",
    "Stats",
    "UpdateConfig",
    "UpdateNode",
    "UpdateSecret",
    "UpdateService",
    "WatchCluster",
    "WatchEvents",
)
"""Of `Control`, what a console may call, for itself and on behalf of users: what its pages do."""
CONSOLE_CONTAINER_CALLS = (
    "CommitContainer",
    "CreateContainer",
    "GetContainer",
    "KillContainer",
    "ListContainers",
    "ListDirectory",
    "ListProcesses",
    "PauseContainer",
    "ReadArchive",
    "RemoveContainer",
    "RenameContainer",
    "RestartContainer",
    "StartContainer",
    "StopContainer",
    "UpdateContainer",
    "WriteArchive",
)
CONSOLE_IMAGE_CALLS = ("GetImage", "ListImages", "PruneImages", "RemoveImage", "SetImage")


def _user_roles() -> Access:
    """What users call, with the engines and consoles that do so on their behalf."""
    roles: dict[str, frozenset[Role] | None] = {}
    engine = {"Control": ENGINE_CALLS, "Containers": None, "Images": None, "Builds": None}
    console = {"Control": CONSOLE_CALLS, "Containers": CONSOLE_CONTAINER_CALLS, "Images": CONSOLE_IMAGE_CALLS}
    files = {"Control": control_pb2, "Containers": engine_pb2, "Images": engine_pb2, "Builds": builds_pb2}
    for service, file in files.items():
        for method in methods_of(file.DESCRIPTOR, service):
            name, of_engine = method.rpartition("/")[2], engine[service]
            is_engine = of_engine is None or name in of_engine
            is_console = name in console.get(service, ())
            also = {role for role, admitted in ((Role.ENGINE, is_engine), (Role.CONSOLE, is_console)) if admitted}
            roles[method] = frozenset({Role.ADMIN, *also})
    return roles


MANAGER_API: Access = {
    **_user_roles(),
    **allow(methods_of(dispatcher_pb2.DESCRIPTOR, "Dispatcher"), Role.AGENT),
    **allow(methods_of(dispatcher_pb2.DESCRIPTOR, "ManagerPeers"), Role.MANAGER),
    **allow([f"{AUTHORITY}/GetRoot", f"{AUTHORITY}/Renew"], *Role),
    **allow([f"{AUTHORITY}/IssueServerCertificate"], Role.ADMIN, Role.ENGINE, Role.CONSOLE),
}
"""On a manager's API port, with mutual TLS."""

FOR_REMOVED_MANAGERS = frozenset({"/shoal.api.v1.ManagerPeers/GetMembership"})
"""What a manager that was removed may still call: to be told so."""

READS_OF_RECORDS = frozenset({"/shoal.api.v1.Containers/ListContainers", "/shoal.api.v1.Control/ListNetworks"})
"""Calls whose answers are of the store's records alone, but for sizes that are asked for: see `conditional_reads`."""
