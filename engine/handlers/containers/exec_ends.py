"""The ends of commands that no client stays for, as events."""

import asyncio
from typing import TYPE_CHECKING

from engine.cluster.own_events import OwnEvents
from shoal.api.v1.engine_pb2 import ContainerView, GetExecRequest
from shoal.errors import ShoalError
from shoal.manager_calls.managers import Managers

if TYPE_CHECKING:
    from shoal.api.v1.engine_pb2 import ExecSession

MAX_WATCHED = 100
"""Commands at once; what is more ends without an event."""
WATCH_SECONDS = 3600.0
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0


class ExecEnds:
    """Asks for commands until they have ended, while somebody listens to events."""

    def __init__(self, managers: Managers, events: OwnEvents) -> None:
        self._managers = managers
        self._events = events
        self._watching: set[asyncio.Task[None]] = set()

    def watch(self, view: ContainerView, exec_id: str) -> None:
        """Report the end of a command, if anybody wants to know."""
        if not self._events.is_heard or len(self._watching) >= MAX_WATCHED:
            return
        task = asyncio.get_running_loop().create_task(self._follow(view, exec_id), name=f"end of exec {exec_id[:12]}")
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _follow(self, view: ContainerView, exec_id: str) -> None:
        loop, delay = asyncio.get_running_loop(), _FIRST_DELAY
        deadline = loop.time() + WATCH_SECONDS
        while loop.time() < deadline and self._events.is_heard:
            try:
                session: ExecSession = await self._managers.call(
                    self._managers.containers.GetExec, GetExecRequest(id=exec_id)
                )
            except ShoalError:  # its container is gone
                return
            if session.HasField("exit_code"):
                self._events.report(view, "exec_die", execID=exec_id, exitCode=str(session.exit_code))
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)
