"""What a scenario of the store's contract gets to play with."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from manager.store.backend import Backend
from manager.store.store import Store
from shoal.task_group import TaskGroup


@dataclass(frozen=True)
class Rig:
    """One etcd, real or not.

    Attributes:
        compact: makes it forget its history before a revision.
    """

    backend: Backend
    compact: Callable[[int], Awaitable[None]]


Run = Callable[[Callable[[Rig], Awaitable[None]]], None]


@asynccontextmanager
async def running_store(backend: Backend) -> AsyncGenerator[Store]:
    """A store that is loaded and watches."""
    store = Store(backend=backend)
    async with TaskGroup() as group:
        task = group.create_task(store.run())
        await store.ready()
        try:
            yield store
        finally:
            task.cancel()
