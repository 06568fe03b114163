"""The table of operations, generated from the routes: `python -m engine.operations > engine/OPERATIONS.md`."""

import asyncio
import sys
from collections.abc import Iterable

from grpc import aio

from engine.app import route_table
from engine.server.routes import Route
from engine.settings import EngineSettings
from shoal.distribution.registries import Registries
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.replaceable_channel import ReplaceableChannel

_HEAD = """# Operations of the Engine API

Generated from the routes: `python -m engine.operations > engine/OPERATIONS.md`.
Names are those of Docker's description of the API, 1.50; `since` is the version of the API that brought the operation,
1.24 those before too. Every operation is served at every version of the path.

| operation | request | since | served |
|---|---|---|---|
"""
_OLDEST = "1.24"
_SINCE = {
    "BuildCancel": "1.39",
    "BuildPrune": "1.31",
    "ConfigCreate": "1.30",
    "ConfigDelete": "1.30",
    "ConfigInspect": "1.30",
    "ConfigList": "1.30",
    "ConfigUpdate": "1.30",
    "ContainerPrune": "1.25",
    "DistributionInspect": "1.30",
    "GetPluginPrivileges": "1.25",
    "Grpc": "1.39",
    "ImagePrune": "1.25",
    "NetworkPrune": "1.25",
    "PluginCreate": "1.25",
    "PluginDelete": "1.25",
    "PluginDisable": "1.25",
    "PluginEnable": "1.25",
    "PluginInspect": "1.25",
    "PluginList": "1.25",
    "PluginPull": "1.25",
    "PluginPush": "1.25",
    "PluginSet": "1.25",
    "PluginUpgrade": "1.26",
    "SecretCreate": "1.25",
    "SecretDelete": "1.25",
    "SecretInspect": "1.25",
    "SecretList": "1.25",
    "SecretUpdate": "1.25",
    "ServiceLogs": "1.25",
    "Session": "1.31",
    "SwarmUnlock": "1.25",
    "SwarmUnlockkey": "1.25",
    "SystemDataUsage": "1.25",
    "SystemPingHead": "1.40",
    "TaskLogs": "1.29",
    "VolumePrune": "1.25",
    "VolumeUpdate": "1.42",
}
"""Operations that came after the oldest version that is served."""


def operations_table() -> str:
    """The table in Markdown, by path."""

    async def routes() -> Iterable[Route]:
        async with aio.insecure_channel("unix:/nonexistent") as channel:
            return route_table(EngineSettings(), Managers(ReplaceableChannel(channel)), Registries()).routes

    ordered = sorted(asyncio.run(routes()), key=lambda route: (route.template.replace(":.*", ""), route.method))
    return _HEAD + "".join(_row(route) for route in ordered)


def _row(route: Route) -> str:
    path = route.template.replace(":.*", "")
    since = _SINCE.get(route.operation, _OLDEST)
    return f"| {route.operation} | `{route.method} {path}` | {since} | {route.remark or 'yes'} |\n"


if __name__ == "__main__":
    sys.stdout.write(operations_table())
