"""The service `Containers`: which of its calls are served, and who may call them."""

from manager.control_api.containers_servicer import ContainersService
from shoal.api.v1 import engine_pb2
from shoal.api.v1.engine_pb2_grpc import ContainersServicer
from shoal.identity.roles import Role
from shoal.rpc.manager_access import CONSOLE_CONTAINER_CALLS, MANAGER_API


def test_every_call_is_served() -> None:
    service = engine_pb2.DESCRIPTOR.services_by_name["Containers"]
    names = {method.name for method in service.methods}
    own = {name for name in names if getattr(ContainersService, name) is not getattr(ContainersServicer, name)}
    assert own == names


def test_admins_and_engines_call_them_all_and_consoles_what_their_pages_do() -> None:
    service = engine_pb2.DESCRIPTOR.services_by_name["Containers"]
    for method in service.methods:
        also = {Role.CONSOLE} if method.name in CONSOLE_CONTAINER_CALLS else set()
        assert MANAGER_API[f"/{service.full_name}/{method.name}"] == frozenset({Role.ADMIN, Role.ENGINE, *also})
