"""The table of operations, generated from the routes: `python -m engine.operations > engine/OPERATIONS.md`."""

import asyncio
import sys
from collections.abc import Iterable

from grpc import aio

from engine.app import route_table
from engine.cluster.managers import Managers
from engine.cluster.replaceable_channel import ReplaceableChannel
from engine.server.routes import Route
from engine.settings import EngineSettings
from shoal.distribution.registries import Registries

_HEAD = """# Operations of the Engine API

Generated from the routes: `python -m engine.operations > engine/OPERATIONS.md`.
Names are those of Docker's description of the API, 1.50.

| operation | request | served |
|---|---|---|
"""


def operations_table() -> str:
    """The table in Markdown, by path."""

    async def routes() -> Iterable[Route]:
        async with aio.insecure_channel("unix:/nonexistent") as channel:
            return route_table(EngineSettings(), Managers(ReplaceableChannel(channel)), Registries()).routes

    ordered = sorted(asyncio.run(routes()), key=lambda route: (route.template.replace(":.*", ""), route.method))
    return _HEAD + "".join(_row(route) for route in ordered)


def _row(route: Route) -> str:
    path = route.template.replace(":.*", "")
    return f"| {route.operation} | `{route.method} {path}` | {route.remark or 'yes'} |\n"


if __name__ == "__main__":
    sys.stdout.write(operations_table())
