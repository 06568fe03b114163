"""The leader's watch over nodes whose manager is gone: nobody else would say that they are DOWN."""

import asyncio
import logging
from collections.abc import Iterable

from manager.dispatcher.liveness import GRACE_SECONDS, HEARTBEAT_SECONDS, MISSED
from manager.dispatcher.node_records import NodeRecords, NowMs
from manager.dispatcher.records import Records
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import Conflict, Timeout, Unavailable

_log = logging.getLogger(__name__)


def abandoned(view: View) -> dict[str, str]:
    """Nodes recorded READY with a manager that is not there, with that manager's id. Pure."""
    return {
        node_id: status.manager_id
        for node_id, status in view.node_status.items()
        if status.state == NodeStatus.READY and status.manager_id not in view.managers
    }


class NodeMonitor:
    """Runs in the leader's term. A node has time to come back from the moment that it is seen abandoned."""

    def __init__(
        self, *, store: Records, manager_id: str, now_ms: NowMs, heartbeat_seconds: float = HEARTBEAT_SECONDS
    ) -> None:
        self._store = store
        self._records = NodeRecords(store=store, manager_id=manager_id, now_ms=now_ms)
        self._patience = MISSED * heartbeat_seconds + GRACE_SECONDS
        self._period = heartbeat_seconds / 4

    async def run(self, fence: int) -> None:
        """Until cancelled, or until the term is over.

        Raises:
            Deposed: another manager leads.
        """
        loop = asyncio.get_running_loop()
        since: dict[str, float] = {}
        while True:
            lost = abandoned(self._store.tables)
            since = {node_id: since.get(node_id, loop.time()) for node_id in lost}
            overdue = [node_id for node_id, seen in since.items() if loop.time() - seen > self._patience]
            await self._mark(overdue, lost, fence)
            await asyncio.sleep(self._period)

    async def _mark(self, node_ids: Iterable[str], manager_of: dict[str, str], fence: int) -> None:
        for node_id in node_ids:
            try:
                message = "its manager was lost and it has not come back"
                if await self._records.down(node_id, manager_of[node_id], message, fence):
                    _log.warning("node %s is DOWN: %s", node_id, message)
            except (Conflict, Unavailable, Timeout) as error:
                _log.warning("node %s is not yet marked DOWN: %s", node_id, error)
