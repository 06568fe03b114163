"""`version`, `info`, `auth`: the engine as a whole."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable

from aiohttp import web

from engine.cluster.home_node import home_node
from engine.protocol.go_times import time_text_ns
from engine.protocol.registry_auth import parse_auth_document, registry_domain
from engine.server.call import Call
from engine.server.routes import Route
from engine.server.server_headers import ENGINE_VERSION
from engine.translate import system
from shoal.api.v1.control_pb2 import GetClusterRequest, ListManagersRequest, ListNodesRequest, NodeView
from shoal.api.v1.engine_pb2 import ListContainersRequest, ListImagesRequest
from shoal.container_states import state_text
from shoal.distribution.check_login import check_login
from shoal.distribution.registries import Registries
from shoal.manager_calls.managers import Managers


class SystemHandlers:
    """The operations about the engine.

    Args:
        home_name: as of `engine.cluster.home_node.HomeNode`.
        shoal_version: of this program.
        listeners: how many clients follow events.
        registries: settings of registries.
    """

    def __init__(
        self,
        managers: Managers,
        *,
        home_name: str,
        shoal_version: str,
        listeners: Callable[[], int],
        registries: Registries,
    ) -> None:
        self._managers = managers
        self._home_name = home_name
        self._shoal_version = shoal_version
        self._listeners = listeners
        self._registries = registries

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/version", self.version, "SystemVersion"),
            Route("GET", "/info", self.info, "SystemInfo"),
            Route("POST", "/auth", self.auth, "SystemAuth"),
        ]

    async def version(self, call: Call) -> web.StreamResponse:
        """The versions of what a request meets."""
        cluster, listed = await asyncio.gather(
            self._managers.call(self._managers.control.GetCluster, GetClusterRequest()),
            self._managers.call(self._managers.control.ListNodes, ListNodesRequest()),
        )
        return call.json(
            system.version_document(
                engine_version=ENGINE_VERSION,
                shoal_version=self._shoal_version,
                cluster=cluster,
                home=self._home(listed.nodes),
            )
        )

    async def info(self, call: Call) -> web.StreamResponse:
        """The cluster in sums."""
        managers = self._managers
        cluster, listed, known, containers, images = await asyncio.gather(
            managers.call(managers.control.GetCluster, GetClusterRequest()),
            managers.call(managers.control.ListNodes, ListNodesRequest()),
            managers.call(managers.control.ListManagers, ListManagersRequest()),
            managers.call(managers.containers.ListContainers, ListContainersRequest(all=True, include_tasks=True)),
            managers.call(managers.images.ListImages, ListImagesRequest()),
        )
        home = self._home(listed.nodes)
        swarm = system.inactive_swarm()
        if not cluster.swarm_hidden:
            swarm = system.active_swarm(
                node_id=home.node.meta.id if home is not None else "",
                node_address=home.node.spec.identity.address if home is not None else "",
                cluster=cluster,
                nodes=len(listed.nodes),
                managers=known.managers,
            )
        summary = system.ClusterSummary(
            cluster=cluster,
            nodes=listed.nodes,
            home=home,
            states=Counter(map(state_text, containers.containers)),
            images=len(images.images),
            swarm=swarm,
            listeners=self._listeners(),
            now=time_text_ns(time.time_ns()),
        )
        return call.json(system.info_document(summary, version=call.version, engine_version=ENGINE_VERSION))

    async def auth(self, call: Call) -> web.StreamResponse:
        """Try credentials of a registry. Nothing is kept: clients send them with each request that needs them."""
        auth = parse_auth_document(await call.json_object(), "invalid JSON")
        registry = self._registries.with_login(
            registry_domain(auth.server), auth.username, auth.password, identity_token=auth.identity_token
        ).find(registry_domain(auth.server))
        await check_login(registry)
        return call.json({"Status": "Login Succeeded", "IdentityToken": ""})

    def _home(self, nodes: Iterable[NodeView]) -> NodeView | None:
        return home_node(nodes, self._home_name)
