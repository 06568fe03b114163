"""Operations that do not work here, each with a sentence that says why; and the lists that are empty instead."""

from http import HTTPStatus

from aiohttp import web

from engine.protocol.errors import ApiError, not_found, not_implemented
from engine.server.call import Call
from engine.server.routes import Handler, Route

NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
_BUILD = "building images is not supported yet; build elsewhere and push or load the image"
_PLUGINS = "plugins are not supported: volumes have CSI drivers, networks and logs are the cluster's own"

_REFUSED: tuple[tuple[str, str, str, str], ...] = (
    ("POST", "/build", "ImageBuild", _BUILD),
    ("POST", "/build/cancel", "BuildCancel", _BUILD),
    ("POST", "/session", "Session", _BUILD),
    ("POST", "/grpc", "Grpc", f"BuildKit is not served: {_BUILD}"),
    ("GET", "/plugins/privileges", "GetPluginPrivileges", _PLUGINS),
    ("POST", "/plugins/pull", "PluginPull", _PLUGINS),
    ("POST", "/plugins/create", "PluginCreate", _PLUGINS),
)
_NO_PLUGIN: tuple[tuple[str, str, str], ...] = (
    ("GET", "/plugins/{name:.*}/json", "PluginInspect"),
    ("POST", "/plugins/{name:.*}/enable", "PluginEnable"),
    ("POST", "/plugins/{name:.*}/disable", "PluginDisable"),
    ("POST", "/plugins/{name:.*}/upgrade", "PluginUpgrade"),
    ("POST", "/plugins/{name:.*}/push", "PluginPush"),
    ("POST", "/plugins/{name:.*}/set", "PluginSet"),
    ("DELETE", "/plugins/{name:.*}", "PluginDelete"),
)
_SWARM: tuple[tuple[str, str, str], ...] = (
    ("GET", "/swarm", "SwarmInspect"),
    ("POST", "/swarm/init", "SwarmInit"),
    ("POST", "/swarm/join", "SwarmJoin"),
    ("POST", "/swarm/leave", "SwarmLeave"),
    ("POST", "/swarm/update", "SwarmUpdate"),
    ("GET", "/swarm/unlockkey", "SwarmUnlockkey"),
    ("POST", "/swarm/unlock", "SwarmUnlock"),
    ("GET", "/services", "ServiceList"),
    ("POST", "/services/create", "ServiceCreate"),
    ("GET", "/services/{id}", "ServiceInspect"),
    ("DELETE", "/services/{id}", "ServiceDelete"),
    ("POST", "/services/{id}/update", "ServiceUpdate"),
    ("GET", "/services/{id}/logs", "ServiceLogs"),
    ("GET", "/tasks", "TaskList"),
    ("GET", "/tasks/{id}", "TaskInspect"),
    ("GET", "/tasks/{id}/logs", "TaskLogs"),
    ("GET", "/nodes", "NodeList"),
    ("GET", "/nodes/{id}", "NodeInspect"),
    ("DELETE", "/nodes/{id}", "NodeDelete"),
    ("POST", "/nodes/{id}/update", "NodeUpdate"),
    ("GET", "/secrets", "SecretList"),
    ("POST", "/secrets/create", "SecretCreate"),
    ("GET", "/secrets/{id}", "SecretInspect"),
    ("DELETE", "/secrets/{id}", "SecretDelete"),
    ("POST", "/secrets/{id}/update", "SecretUpdate"),
    ("GET", "/configs", "ConfigList"),
    ("POST", "/configs/create", "ConfigCreate"),
    ("GET", "/configs/{id}", "ConfigInspect"),
    ("DELETE", "/configs/{id}", "ConfigDelete"),
    ("POST", "/configs/{id}/update", "ConfigUpdate"),
)


def refused_routes(served: frozenset[str]) -> list[Route]:
    """Routes of all operations that no other handler serves.

    Args:
        served: operations that others serve.
    """
    routes = [
        Route("POST", "/build/prune", _prune_builds, "BuildPrune", remark="nothing is kept, so nothing is removed"),
        Route("GET", "/plugins", _list_plugins, "PluginList", remark="always empty"),
        *(Route(method, path, _refuse(why), name, remark=f"501: {why}") for method, path, name, why in _REFUSED),
        *(
            Route(method, path, _no_plugin, name, remark="404: there are no plugins")
            for method, path, name in _NO_PLUGIN
        ),
        *(
            Route(method, path, _no_swarm, name, remark="503 until the swarm side is served")
            for method, path, name in _SWARM
        ),
    ]
    return [route for route in routes if route.operation not in served]


async def _prune_builds(call: Call) -> web.StreamResponse:
    return call.json({"CachesDeleted": None, "SpaceReclaimed": 0})


async def _list_plugins(call: Call) -> web.StreamResponse:
    return call.json([])


async def _no_plugin(call: Call) -> web.StreamResponse:
    raise not_found(f"plugin {call.parameters['name']} not found")


async def _no_swarm(_: Call) -> web.StreamResponse:
    raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, NOT_A_MANAGER)


def _refuse(why: str) -> Handler:
    async def refuse(_: Call) -> web.StreamResponse:
        raise not_implemented(why)

    return refuse
