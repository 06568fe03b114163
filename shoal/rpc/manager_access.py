"""The access table of a manager's API, as `access.py` has the others."""

from shoal.api.v1 import control_pb2, dispatcher_pb2, engine_pb2
from shoal.identity.roles import Role
from shoal.rpc.access import AUTHORITY, Access, allow, methods_of

MANAGER_API: Access = {
    **allow(methods_of(control_pb2.DESCRIPTOR, "Control"), Role.ADMIN),
    **allow(methods_of(engine_pb2.DESCRIPTOR, "Containers"), Role.ADMIN),
    **allow(methods_of(engine_pb2.DESCRIPTOR, "Images"), Role.ADMIN),
    **allow(methods_of(dispatcher_pb2.DESCRIPTOR, "Dispatcher"), Role.AGENT),
    **allow(methods_of(dispatcher_pb2.DESCRIPTOR, "ManagerPeers"), Role.MANAGER),
    **allow([f"{AUTHORITY}/GetRoot", f"{AUTHORITY}/Renew"], *Role),
}
"""On a manager's API port, with mutual TLS."""
