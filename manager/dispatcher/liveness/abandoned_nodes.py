"""Monitors nodes whose manager was lost. Runs on the leader only."""

import asyncio
from collections.abc import Callable

from manager.dispatcher.liveness.heartbeats import GRACE_SECONDS, HEARTBEAT_SECONDS, Liveness, grace_seconds
from manager.dispatcher.liveness.loss_writer import marked_down_nodes, write_losses
from manager.dispatcher.liveness.restarts import RESTART_GRACE_SECONDS, remaining_seconds
from manager.dispatcher.statuses.node_status_updates import NodeStatusUpdates
from manager.interfaces import NowMs
from manager.store.record_store import BatchStore
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeStatus

MESSAGE = "its manager was lost, and it has not reconnected"


def abandoned(view: View) -> dict[str, str]:
    """Nodes that are READY or UNKNOWN with a manager that was lost, and that manager's id. Pure."""
    return {
        node_id: status.manager_id
        for node_id, status in view.node_status.items()
        if status.state in (NodeStatus.READY, NodeStatus.UNKNOWN) and status.manager_id not in view.managers
    }


class AbandonedNodeMonitor:
    """Runs in the leader's term. From the moment that a node is found abandoned it has a grace period to reconnect,
    which is longer when there are many, or when its agent is restarting.

    Args:
        next_attempt: see `SessionAttempts`.
    """

    def __init__(
        self,
        *,
        store: BatchStore,
        manager_id: str,
        now_ms: NowMs,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        restart_grace_seconds: float = RESTART_GRACE_SECONDS,
        next_attempt: Callable[[str], float] = lambda _: float("-inf"),
    ) -> None:
        self._store = store
        self._manager_id = manager_id
        self._now_ms = now_ms
        self._heartbeat_seconds = heartbeat_seconds
        self._restart_grace_seconds = restart_grace_seconds
        self._next_attempt = next_attempt

    async def run(self, fence: int) -> None:
        """Until cancelled, or until the term is over.

        Raises:
            LeadershipLost: another manager leads.
        """
        clock = asyncio.get_running_loop().time
        records = NodeStatusUpdates(store=self._store, manager_id=self._manager_id, now_ms=self._now_ms, fence=fence)
        liveness = Liveness(self._heartbeat_seconds)
        while True:
            lost = self._follow(liveness, clock())
            if liveness.tick(clock()):
                await self._write_losses(records, liveness, lost, clock())
            liveness.restart_period(clock())
            await asyncio.sleep(liveness.period)

    def _follow(self, liveness: Liveness, now: float) -> dict[str, str]:
        """Monitor the nodes that are abandoned now, and no others."""
        lost = abandoned(self._store.tables)
        for node_id in liveness.watched() - lost.keys():
            liveness.forget(node_id)
        by = now + GRACE_SECONDS + grace_seconds(len(lost))
        for node_id in lost.keys() - liveness.watched():
            liveness.heard(node_id, now)
            liveness.expect(node_id, by)
            status = self._store.tables.node_status[node_id]
            if seconds := remaining_seconds(status, self._now_ms(), self._restart_grace_seconds):
                liveness.expect_restart(node_id, now + seconds)
        for node_id in lost:
            liveness.expect(node_id, self._next_attempt(node_id))
        return lost

    async def _write_losses(
        self, records: NodeStatusUpdates, liveness: Liveness, held_by: dict[str, str], now: float
    ) -> None:
        view = self._store.tables
        decision = liveness.evaluate(now, len(view.nodes), marked_down_nodes(view, held_by))
        result = await write_losses(records, view, decision, held_by, lambda _: MESSAGE)
        for node_id in result.finished:
            liveness.marked_down(node_id, now)
