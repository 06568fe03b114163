"""The service `Containers`: which of its calls are served, and who may call them."""

from manager.control_api.containers_servicer import ContainersService
from shoal.api.v1 import engine_pb2
from shoal.api.v1.engine_pb2_grpc import ContainersServicer
from shoal.identity.roles import Role
from shoal.rpc.manager_access import MANAGER_API


def test_every_call_is_served() -> None:
    service = engine_pb2.DESCRIPTOR.services_by_name["Containers"]
    names = {method.name for method in service.methods}
    own = {name for name in names if getattr(ContainersService, name) is not getattr(ContainersServicer, name)}
    assert own == names


def test_only_admins_and_engines_call_them() -> None:
    service = engine_pb2.DESCRIPTOR.services_by_name["Containers"]
    for method in service.methods:
        assert MANAGER_API[f"/{service.full_name}/{method.name}"] == frozenset({Role.ADMIN, Role.ENGINE})
