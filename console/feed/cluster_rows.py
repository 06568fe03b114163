"""All rows of the cluster, and which of them a response of the managers changes. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from console.feed.rows import container_row, node_row, service_row, task_row
from shoal.api.v1.control_pb2 import ClusterChanges

Rows = dict[str, Any]
Part = Callable[[], dict[str, Any]]
TABLES = ("nodes", "services", "containers", "tasks")
TASKS_IN_PART = 2500
"""Some 7 ms of encoding: other browsers get their turn between two parts, and a page paints."""


@dataclass
class ClusterRows:
    """Rows by id, in tables that are named as in what browsers get."""

    nodes: Rows = field(default_factory=dict)
    services: Rows = field(default_factory=dict)
    containers: Rows = field(default_factory=dict)
    tasks: Rows = field(default_factory=dict)

    def apply(self, changes: ClusterChanges) -> dict[str, Any]:
        """Apply a response; what of it browsers get: rows that are other than before, and ids of what is gone."""
        statuses = {each.node_id: each for each in changes.node_status}
        states = {each.service_id: each for each in changes.service_status}
        put: dict[str, list[Any]] = {
            "nodes": [node_row(each, statuses.get(each.meta.id)) for each in changes.nodes],
            "services": [service_row(each, states.get(each.meta.id)) for each in changes.services],
            "containers": [container_row(each) for each in changes.containers],
            "tasks": [task_row(each) for each in changes.tasks],
        }
        gone: dict[str, Iterable[str]] = {
            "nodes": changes.removed_nodes,
            "services": changes.removed_services,
            "containers": changes.removed_containers,
            "tasks": changes.removed_tasks,
        }
        changed_rows: dict[str, Any] = {}
        for name in TABLES:
            table: Rows = getattr(self, name)
            if other := [row for row in put[name] if _put(table, row)]:
                changed_rows[name] = other
            if removed := [each for each in gone[name] if table.pop(each, None) is not None]:
                changed_rows.setdefault("removed", {})[name] = removed
        return changed_rows

    def parts(self) -> list[Part]:
        """All of it, as messages for browsers: what gives names first, then tasks, then that it is complete.

        Each part has its rows as they are when it is called; one that is gone by then is left out.
        """
        identifiers = list(self.tasks)
        chunks = (identifiers[at : at + TASKS_IN_PART] for at in range(0, len(identifiers), TASKS_IN_PART))
        return [self._first_part, *(partial(self._task_part, chunk) for chunk in chunks), _last_part]

    def _first_part(self) -> dict[str, Any]:
        names = ("nodes", "services", "containers")
        return {"type": "snapshot", **{name: list(getattr(self, name).values()) for name in names}}

    def _task_part(self, identifiers: Iterable[str]) -> dict[str, Any]:
        rows = (self.tasks.get(each) for each in identifiers)
        return {"type": "part", "tasks": [row for row in rows if row is not None]}


def _last_part() -> dict[str, Any]:
    return {"type": "complete"}


def _put(table: Rows, row: Any) -> bool:
    """Whether the row is other than the one before."""
    identifier = row[0] if isinstance(row, list) else row["id"]
    if table.get(identifier) == row:
        return False
    table[identifier] = row
    return True
