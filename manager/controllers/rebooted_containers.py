"""Starts containers with the restart policy `always` that a user has stopped, once their node has booted again.

That is what distinguishes `always` from `unless-stopped`: Docker starts these containers with its daemon.
Run by the leader alone. Containers that were not stopped by a user are the planner's, whatever ended them.
"""

import logging
from collections.abc import Iterable, Iterator
from functools import partial

from manager.containers import container_records
from manager.controllers.changed_containers import follow_containers
from manager.interfaces import NowMs
from manager.records.container_facts import boot_of, is_running, node_of
from manager.store.changes import Change
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.standalone_pb2 import Container, ContainerRestart
from shoal.errors import Conflict, Timeout, Unavailable

_log = logging.getLogger(__name__)


class RebootedContainers:
    """Examines the containers of nodes whose status has changed, in the leader's term only."""

    def __init__(self, *, store: RecordStore, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Raises:
            LeadershipLost: the term is over.
        """
        await follow_containers(self._store, _affected, partial(self._start, fence=fence))

    async def _start(self, containers: Iterable[str], fence: int) -> list[str]:
        """Start what is due; ids of the containers for which that failed."""
        failed = []
        for identifier in dict.fromkeys(containers):
            container = self._store.tables.containers.get(identifier)
            if container is None or not starts_after_boot(self._store.tables, container):
                continue
            now_ms = self._now_ms()
            group = container_records.change(container, container_records.started(container, now_ms), now_ms)
            try:
                await self._store.commit(group.writes, expects=group.expects, fence=fence)
                _log.info("starting container %s: its node has booted, and its policy is `always`", container.name)
            except (Conflict, Unavailable, Timeout) as error:
                _log.info("the start of container %s is postponed: %s", container.name, error)
                failed.append(identifier)
        return failed


def starts_after_boot(view: View, container: Container) -> bool:
    """Whether its node has booted since a user stopped it, and its policy starts it then. Pure."""
    if not (container.held and container.held_boot_id) or container.removing:
        return False
    if container.definition.restart.condition != ContainerRestart.ALWAYS or is_running(view, container.meta.id):
        return False
    status = view.node_status.get(node_of(view, container.meta.id))
    is_ready = status is not None and status.state == NodeStatus.READY
    return is_ready and boot_of(view, container.meta.id) not in ("", container.held_boot_id)


def _affected(view: View, changes: Iterable[Change]) -> Iterator[str]:
    """Ids of the containers on nodes that have become ready, or have booted."""
    for change in changes:
        old, new = change.old, change.new
        if isinstance(new, NodeStatus) and (not isinstance(old, NodeStatus) or _differs(old, new)):
            yield from {task.container_id for task in view.tasks_on(change.identifier).values()} - {""}


def _differs(old: NodeStatus, new: NodeStatus) -> bool:
    return (old.state, old.description.boot_id) != (new.state, new.description.boot_id)
