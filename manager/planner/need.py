"""What a slot needs: a task, before it has a node."""

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from shoal.api.v1.task_pb2 import Task


class Need(NamedTuple):
    """A task to be written.

    Attributes:
        slot: its number, 0 for a global service.
        attempt: how many tasks of the slot ended in a row before.
        pending: the record to write anew, when the slot already has one that found no node.
        beside: it starts beside its predecessor; when no node is suitable, nothing is written, and the predecessor
            stays.
        home: the node that it goes to when it fits there: its predecessor was there, or it moves there to even the
            service out; empty when any is as good.
        waits: why it is not placed now whatever the nodes are; empty when it may be.
        network_of: id of the task whose network it shares, once that is known.
    """

    slot: int
    attempt: int = 0
    pending: Task | None = None
    beside: bool = False
    home: str = ""
    waits: str = ""
    network_of: str = ""


def in_order(needs: Iterable[Need]) -> list[Need]:
    """Those that wait already come first, then the others; each by slot."""
    every = sorted(needs, key=_SLOT)
    waiting = [need for need in every if need.pending is not None]
    return [*waiting, *(need for need in every if need.pending is None)] if waiting else every


_SLOT = attrgetter("slot")
