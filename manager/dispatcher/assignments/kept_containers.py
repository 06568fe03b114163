"""On which nodes the root file system, the log and the settings of a container are kept. Pure.

They are its user's data: a node deletes them only when this no longer names it, which takes the deletion of the
container's record, or its move to another node and the end of what ran here.
"""

from collections import defaultdict
from collections.abc import Collection

from manager.store.tables import View


def kept_nodes(view: View, container_id: str) -> frozenset[str]:
    """The node where the container is, and those that have tasks of it, ended ones too."""
    if container_id not in view.containers:
        return frozenset()
    status = view.service_status.get(container_id)
    nodes = {task.node_id for task in view.tasks_of(container_id).values()}
    return frozenset((nodes | {status.node_id if status is not None else ""}) - {""})


class KeptContainers:
    """The containers that are kept on each node, kept in sync with the store."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._nodes: dict[str, frozenset[str]] = {}
        self._by_node: defaultdict[str, set[str]] = defaultdict(set)
        for container_id in view.containers:
            self.refresh(container_id)

    def refresh(self, container_id: str) -> Collection[str]:
        """Read a container from the view; ids of the nodes on which it is kept from now on, or no longer."""
        old, new = self._nodes.get(container_id, frozenset()), kept_nodes(self._view, container_id)
        for node_id in old - new:
            self._by_node[node_id].discard(container_id)
        for node_id in new - old:
            self._by_node[node_id].add(container_id)
        if new:
            self._nodes[container_id] = new
        else:
            self._nodes.pop(container_id, None)
        return old ^ new

    def on_node(self, node_id: str) -> Collection[str]:
        """Ids of the containers that are kept on a node."""
        return self._by_node.get(node_id, ())
