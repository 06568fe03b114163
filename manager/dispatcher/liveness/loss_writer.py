"""Writes the states of lost nodes, for both monitors."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from manager.dispatcher.liveness.disruption_limit import unknown_reason
from manager.dispatcher.liveness.heartbeats import LivenessDecision
from manager.dispatcher.statuses.node_status_updates import NodeStatusUpdates
from manager.store.tables import View
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.errors import Conflict, Exhausted, Timeout, Unavailable
from shoal.node_states import is_restarting

_log = logging.getLogger(__name__)


@dataclass
class LossResult:
    """The result of writing a decision.

    Attributes:
        finished: nodes that need no more monitoring: they are DOWN, were removed, or are another manager's.
        down: those of them that were marked DOWN now.
        written: nodes whose state was changed, and why.
    """

    finished: list[str] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    written: dict[str, str] = field(default_factory=dict)


def marked_down_nodes(view: View, node_ids: Iterable[str]) -> Collection[str]:
    """The nodes among these that an operator has marked down in their current state. Pure."""
    return {node_id for node_id in node_ids if _is_marked_down(view.nodes.get(node_id), view.node_status.get(node_id))}


def _is_marked_down(node: Node | None, status: NodeStatus | None) -> bool:
    if node is None or status is None or status.state != NodeStatus.UNKNOWN:
        return False
    return node.spec.marked_down_ms == status.since_ms


async def write_losses(
    records: NodeStatusUpdates,
    view: View,
    decision: LivenessDecision,
    held_by: Mapping[str, str],
    message: Callable[[str], str],
) -> LossResult:
    """Write a decision, all nodes at once; nodes that cannot be written now are evaluated again.

    Args:
        held_by: id of the manager that each node must be recorded with.
        message: why a node is DOWN, by its id.
    Raises:
        LeadershipLost: the term of the records' fence is over.
    """
    result = LossResult()
    calls = [_mark_down(records, node_id, held_by[node_id], message(node_id), result) for node_id in decision.down]
    for node_id in decision.unknown:
        if _is_expected(view, node_id):
            why = unknown_reason(decision.silent, len(view.nodes), _hostname(view, node_id))
            calls.append(_mark_unknown(records, node_id, held_by[node_id], why, result))
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if outcome is not None:
            raise outcome
    return result


async def _mark_down(records: NodeStatusUpdates, node_id: str, held_by: str, message: str, result: LossResult) -> None:
    try:
        if await records.mark_down(node_id, held_by, message):
            _log.warning("node %s is DOWN: %s", node_id, message)
            result.down.add(node_id)
            result.written[node_id] = message
    except Conflict:
        _log.info("node %s was removed", node_id)
    except (Unavailable, Timeout, Exhausted) as error:
        _log.warning("cannot mark node %s as DOWN yet: %s", node_id, error)
        return
    result.finished.append(node_id)


async def _mark_unknown(
    records: NodeStatusUpdates, node_id: str, held_by: str, message: str, result: LossResult
) -> None:
    try:
        if await records.mark_unknown(node_id, held_by, message):
            _log.warning("node %s is UNKNOWN: %s", node_id, message)
            result.written[node_id] = message
    except (Conflict, Unavailable, Timeout, Exhausted) as error:
        _log.warning("cannot mark node %s as UNKNOWN yet: %s", node_id, error)


def _is_expected(view: View, node_id: str) -> bool:
    status = view.node_status.get(node_id)
    return status is not None and (status.state == NodeStatus.READY or is_restarting(status))


def _hostname(view: View, node_id: str) -> str:
    status = view.node_status.get(node_id)
    return status.description.hostname or node_id if status is not None else node_id
