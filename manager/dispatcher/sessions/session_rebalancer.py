"""Redirects sessions, a few at a time, to the managers that nodes prefer: a manager that returns gets its share."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from manager.dispatcher.sessions.manager_set import sessions_to_move
from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import ManagerMessage, Redirect

STABLE_SECONDS = 15.0
"""The set of managers must be unchanged for so long before sessions move: a flapping manager attracts none."""
MOVE_SECONDS = 0.2
"""Between two sessions that are moved: a thousand move within about three minutes."""


class MessageSink(Protocol):
    """One agent's session."""

    def send(self, message: ManagerMessage) -> None: ...


class SessionRebalancer:
    """Moves this manager's sessions.

    Args:
        sessions: by node; live.
    """

    def __init__(
        self,
        *,
        view: View,
        manager_id: str,
        sessions: Mapping[str, MessageSink],
        stable_seconds: float = STABLE_SECONDS,
        move_seconds: float = MOVE_SECONDS,
    ) -> None:
        self._view = view
        self._manager_id = manager_id
        self._sessions = sessions
        self._stable_seconds = stable_seconds
        self._move_seconds = move_seconds
        self._changed = asyncio.Event()

    def managers_changed(self) -> None:
        """A manager was started, stopped or removed."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._changes_within(self._stable_seconds):
                await self._move_all()

    async def _move_all(self) -> None:
        """Redirect each node once: one that cannot reach the manager that it prefers reconnects here, and stays."""
        for node_id, preferred in list(sessions_to_move(self._sessions, self._manager_id, self._view.managers)):
            if session := self._sessions.get(node_id):
                session.send(ManagerMessage(redirect=Redirect(manager_id=preferred)))
                if await self._changes_within(self._move_seconds):
                    return

    async def _changes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True
