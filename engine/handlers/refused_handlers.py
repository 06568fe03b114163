"""Operations that do not work here, each with a sentence that says why; and the lists that are empty instead."""

from aiohttp import web

from engine.protocol.errors import not_found, not_implemented
from engine.server.call import Call
from engine.server.routes import Handler, Route

_PLUGINS = "plugins are not supported: volumes have CSI drivers, networks and logs are the cluster's own"

_REFUSED: tuple[tuple[str, str, str, str], ...] = (
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


def refused_routes(served: frozenset[str]) -> list[Route]:
    """Routes of all operations that no other handler serves.

    Args:
        served: operations that others serve.
    """
    routes = [
        Route("GET", "/plugins", _list_plugins, "PluginList", remark="always empty"),
        *(Route(method, path, _refuse(why), name, remark=f"501: {why}") for method, path, name, why in _REFUSED),
        *(
            Route(method, path, _no_plugin, name, remark="404: there are no plugins")
            for method, path, name in _NO_PLUGIN
        ),
    ]
    return [route for route in routes if route.operation not in served]


async def _list_plugins(call: Call) -> web.StreamResponse:
    return call.json([])


async def _no_plugin(call: Call) -> web.StreamResponse:
    raise not_found(f"plugin {call.parameters['name']} not found")


def _refuse(why: str) -> Handler:
    async def refuse(_: Call) -> web.StreamResponse:
        raise not_implemented(why)

    return refuse
