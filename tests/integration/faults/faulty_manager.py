"""A manager that dies at fault points, on loopback with an etcd of its own."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from grpc import aio

from tests.integration.manager.manager_process import ManagerProcess, until

DEATH_SECONDS = 150.0


def start_with_faults(manager: ManagerProcess, faults: str) -> None:
    """Start it, so that these faults happen to it and to no other process."""
    os.environ["SHOAL_FAULTS"] = faults
    try:
        manager.start()
    finally:
        del os.environ["SHOAL_FAULTS"]


async def await_death(manager: ManagerProcess, point: str) -> None:
    """Until it has died of its fault."""
    assert manager.process is not None
    code = await asyncio.to_thread(manager.process.wait, DEATH_SECONDS)
    assert code == -9 and f"fault point {point}: kill" in manager.log, f"{point}: it ended with {code}: {manager.log}"


async def dies_and_returns(manager: ManagerProcess, point: str, act: Callable[[Any], Awaitable[None]]) -> Any:
    """Restart it with a fault, ask for something, and start it once more when it is dead; its API.

    Args:
        act: takes the API; it is repeated when it fails.
    """
    manager.end()
    start_with_faults(manager, f"{point}=kill")
    asking = asyncio.ensure_future(_ask(manager, act))
    try:
        await await_death(manager, point)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    manager.start()
    return await manager.ready()


async def _ask(manager: ManagerProcess, act: Callable[[Any], Awaitable[None]]) -> None:
    """Until it is done: one that is refused on a busy machine would never come by the fault point."""
    control = await manager.ready()

    async def is_done() -> bool:
        try:
            await act(control)
        except aio.AioRpcError:
            return False
        return True

    await until(is_done, "what is asked for", DEATH_SECONDS)


def make_state(root: Path, name: str, *more: str) -> ManagerProcess:
    """A manager that has not been started yet."""
    process = ManagerProcess(root / name / "manager", more=more)
    process.state.mkdir(parents=True, mode=0o700)
    return process
