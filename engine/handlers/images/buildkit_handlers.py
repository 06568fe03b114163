"""BuildKit's API on connections that are taken over: `POST /grpc`, and sessions of its clients, `POST /session`."""

from collections.abc import Iterable

from aiohttp import web
from grpc import aio

from engine.buildkit.builder import Builder
from engine.buildkit.control_connection import serve_connection
from engine.buildkit.control_service import BuildkitControl
from engine.buildkit.gateway_service import GatewayService
from engine.buildkit.health_service import HealthService
from engine.buildkit.session.client_session import ClientSessions
from engine.buildkit.solves import Solves
from engine.buildkit.v1.control_pb2_grpc import add_ControlServicer_to_server
from engine.buildkit.v1.gateway_pb2_grpc import add_LLBBridgeServicer_to_server
from engine.buildkit.v1.health_pb2_grpc import add_HealthServicer_to_server
from engine.cluster.home_node import HomeNode
from engine.handlers.images.session_build_handlers import SessionBuilds
from engine.handlers.restrictions import Restrictions
from engine.protocol.errors import bad_request
from engine.server.call import Call
from engine.server.hijack import HijackedResponse
from engine.server.routes import Route
from engine.translate.images.build_request import BuildQuery
from shoal.api.v1.control_pb2 import ListNodesRequest
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.manager_calls.managers import Managers

PROTOCOL = "h2c"
MAX_METHODS, MAX_KEY_CHARACTERS = 1_000, 1_000
_HEADER = "X-Docker-Expose-Session-"


class BuildkitHandlers:
    """The operations."""

    def __init__(self, managers: Managers, home: HomeNode, *, restrictions: Restrictions) -> None:
        self._managers = managers
        self._home = home
        self._solves, self._sessions = Solves(), ClientSessions()
        self._builder = Builder(managers, self._sessions, restrictions.check_build, self._preferred_node)
        self._session_builds = SessionBuilds(self._builder, self._sessions)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/grpc", self.grpc, "Grpc", hijacks=True, remark="builds of Dockerfiles; LLB is refused"),
            Route("POST", "/session", self.session, "Session", hijacks=True),
            Route(
                "POST",
                "/build/cancel",
                self._session_builds.cancel,
                "BuildCancel",
                remark="of version=2; others end with their connection",
            ),
        ]

    async def build(self, call: Call, query: BuildQuery) -> web.StreamResponse:
        """`POST /build` of version 2."""
        return await self._session_builds.build(call, query)

    async def grpc(self, call: Call) -> web.StreamResponse:
        """Serve BuildKit's services on the connection."""
        _check(call)
        control = BuildkitControl(self._managers, self._solves, self._builder, call.caller, platforms=self._platforms)
        gateway = GatewayService(self._solves, self._builder, call.caller)

        def register(server: aio.Server) -> None:
            add_ControlServicer_to_server(control, server)
            add_LLBBridgeServicer_to_server(gateway, server)
            add_HealthServicer_to_server(HealthService(), server)

        await serve_connection(call.upgrade(PROTOCOL), register)
        return HijackedResponse()

    async def session(self, call: Call) -> web.StreamResponse:
        """Keep a client's session, whose services builds call."""
        _check(call)
        identifier = call.header(f"{_HEADER}Uuid")
        if not identifier:
            raise bad_request("a session must have an id")
        methods = call.request.headers.getall(f"{_HEADER}Grpc-Method", [])[:MAX_METHODS]
        shared_key = call.header(f"{_HEADER}Sharedkey")[:MAX_KEY_CHARACTERS]
        await self._sessions.hold(call.caller, identifier, methods, call.upgrade(PROTOCOL), shared_key)
        return HijackedResponse()

    async def _preferred_node(self) -> str:
        home = await self._home.find()
        return home.node.meta.id if home is not None else ""

    async def _platforms(self) -> Iterable[tuple[str, str]]:
        answer = await self._managers.call(self._managers.control.ListNodes, ListNodesRequest())
        ready = (each.node.spec.identity.platform for each in answer.nodes if each.status.state == NodeStatus.READY)
        return [(each.os, each.architecture) for each in ready]


def _check(call: Call) -> None:
    if call.header("upgrade") != PROTOCOL:
        raise bad_request(f"the connection must be upgraded to {PROTOCOL}")
