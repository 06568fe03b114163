"""A manager's watch over the nodes whose sessions it holds or held."""

import asyncio
from collections.abc import Callable

from manager.dispatcher.liveness.heartbeats import MISSED, Liveness, Verdict
from manager.dispatcher.liveness.marking import declared_lost, mark
from manager.dispatcher.node_records import NodeRecords
from manager.dispatcher.records import Records
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.task_group import TaskGroup

_WATCHED = frozenset({NodeStatus.READY, NodeStatus.UNKNOWN})


class HeartbeatWatch:
    """Judges nodes four times a heartbeat, and writes of one round of judgements at a time.

    Args:
        lost: told of each node that was marked, with why.
    """

    def __init__(
        self,
        *,
        store: Records,
        records: NodeRecords,
        manager_id: str,
        heartbeat_seconds: float,
        lost: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._records = records
        self._manager_id = manager_id
        self._lost = lost
        self._message = f"no heartbeat for {MISSED * heartbeat_seconds:g} s"
        self._liveness = Liveness(heartbeat_seconds)

    def heard(self, node_id: str) -> None:
        """The node spoke."""
        self._liveness.heard(node_id, _now())

    def opened(self, node_id: str) -> None:
        """Its session is open."""
        self._liveness.opened(node_id)
        self.heard(node_id)

    def closed(self, node_id: str) -> None:
        """Its session is at an end."""
        self._liveness.closed(node_id)

    def sent_away(self, node_id: str, seconds: float) -> None:
        """The node is to come back after so long, and has the usual time from then on."""
        self._liveness.expect(node_id, _now() + seconds)

    def is_fresh(self, node_id: str) -> bool:
        """Whether the node is ours to watch and not overdue."""
        return self._liveness.is_fresh(node_id, _now())

    def expect_back(self) -> None:
        """After a start: nodes whose session was here have the usual time to return, and what so many need."""
        statuses = self._store.tables.node_status
        own = [each for each, status in statuses.items() if self._is_ours(status)]
        self._liveness.give_grace(own, _now())

    async def run(self) -> None:
        """Until cancelled."""
        writing: asyncio.Task[None] | None = None
        async with TaskGroup() as group:
            while True:
                # Nothing else is awaited here: whatever the sleep takes too long is this manager's own silence.
                await asyncio.sleep(self._liveness.period)
                if self._liveness.tick(_now()) and (writing is None or writing.done()):
                    verdict = self._judge()
                    if verdict.down or verdict.unknown:
                        writing = group.create_task(self._write(verdict), name="nodes that are lost")

    def _judge(self) -> Verdict:
        view = self._store.tables
        declared = declared_lost(view, self._liveness.watched())
        return self._liveness.judge(_now(), len(view.nodes), declared)

    async def _write(self, verdict: Verdict) -> None:
        held_by = dict.fromkeys((*verdict.down, *verdict.unknown), self._manager_id)
        marked = await mark(self._records, self._store.tables, verdict, held_by, self._message)
        for node_id in marked.settled:
            self._settle(node_id, node_id in marked.told)
        for node_id, why in marked.told.items():
            self._lost(node_id, why)

    def _settle(self, node_id: str, is_down: bool) -> None:
        if is_down:
            self._liveness.gave_up(node_id, _now())
        else:
            self._liveness.forget(node_id)

    def _is_ours(self, status: NodeStatus) -> bool:
        return status.state in _WATCHED and status.manager_id == self._manager_id


def _now() -> float:
    return asyncio.get_running_loop().time()
