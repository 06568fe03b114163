"""Containers whose checks are answered by a function."""

import socket
from collections.abc import Awaitable, Callable

from agent.health.exec_pool import ExecResult
from shoal.errors import NotFound

Execute = Callable[[str, tuple[str, ...]], Awaitable[ExecResult]]


async def healthy(task_id: str, words: tuple[str, ...]) -> ExecResult:
    """Whatever is run, it ends with 0."""
    return ExecResult(0, b"")


class ContainersToProbe:
    """As `ContainerAccess`; there are no sockets to them."""

    def __init__(self, execute: Execute = healthy) -> None:
        self.answer = execute

    async def execute(self, task_id: str, command: tuple[str, ...]) -> ExecResult:
        """As `ContainerAccess.execute`."""
        return await self.answer(task_id, command)

    async def open_socket(self, task_id: str, family: socket.AddressFamily) -> socket.socket:
        """As `ContainerAccess.open_socket`."""
        raise NotFound(f"task {task_id} is not running")
