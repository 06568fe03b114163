"""Container calls that remove: one container, and all that do not run."""

from collections.abc import Callable
from contextlib import suppress

from manager.containers import container_records
from manager.containers.container_filters import container_filter
from manager.containers.container_records import deletion
from manager.containers.container_sizes import ContainerSizeSource, add_sizes
from manager.containers.container_views import container_view, down_since_ms
from manager.containers.container_volumes import deletion_with_volumes
from manager.containers.service_tasks import service_task
from manager.containers.store_waits import wait_on
from manager.containers.task_calls import TaskCalls
from manager.interfaces import NowMs
from manager.records.container_facts import has_live_task, is_restarting, is_running, node_of
from manager.records.object_lookup import find_container, hostname_of
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    Filter,
    PruneContainersRequest,
    RemoveContainerRequest,
    RemoveContainersResponse,
)
from shoal.api.v1.standalone_pb2 import Container
from shoal.errors import Conflict, InvalidInput, Refused, Timeout, Unavailable
from shoal.rpc.caller import Caller

GONE_SECONDS = 5.0
"""How long a prune waits for nodes."""
_ATTEMPTS = 4


class ContainerRemoval:
    """The calls that remove containers."""

    def __init__(self, *, store: RecordStore, sizes: ContainerSizeSource, now_ms: NowMs, tasks: TaskCalls) -> None:
        self._store = store
        self._sizes = sizes
        self._now_ms = now_ms
        self._tasks = tasks

    async def remove(self, request: RemoveContainerRequest, caller: Caller) -> RemoveContainersResponse:
        """Answered once the name is free.

        Raises:
            Refused: it runs, and `force` is not set.
            Unavailable: its node is down: it is removed once that is back, or removed itself.
        """
        if (task := service_task(self._store.tables, request.container)) is not None:
            return await self._tasks.remove(task, request)
        identifier = find_container(self._store.tables, request.container).meta.id
        with self._store.follow() as changes:
            for attempt in range(_ATTEMPTS):
                container = self._store.tables.containers.get(identifier)
                if container is None:
                    break
                try:
                    await self._begin(container, request)
                    break
                except Conflict:
                    if attempt + 1 == _ATTEMPTS:
                        raise
            await wait_on(
                changes,
                self._store.tables,
                lambda view: _is_gone(view, identifier) or None,
                seconds=None,
                what="",
            )
        return RemoveContainersResponse(ids=[identifier])

    async def prune(self, request: PruneContainersRequest, caller: Caller) -> RemoveContainersResponse:
        """All that do not run and are not about to; those of nodes that are down too. Filters: `until`, `label`.

        Answered once they are gone, but for those of nodes that do not delete them soon.
        """
        view = self._store.tables
        keeps = _prune_filter(view, request)
        idle = [each for each in view.containers.values() if _is_idle(view, each)]
        chosen = [each for each in (container_view(view, one) for one in idle) if keeps(each)]
        await add_sizes(view, chosen, self._sizes)
        removed: dict[str, int] = {}
        with self._store.follow() as changes:
            for each in chosen:
                try:
                    await self._begin(each.container, RemoveContainerRequest(remove_volumes=False))
                except (Conflict, Refused):
                    continue  # somebody has started it, or removed it
                removed[each.container.meta.id] = each.writable_bytes
            with suppress(Timeout):
                await wait_on(
                    changes,
                    view,
                    lambda view: view.containers.keys().isdisjoint(removed) or None,
                    seconds=GONE_SECONDS,
                    what="",
                )
        return RemoveContainersResponse(ids=removed, reclaimed_bytes=sum(removed.values()))

    async def _begin(self, container: Container, request: RemoveContainerRequest) -> None:
        """Delete what has nothing on its node in hand; mark the rest, which the collector deletes."""
        view, identifier = self._store.tables, container.meta.id
        if not request.force and (is_running(view, identifier) or is_restarting(view, container)):
            raise Refused(f'container "{container.name}" is running; stop it first, or remove it with --force')
        if not has_live_task(view, identifier):
            with_volumes = request.remove_volumes or container.remove_volumes or container.definition.auto_remove
            group = deletion_with_volumes(self._store, container) if with_volumes else deletion(container)
            await self._store.commit(group.writes, expects=group.expects)
            return
        changed = container_records.removed(
            container, with_volumes=request.remove_volumes, force=request.force, now_ms=self._now_ms()
        )
        group = container_records.change(container, changed, self._now_ms())
        await self._store.commit(group.writes, expects=group.expects)


def _is_idle(view: View, container: Container) -> bool:
    """Whether it neither runs nor is about to, and is not being removed."""
    is_busy = is_running(view, container.meta.id) or is_restarting(view, container)
    return not (container.removing or is_busy)


def _is_gone(view: View, identifier: str) -> bool:
    """Whether it is removed.

    Raises:
        Unavailable: its node is down, so that nobody knows whether it still runs.
    """
    container = view.containers.get(identifier)
    if container is None:
        return True
    node_id = node_of(view, identifier)
    if down_since_ms(view, node_id) and node_id in view.nodes:
        name = hostname_of(view, node_id)
        raise Unavailable(
            f'container "{container.name}" is removed once node {name}, which is down, is back; '
            f"to delete what is there together with the node, run `shoal node rm {name}`"
        )
    return False


def _prune_filter(view: View, request: PruneContainersRequest) -> Callable[[ContainerView], bool]:
    """`until` is a time in milliseconds since the Unix epoch; several of them: the earliest."""
    texts = [each.value for each in request.filters if each.key == "until"]
    if not all(text.isdecimal() for text in texts):
        raise InvalidInput("filter until: must be milliseconds since the Unix epoch")
    others = [each for each in request.filters if each.key != "until"]
    if unknown := next((each.key for each in others if each.key not in ("label", "label!")), ""):
        raise InvalidInput(f"filter {unknown}: is not supported; allowed keys are until, label")
    keeps = container_filter(view, [each for each in others if each.key == "label"])
    without = [
        container_filter(view, [Filter(key="label", value=each.value)]) for each in others if each.key == "label!"
    ]
    until = min(map(int, texts), default=None)
    return lambda each: (
        keeps(each)
        and not any(has(each) for has in without)
        and (until is None or each.container.meta.created_at_ms < until)
    )
