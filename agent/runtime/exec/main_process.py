"""Attaching to containers' main processes, before they start and while they run."""

import asyncio

from agent.runtime.container_paths import ContainerPaths
from agent.runtime.container_table import ContainerTable
from agent.runtime.exec.attach_session import AttachSession, AttachSessions
from agent.runtime.exec.waiting_attach import WaitingSessions
from agent.runtime.supervision.exit_watcher import ExitWatcher
from agent.worker.container_runtime import Exit


class MainProcess:
    """Opens attach sessions.

    Attributes:
        waiting: sessions that wait for the start of their container.
    """

    def __init__(self, *, paths: ContainerPaths, containers: ContainerTable, exit_watcher: ExitWatcher) -> None:
        self._paths = paths
        self._containers = containers
        self._exit_watcher = exit_watcher
        self._sessions = AttachSessions()
        self.waiting = WaitingSessions(self._connect)

    def attach(self, task_id: str) -> AttachSession:
        """Attach to a running container. As `AttachSessions.attach`."""
        known: asyncio.Future[asyncio.Future[Exit]] = asyncio.get_running_loop().create_future()
        known.set_result(self._containers.exit(task_id))
        return self._connect(task_id, known)

    async def started(self, container_id: str, task_id: str) -> None:
        """The program of a container's run (empty: a task of its own) was started."""
        if container_id:
            await self.waiting.started(container_id, task_id, self._containers.exit(task_id))

    def _connect(self, task_id: str, end: "asyncio.Future[asyncio.Future[Exit]]") -> AttachSession:
        async def code() -> int:
            return (await asyncio.shield(await asyncio.shield(end))).code

        return self._sessions.attach(
            self._paths.bundle(task_id),
            code=code,
            send=lambda number: self._exit_watcher.send_signal(task_id, number),
        )
