"""A placement request: a task that a slot needs, before it has a node."""

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from shoal.api.v1.task_pb2 import Task


class PlacementRequest(NamedTuple):
    """A task to be written.

    Attributes:
        slot: its number, 0 for a global service.
        attempt: how many tasks of the slot ended in a row before.
        restarted_at_ms: as `Task.restarted_at_ms`.
        pending: the record to rewrite, when the slot has one that found no node.
        start_first: it starts before its predecessor is stopped; when no node is suitable, nothing is written, and the
            predecessor stays.
        preferred_node: the node that it goes to when it fits there: its predecessor's, or the target of a rebalance;
            empty when there is none.
        wait_reason: why it is not placed now, whatever the nodes are; empty when it may be.
        network_task_id: id of the task whose network it shares, once that is known.
    """

    slot: int
    attempt: int = 0
    pending: Task | None = None
    start_first: bool = False
    preferred_node: str = ""
    wait_reason: str = ""
    network_task_id: str = ""
    restarted_at_ms: tuple[int, ...] = ()


def pending_first(requests: Iterable[PlacementRequest]) -> list[PlacementRequest]:
    """Requests with a pending record first, then the others; each by slot."""
    every = sorted(requests, key=_SLOT)
    pending = [request for request in every if request.pending is not None]
    return [*pending, *(request for request in every if request.pending is None)] if pending else every


_SLOT = attrgetter("slot")
