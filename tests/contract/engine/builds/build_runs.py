"""One build of a client that does what buildx does."""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grpc import aio

from tests.contract.engine.builds.buildkit_client import BuildkitClient, Solved, solve
from tests.contract.engine.builds.session_services import (
    Send,
    SyncedDirectory,
    serving,
)
from tests.contract.engine.rig.served import Served

_NUMBERS = itertools.count()
"""Of sessions: the engine knows one for a moment after its client has closed it."""


def context_of(directory: Path, *steps: str) -> Path:
    context = directory / "ctx"
    context.mkdir()
    (context / "Dockerfile").write_text("\n".join(steps) + "\n")
    (context / "f").write_text("f\n")
    return context


def run(
    engine: Served,
    directories: Mapping[str, Path],
    options: Mapping[str, str] | None = None,
    *,
    send: Send | None = None,
    services: Sequence[Callable[[aio.Server], None]] = (),
    **more: Any,
) -> Solved:
    """One build of a client with a session."""

    async def build() -> Solved:
        client, session = BuildkitClient(engine.socket), f"s{next(_NUMBERS)}"
        synced = SyncedDirectory(directories, send)
        async with (
            asyncio.timeout(60),
            client.connection() as channel,
            client.session(session, *serving(synced), *services),
        ):
            return await solve(channel, session, options or {}, **more)

    return asyncio.run(build())


def of(context: Path) -> dict[str, Path]:
    return {"context": context, "dockerfile": context}
