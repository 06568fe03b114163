"""Writing what was judged of nodes: the part that a manager's own watch and the leader's have in common."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from manager.dispatcher.liveness.brake import why_unknown
from manager.dispatcher.liveness.heartbeats import Verdict
from manager.dispatcher.node_records import NodeRecords
from manager.store.tables import View
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.errors import Conflict, Exhausted, Timeout, Unavailable

_log = logging.getLogger(__name__)


@dataclass
class Marked:
    """What came of a verdict.

    Attributes:
        settled: nodes that need not be watched any more: they are DOWN, were removed, or are another manager's.
        told: nodes that were written as lost now, and why.
    """

    settled: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)


def declared_lost(view: View, node_ids: Iterable[str]) -> Collection[str]:
    """Those of these nodes that an operator has declared lost in the state that they are in. Pure."""
    return {node_id for node_id in node_ids if _is_declared(view.nodes.get(node_id), view.node_status.get(node_id))}


def _is_declared(node: Node | None, status: NodeStatus | None) -> bool:
    if node is None or status is None or status.state != NodeStatus.UNKNOWN:
        return False
    return node.spec.declared_down_ms == status.since_ms


async def mark(records: NodeRecords, view: View, verdict: Verdict, held_by: Mapping[str, str], message: str) -> Marked:
    """Write the verdict, all nodes at once; those that cannot be written now are judged again.

    Args:
        held_by: id of the manager that each node must have its session with, as recorded.
        message: why a node is DOWN.
    Raises:
        Deposed: the term of the records' fence is over.
    """
    marked = Marked()
    calls = [_down(records, node_id, held_by[node_id], message, marked) for node_id in verdict.down]
    for node_id in verdict.unknown:
        if _is_ready(view, node_id):
            why = why_unknown(verdict.silent, len(view.nodes), _hostname(view, node_id))
            calls.append(_unknown(records, node_id, held_by[node_id], why, marked))
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if outcome is not None:
            raise outcome
    return marked


async def _down(records: NodeRecords, node_id: str, held_by: str, message: str, marked: Marked) -> None:
    try:
        if await records.down(node_id, held_by, message):
            _log.warning("node %s is DOWN: %s", node_id, message)
            marked.told[node_id] = message
    except Conflict:
        _log.info("node %s was removed", node_id)
    except (Unavailable, Timeout, Exhausted) as error:
        _log.warning("node %s is not yet marked DOWN: %s", node_id, error)
        return
    marked.settled.append(node_id)


async def _unknown(records: NodeRecords, node_id: str, held_by: str, message: str, marked: Marked) -> None:
    try:
        if await records.unknown(node_id, held_by, message):
            _log.warning("node %s is UNKNOWN: %s", node_id, message)
            marked.told[node_id] = message
    except (Conflict, Unavailable, Timeout, Exhausted) as error:
        _log.warning("node %s is not yet marked UNKNOWN: %s", node_id, error)


def _is_ready(view: View, node_id: str) -> bool:
    status = view.node_status.get(node_id)
    return status is not None and status.state == NodeStatus.READY


def _hostname(view: View, node_id: str) -> str:
    status = view.node_status.get(node_id)
    return status.description.hostname or node_id if status is not None else node_id
