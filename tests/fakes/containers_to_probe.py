"""Containers whose checks are answered by a function."""

import socket
from collections.abc import Awaitable, Callable

from agent.health.executions import Execution
from shoal.errors import NotFound

Execute = Callable[[str, tuple[str, ...]], Awaitable[Execution]]


async def healthy(task_id: str, words: tuple[str, ...]) -> Execution:
    """Whatever is run, it ends with 0."""
    return Execution(0, b"")


class ContainersToProbe:
    """As `Containers`; there are no sockets to them."""

    def __init__(self, execute: Execute = healthy) -> None:
        self.answer = execute

    async def execute(self, task_id: str, words: tuple[str, ...]) -> Execution:
        """As `Containers.execute`."""
        return await self.answer(task_id, words)

    async def open_socket(self, task_id: str, family: socket.AddressFamily) -> socket.socket:
        """As `Containers.open_socket`."""
        raise NotFound(f"task {task_id} does not run")
