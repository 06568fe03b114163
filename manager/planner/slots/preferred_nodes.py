"""The nodes that a slot's next task prefers and avoids, by where the earlier ones have ended. Pure."""

from collections.abc import Sequence

from shoal.api.v1.task_pb2 import Task

MAX_ENDS_PER_NODE = 3
"""So many tasks of a slot end on a node in a row before the next one goes elsewhere."""


def preferred_node(ended: Sequence[Task]) -> str:
    """The node of the newest ended task, where its successor is to go; empty when too many have ended there in a row.

    Args:
        ended: a slot's tasks, the oldest first.
    """
    newest = ended[-1].node_id if ended else ""
    return newest if newest and not avoided_nodes(ended) else ""


def avoided_nodes(ended: Sequence[Task]) -> tuple[str, ...]:
    """The node that the slot has left for good reason, if there is one."""
    tail = [task.node_id for task in ended[-MAX_ENDS_PER_NODE:]]
    return (
        (tail[-1],)
        if len(tail) == MAX_ENDS_PER_NODE and len(set(tail)) == 1 and ended[-1].attempt >= MAX_ENDS_PER_NODE - 1
        else ()
    )
