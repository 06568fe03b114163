"""What becomes of a node whose agent stops in order: it is restarting, or it is lost with its host."""

import logging

from manager.dispatcher.liveness.heartbeat_monitor import HeartbeatMonitor
from manager.dispatcher.liveness.restarts import restart_message
from manager.dispatcher.statuses.node_status_updates import NodeStatusUpdates
from shoal.api.v1.dispatcher_pb2 import AgentStop
from shoal.errors import Conflict, Exhausted, Timeout, Unavailable

_log = logging.getLogger(__name__)


class AgentStops:
    """For nodes whose session is here.

    Args:
        grace_seconds: how long a restarting node keeps its tasks.
    """

    def __init__(self, *, statuses: NodeStatusUpdates, monitor: HeartbeatMonitor, grace_seconds: float) -> None:
        self._statuses = statuses
        self._monitor = monitor
        self._grace_seconds = grace_seconds

    async def handle(self, node_id: str, stop: AgentStop) -> None:
        """The agent stops, and its session counts no more. Where that cannot be written, the node is lost as usual."""
        if stop.host_stops:
            _log.info("the host of node %s is shutting down", node_id)
            self._monitor.host_stops(node_id)
            return
        try:
            await self._statuses.mark_restarting(node_id, restart_message(self._grace_seconds), self._grace_seconds)
        except (Conflict, Unavailable, Timeout, Exhausted) as error:
            _log.warning("cannot mark node %s as restarting: %s", node_id, error)
            return
        _log.info("the agent of node %s is restarting", node_id)
        self._monitor.restarting(node_id)
