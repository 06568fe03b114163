"""Removes what a task has on the host: first its network, then its container, at last its log and its journal entry."""

from agent.worker.shared.runner_dependencies import RunnerDependencies
from shoal.fault_points.injection import fault


class TaskRemoval:
    """For one task. Each step may be repeated.

    Attributes:
        is_detached: its addresses and ports are free. is_released: everything but its log is removed.
        is_forgotten: everything is.
    """

    def __init__(self, deps: RunnerDependencies, task_id: str) -> None:
        self._deps = deps
        self._task_id = task_id
        self.is_detached = self.is_released = self.is_forgotten = False

    async def detach(self) -> None:
        """Release its addresses and ports. Raises as `Networks.detach` does."""
        if not self.is_detached:
            await self._deps.networks.detach(self._task_id)
            self.is_detached = True
            fault("agent.stop.detached")

    async def release(self, *, keep_logs: bool = True) -> None:
        """Remove its network and container. Raises as `Networks.detach` and `Runtime.remove` do."""
        await self.detach()
        await self._deps.runtime.remove(self._task_id, keep_logs=keep_logs)
        self.is_released = True
        fault("agent.stop.released")

    async def forget(self) -> None:
        """Remove its log and journal entry too. Raises as `release` does."""
        await self.release(keep_logs=False)
        fault("agent.stop.log-removed")
        self._deps.journal.remove(self._task_id)
        fault("agent.stop.forgotten")
        self.is_forgotten = True
