"""An engine with BuildKit's API over a node that is made up."""

from collections.abc import AsyncGenerator, Generator, Set
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

from aiohttp import web

from engine.cluster.home_node import HomeNode
from engine.handlers.images.build_handlers import BuildHandlers
from engine.handlers.images.buildkit_handlers import BuildkitHandlers
from engine.handlers.ping import ping_routes
from engine.handlers.restrictions import Restrictions
from engine.server.call import Call
from engine.server.callers import local_caller
from engine.server.routes import Route, RouteTable
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.errors import NotFound
from shoal.identity.roles import Role
from tests.contract.engine.builds.build_node import BuildNode
from tests.contract.engine.rig.served import ActingFor, Served, served


async def _is_never_active() -> bool:
    return False


async def _no_container(name: str) -> ContainerView:
    raise NotFound(f"No such container: {name}")


async def _network_name(name: str) -> str:
    raise NotFound(f"network {name} not found")


async def _version(call: Call) -> web.StreamResponse:
    return call.json({"Version": "28.2.2", "ApiVersion": "1.50", "MinAPIVersion": "1.24", "Os": "linux"})


async def _info(call: Call) -> web.StreamResponse:
    return call.json({"ID": "x", "OSType": "linux", "Architecture": "x86_64", "ServerVersion": "28.2.2"})


async def _none(call: Call) -> web.StreamResponse:
    return call.json([])


@contextmanager
def served_buildkit(
    node: BuildNode,
    directory: Path,
    forbid: Set[str] = frozenset(),
    acting_for: ActingFor = lambda _: nullcontext(),
) -> Generator[Served]:
    """Serve until the exit.

    Args:
        forbid: to the caller of the Unix socket.
        acting_for: as of `ApiServer`.
    """

    @asynccontextmanager
    async def routes() -> AsyncGenerator[RouteTable]:
        restrictions = Restrictions(forbid, _no_container)
        home = HomeNode(node, "none")
        handlers = BuildkitHandlers(node, home, restrictions=restrictions)
        classic = BuildHandlers(
            node, home, restrictions=restrictions, network_name=_network_name, in_session=handlers.build
        )
        about = (
            Route("GET", "/version", _version, "SystemVersion"),
            Route("GET", "/info", _info, "SystemInfo"),
            Route("GET", "/containers/json", _none, "ContainerList"),
        )
        yield RouteTable(
            [*ping_routes(is_swarm_active=_is_never_active), *about, *handlers.routes(), *classic.routes()]
        )

    with served(routes, directory, local=local_caller(Role.ENGINE), acting_for=acting_for) as found:
        yield found
