"""A console over a cluster that is made up: what benchmarks, pictures and tests of all pages are taken of."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message

from console.app import Console, build
from console.server.assets import Assets
from console.server.listener import listen, serving
from console.settings import ConsoleSettings
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from tests.fakes.console.made_up_answers import answers, streams
from tests.fakes.console.made_up_cluster import MadeUpCluster
from tests.unit.console.console_rig import FakeManagers

Answers = Mapping[str, Message | Exception]
Streams = Mapping[str, Callable[[], AsyncIterable[Message]]]

PAGES = {
    "overview": "/",
    "overview-table": "/?view=table",
    "services": "/services",
    "service": "/services/shop_search",
    "logs": "/services/shop_search?tab=logs",
    "revisions": "/services/shop_search?tab=revisions",
    "stacks": "/stacks",
    "stack": "/stacks/shop",
    "deploy": "/deploy/shop",
    "nodes": "/nodes",
    "node": "/nodes/h4",
    "task": "/tasks/task000000004",
    "terminal": "/terminal/task000000004",
    "jobs": "/jobs",
    "containers": "/containers",
    "run": "/run",
    "create-service": "/create-service",
    "container": "/containers/db",
    "files": "/containers/db?tab=files",
    "images": "/images",
    "image": "/images/postgres%3A16",
    "networks": "/networks",
    "network": "/networks/shop_front",
    "volumes": "/volumes",
    "volume": "/volumes/shop_data",
    "secrets": "/secrets",
    "secret": "/secrets/shop_key",
    "configs": "/configs",
    "config": "/configs/shop_key",
    "health": "/health",
    "events": "/events",
}
"""Address of each of its pages, by name."""


@asynccontextmanager
async def made_up_console(
    made_up: MadeUpCluster,
    mark: str = "",
    *,
    own_answers: Answers | None = None,
    own_streams: Streams | None = None,
    stale_since_ms: int = 0,
) -> AsyncGenerator[tuple[Console, str]]:
    """A console that serves on loopback, and its address.

    Args:
        mark: of `made_up_answers`.
        own_answers, own_streams: in place of theirs, by name of the call.
        stale_since_ms: since when the manager is disconnected from etcd; 0: it is not.
    """
    now = datetime.now(UTC)
    identity = Authority.create("cluster1", now).issue(CertificateSubject("ada", Role.ADMIN, "cluster1"), now)
    known = {**streams(mark), "WatchCluster": made_up.watch, **(own_streams or {})}
    managers: Any = FakeManagers({**answers(mark), **(own_answers or {})}, known, stale_since_ms=stale_since_ms)
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    settings = ConsoleSettings(local=True, listen=f"127.0.0.1:{port}")
    console = build(settings, managers, identity=identity, context="bench", port=port, assets=Assets.read())
    following = asyncio.create_task(console.feed.run())
    try:
        async with serving(console.app, listener, None):
            yield console, f"http://127.0.0.1:{port}/"
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
