"""Monitors the heartbeats of nodes whose sessions this manager has or had."""

import asyncio
from collections.abc import Callable, Iterable

from manager.dispatcher.liveness.heartbeats import MISSED, Liveness, LivenessDecision
from manager.dispatcher.liveness.loss_writer import marked_down_nodes, write_losses
from manager.dispatcher.liveness.restarts import remaining_seconds
from manager.dispatcher.statuses.node_status_updates import NodeStatusUpdates
from manager.interfaces import NowMs
from manager.store.changes import Change
from manager.store.record_store import RecordReader
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.task_group import TaskGroup

_WATCHED = frozenset({NodeStatus.READY, NodeStatus.UNKNOWN})


class HeartbeatMonitor:
    """Evaluates all nodes four times a heartbeat, and when one is overdue; writes one evaluation at a time.

    Args:
        now_ms: milliseconds since the Unix epoch.
        restart_grace_seconds: how long a node whose agent has stopped in order is not lost.
        lost: called with each node that was marked, and the reason.
    """

    def __init__(
        self,
        *,
        store: RecordReader,
        records: NodeStatusUpdates,
        manager_id: str,
        now_ms: NowMs,
        heartbeat_seconds: float,
        restart_grace_seconds: float,
        lost: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._records = records
        self._manager_id = manager_id
        self._lost = lost
        self._message = f"no heartbeat for {MISSED * heartbeat_seconds:g} s"
        self._messages: dict[str, str] = {}
        self._now_ms = now_ms
        self._restart_grace_seconds = restart_grace_seconds
        self._liveness = Liveness(heartbeat_seconds)
        self._suspended = False

    def heard(self, node_id: str) -> None:
        """The node sent a message."""
        self._liveness.heard(node_id, _now())

    def opened(self, node_id: str) -> None:
        """The node opened its session."""
        self._liveness.opened(node_id)
        self._messages.pop(node_id, None)
        self.heard(node_id)

    def closed(self, node_id: str) -> None:
        """The node's session ended."""
        self._liveness.closed(node_id)

    def expect(self, node_id: str, by: float) -> None:
        """The node tries to open a session by that time of the event loop's clock; it has the usual time from then."""
        self._liveness.expect(node_id, by)

    def restarting(self, node_id: str) -> None:
        """The node's agent has stopped in order: it has the grace period to return."""
        grace = self._restart_grace_seconds
        self._messages[node_id] = f"its agent stopped, and has not returned within {grace:g} s"
        self._liveness.expect_restart(node_id, _now() + grace)

    def host_stops(self, node_id: str) -> None:
        """The node's host is shutting down: it is lost."""
        self._messages[node_id] = "its host is shutting down"
        self._liveness.lost(node_id)

    def handle_changes(self, changes: Iterable[Change]) -> None:
        """Nodes that are READY with another manager are that one's to monitor."""
        for change in changes:
            new = change.new
            if not isinstance(new, NodeStatus) or new.state != NodeStatus.READY or new.manager_id == self._manager_id:
                continue
            if not self._liveness.is_open(new.node_id):
                self._forget(new.node_id)

    def is_fresh(self, node_id: str) -> bool:
        """Whether this manager monitors the node and it is not overdue."""
        return self._liveness.is_fresh(node_id, _now())

    def suspend(self) -> None:
        """Mark no node until `resume`: nodes cannot be heard."""
        self._suspended = True

    def resume(self) -> None:
        """All nodes have the usual time to reconnect from now on."""
        self._suspended = False
        self._liveness.grant_grace(self._liveness.watched(), _now())

    def start_grace(self) -> None:
        """After a start: nodes whose session was here have the usual time to reconnect, and a grace period; those that
        were restarting have what is left of theirs.
        """
        statuses = self._store.tables.node_status
        own = {each: status for each, status in statuses.items() if self._is_own(status)}
        self._liveness.grant_grace(own.keys(), _now())
        for node_id, status in own.items():
            if seconds := remaining_seconds(status, self._now_ms(), self._restart_grace_seconds):
                self._liveness.expect_restart(node_id, _now() + seconds)

    async def run(self) -> None:
        """Until cancelled."""
        writing: asyncio.Task[None] | None = None
        async with TaskGroup() as group:
            while True:
                # Nothing else is awaited here: a sleep that takes too long means that this manager did not run.
                await asyncio.sleep(self._liveness.delay(_now()))
                is_in_time = self._liveness.tick(_now()) and not self._suspended
                if is_in_time and (writing is None or writing.done()):
                    decision = self._evaluate()
                    if decision.down or decision.unknown:
                        writing = group.create_task(self._write(decision), name="nodes that are lost")

    def _evaluate(self) -> LivenessDecision:
        view = self._store.tables
        marked_down = marked_down_nodes(view, self._liveness.watched())
        return self._liveness.evaluate(_now(), len(view.nodes), marked_down)

    async def _write(self, decision: LivenessDecision) -> None:
        held_by = dict.fromkeys((*decision.down, *decision.unknown), self._manager_id)
        result = await write_losses(self._records, self._store.tables, decision, held_by, self._reason)
        for node_id in result.finished:
            self._finish(node_id, node_id in result.down)
        for node_id, why in result.written.items():
            self._lost(node_id, why)

    def _finish(self, node_id: str, is_down: bool) -> None:
        if is_down:
            self._liveness.marked_down(node_id, _now())
        else:
            self._forget(node_id)

    def _forget(self, node_id: str) -> None:
        self._liveness.forget(node_id)
        self._messages.pop(node_id, None)

    def _reason(self, node_id: str) -> str:
        return self._messages.get(node_id, self._message)

    def _is_own(self, status: NodeStatus) -> bool:
        return status.state in _WATCHED and status.manager_id == self._manager_id


def _now() -> float:
    return asyncio.get_running_loop().time()
