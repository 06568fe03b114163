"""Containers in the columns of a listing.

Each row is made once and kept while the records that it is made of stay, and a whole listing while no record changes.
"""

from collections.abc import Iterable
from functools import lru_cache
from operator import is_, itemgetter
from typing import NamedTuple

from google.protobuf.message import Message

from manager.containers.container_commands import fill_commands
from manager.containers.container_views import container_view, task_view
from manager.records.container_facts import newest_task
from manager.store.tables import View
from shoal.api.v1.engine_pb2 import ContainerSummaries, ContainerView
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.container_ids import short_container_id
from shoal.container_ports import ports_text
from shoal.container_states import ACTIVE, state_text, status_parts
from shoal.errors import InvalidInput
from shoal.image_reference import parse

MAX_COMMAND = 40
"""Characters."""


class Row(NamedTuple):
    """One container.

    Attributes:
        has_command: what it runs is known; else its image may become known later.
        encoded: a `ContainerSummaries` with this one alone, in the wire format.
    """

    created_at_ms: int
    is_active: bool
    has_command: bool
    encoded: bytes


class _Known(NamedTuple):
    """A row, with the records that it was made of; `owner` is the container or the task, `other` what goes with it."""

    owner: Message
    other: Message | None
    task: Task | None
    end: TaskStatus | None
    node_id: str
    node: Node | None
    node_status: NodeStatus | None
    row: Row


class SummaryCache:
    """Listings of all containers and tasks, and the rows as the last one had them."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._containers: dict[str, _Known] = {}
        self._tasks: dict[str, _Known] = {}
        self._images = 0
        self._answers: dict[tuple[bool, bool], ContainerSummaries] = {}
        self._revision = 0

    def answer(self, *, shows_all: bool, include_tasks: bool, limit: int) -> ContainerSummaries:
        """The newest first.

        Args:
            shows_all: those that have ended too.
            include_tasks: tasks of services too.
            limit: so many at most; 0: all.
        """
        if self._revision != self._view.revision:
            self._answers.clear()
            self._revision = self._view.revision
        key = (shows_all, include_tasks)
        if not limit and key in self._answers:
            return self._answers[key]
        rows = [row for row in self._rows(include_tasks) if shows_all or row.is_active]
        rows.sort(key=itemgetter(0), reverse=True)
        found = joined(rows[: limit or None])
        if not limit:
            self._answers[key] = found
        return found

    def _rows(self, include_tasks: bool) -> list[Row]:
        """Of every container, and of tasks of services, in no order."""
        if self._images != len(self._view.images):
            self._images = len(self._view.images)
            for kept in (self._containers, self._tasks):
                for identifier in [each for each, known in kept.items() if not known.row.has_command]:
                    del kept[identifier]
        self._containers = self._container_rows()
        self._tasks = self._task_rows() if include_tasks else self._tasks
        shown = (*self._containers.values(), *(self._tasks.values() if include_tasks else ()))
        return [each.row for each in shown]

    def _container_rows(self) -> dict[str, _Known]:
        view, rows = self._view, {}
        nodes, node_status, statuses, ends = view.nodes, view.node_status, view.service_status, view.task_status
        for identifier, container in view.containers.items():
            status, task = statuses.get(identifier), newest_task(view, identifier)
            known = self._containers.get(identifier)
            if (
                known is None
                or known.owner is not container
                or known.other is not status
                or known.task is not task
                or (task is not None and known.end is not ends.get(task.id))
                or known.node is not nodes.get(known.node_id)
                or known.node_status is not node_status.get(known.node_id)
            ):
                end = ends.get(task.id) if task is not None else None
                shown = container_view(view, container)
                at = shown.node_id
                row = row_of(view, shown)
                known = _Known(container, status, task, end, at, nodes.get(at), node_status.get(at), row)
            rows[identifier] = known
        return rows

    def _task_rows(self) -> dict[str, _Known]:
        view, rows = self._view, {}
        nodes, node_status, ends = view.nodes, view.node_status, view.task_status
        for identifier, task in view.tasks.items():
            if task.container_id or not (at := task.node_id):
                continue
            revision, end = view.revision_of(task.service_id, task.revision), ends.get(identifier)
            node, status, known = nodes.get(at), node_status.get(at), self._tasks.get(identifier)
            if known is None or not all(map(is_, known[:7], (task, revision, None, end, known.node_id, node, status))):
                known = _Known(task, revision, None, end, at, node, status, row_of(view, task_view(view, task)))
            rows[identifier] = known
        return rows


def row_of(view: View, each: ContainerView) -> Row:
    """The row of one container."""
    if not each.command:
        fill_commands(view, [each])
    container, task = each.container, each.task
    identifier, status = container.meta.id or task.id, status_parts(each)
    created_at_ms = container.meta.created_at_ms or task.created_at_ms
    alone = ContainerSummaries(
        ids=(short_container_id(identifier),),
        names=(container.name if container.meta.id else container.name.removesuffix(f".{identifier}"),),
        images=(_familiar(container.definition.task.container.image),),
        commands=(" ".join(each.command)[:MAX_COMMAND],),
        created_at_ms=(created_at_ms,),
        status_before=(status.before,),
        status_since_ms=(status.since_ms,),
        status_after=(status.after,),
        ports=(ports_text(each),),
        nodes=(each.node_hostname,),
    )
    return Row(created_at_ms, state_text(each) in ACTIVE, bool(each.command), alone.SerializeToString())


def joined(rows: Iterable[Row]) -> ContainerSummaries:
    """The rows in their order. Messages behind each other are their merge, which appends to repeated fields."""
    return ContainerSummaries.FromString(b"".join(row.encoded for row in rows))


@lru_cache(maxsize=4096)
def _familiar(image: str) -> str:
    """As people write it: without the digest, unless there is nothing else."""
    name, _, digest = image.partition("@")
    if digest and ":" not in name.rpartition("/")[2]:
        return f"{name}@{digest.removeprefix('sha256:')[:12]}"
    try:
        return parse(name).familiar
    except InvalidInput:
        return image
