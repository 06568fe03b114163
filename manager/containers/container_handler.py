"""Container calls about records: create, get, list, rename, update."""

from asyncio import CancelledError
from collections.abc import Iterable, Sequence
from contextlib import suppress

from manager.containers import container_records
from manager.containers.container_commands import fill_commands
from manager.containers.container_filters import container_filter
from manager.containers.container_links import without_link
from manager.containers.container_names import choose_name
from manager.containers.container_runs import GIVE_UP_MS, NOT_STARTED
from manager.containers.container_sizes import ContainerSizeSource, add_sizes
from manager.containers.container_summaries import SummaryCache, joined, row_of
from manager.containers.container_views import container_view, task_view, task_views
from manager.containers.container_volumes import deletion_with_volumes
from manager.containers.definition_submission import SubmittedDefinition, prepare_definition
from manager.containers.orphaned_containers import find_orphan
from manager.containers.service_tasks import find_own, service_task
from manager.containers.store_waits import wait_on
from manager.interfaces import ImageResolver, NowMs
from manager.networks import routing_mesh
from manager.records.container_facts import node_of
from manager.records.object_lookup import find_container
from manager.store.kinds import NAME, VOLUME
from manager.store.record_store import RecordStore
from manager.store.subscription import Subscription
from manager.store.tables import View
from manager.validation.standalone_rules import check_container_name, check_definition
from shoal.api.v1.engine_pb2 import (
    ContainerSummaries,
    ContainerView,
    CreateContainerRequest,
    GetContainerRequest,
    ListContainersRequest,
    ListContainersResponse,
    RenameContainerRequest,
    UpdateContainerRequest,
)
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition
from shoal.container_ids import container_id
from shoal.container_states import ACTIVE, state_text
from shoal.errors import AlreadyExists, Conflict, InvalidInput, NotFound, Refused, Timeout, Unavailable
from shoal.ids import NewId
from shoal.rpc.caller import Caller

PLACE_SECONDS = 30.0
"""How long a creation waits for the planner."""
_ATTEMPTS = 4


class ContainerHandler:
    """The calls of containers that concern their records.

    Args:
        images: resolves tags, at creation only.
        sizes: the agents.
        new_id: of containers, and of volumes that are made with them.
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        images: ImageResolver,
        sizes: ContainerSizeSource,
        now_ms: NowMs,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._images = images
        self._sizes = sizes
        self._now_ms = now_ms
        self._new_id = new_id
        self._summaries = SummaryCache(store.tables)

    async def create(self, request: CreateContainerRequest, caller: Caller, *, starts: bool = False) -> ContainerView:
        """All in one transaction; answered once the planner has chosen a node. Undone when its caller leaves before.

        Args:
            starts: its first run is planned with it. Where that is not possible it is created, and not started.
        Raises:
            InvalidInput: with all faults. AlreadyExists: the name is taken. NotFound: no node keeps what it adopts.
            Refused: no node fits, with all reasons; nothing is left. Unavailable: no manager is leading.
        """
        prepared = await self._prepare(request)
        if request.dry_run:
            return ContainerView(warnings=prepared.warnings)
        with self._store.follow() as changes:
            container = await self._commit_new(request, prepared, starts=starts)
            identifier, name = container.meta.id, container.name
            try:
                placed = await self._wait_for_placement(changes, container)
                if placed and starts:  # its ports are taken, say: a container that does not run needs none
                    await self._withdraw_start(identifier)
                    placed = await self._wait_for_placement(changes, container)
            except (Timeout, CancelledError) as error:
                if not (request.adopt and node_of(self._store.tables, identifier)):  # its files are not to go with it
                    await self._undo(identifier, prepared)
                if isinstance(error, CancelledError):  # the caller has gone, and will not know its name
                    raise
                raise Unavailable(f"{error}: no manager is leading, or room is being made; try again") from error
        if placed:
            await self._undo(identifier, prepared)
            raise Refused(f'container "{name}" cannot be created: {placed}')
        answer = self._view(identifier, container)
        answer.warnings.extend(prepared.warnings)
        return answer

    async def _wait_for_placement(self, changes: Subscription, container: Container) -> str:
        """Empty once it has a node; why no node fits. Raises Timeout."""
        return await wait_on(
            changes,
            self._store.tables,
            lambda view: _placement(view, container),
            seconds=PLACE_SECONDS,
            what=f'container "{container.name}" was not placed',
        )

    async def get(self, request: GetContainerRequest, caller: Caller) -> ContainerView:
        """A container of one's own, or a service's task."""
        view = self._store.tables
        task = service_task(view, request.container)
        found = task_view(view, task) if task else container_view(view, find_container(view, request.container))
        fill_commands(view, [found])
        if request.include_sizes:
            found.warnings.extend(await add_sizes(view, [found], self._sizes))
        return found

    async def list(self, request: ListContainersRequest, caller: Caller) -> ListContainersResponse:
        """The newest first. Without `all`, those that run."""
        view, shown = self._store.tables, self._listed(request)
        fill_commands(view, shown)
        warnings = await add_sizes(view, shown, self._sizes) if request.include_sizes else []
        return ListContainersResponse(containers=shown, warnings=warnings)

    async def summarize(self, request: ListContainersRequest, caller: Caller) -> ContainerSummaries:
        """As `list`, in columns."""
        if request.filters:
            return joined([row_of(self._store.tables, each) for each in self._listed(request)])
        shows_all = request.all or bool(request.limit)
        return self._summaries.answer(shows_all=shows_all, include_tasks=request.include_tasks, limit=request.limit)

    def _listed(self, request: ListContainersRequest) -> Sequence[ContainerView]:
        view = self._store.tables
        keeps = container_filter(view, request.filters)
        every: Iterable[ContainerView] = (container_view(view, each) for each in view.containers.values())
        found = [*every, *(task_views(view) if request.include_tasks else ())]
        shows_all = request.all or bool(request.limit) or any(each.key == "status" for each in request.filters)
        shown = [each for each in found if keeps(each) and (shows_all or state_text(each) in ACTIVE)]
        shown.sort(key=lambda each: each.container.meta.created_at_ms or each.task.created_at_ms, reverse=True)
        return shown[: request.limit or None]

    async def rename(self, request: RenameContainerRequest, caller: Caller) -> ContainerView:
        """Raises AlreadyExists when another container has the name."""
        name = request.name.removeprefix("/")
        if faults := list(check_container_name("name", name)):
            raise InvalidInput(faults)
        container = find_own(self._store.tables, request.container, "cannot be renamed")
        if name == container.name:
            raise InvalidInput(f'container "{name}" has this name already')
        changed = container_records.renamed(container, name, self._now_ms())
        return await self._change(container, changed, taken=name)

    async def update(self, request: UpdateContainerRequest, caller: Caller) -> ContainerView:
        """Limits, reservations, restart policy and fewer links; what is unset stays.

        Raises:
            InvalidInput: with all faults. NotFound: there is no such link.
        """
        container = find_own(self._store.tables, request.container, "cannot be updated")
        definition = ContainerDefinition()
        definition.CopyFrom(container.definition)
        if request.HasField("limits"):
            definition.task.limits.MergeFrom(request.limits)
        if request.HasField("reservations"):
            definition.task.reservations.MergeFrom(request.reservations)
        definition.task.container.cpu.MergeFrom(request.cpu)
        definition.task.container.memory.MergeFrom(request.memory)
        if request.HasField("restart"):
            definition.restart.CopyFrom(request.restart)
        for alias in request.remove_links:
            definition = without_link(definition, alias)
        changed = container_records.redefined(container, definition, self._now_ms())
        if faults := list(check_definition(definition, container_records.spec_of(changed))):
            raise InvalidInput(faults)
        return await self._change(container, changed)

    async def _prepare(self, request: CreateContainerRequest) -> SubmittedDefinition:
        images = None if request.no_resolve_image else self._images
        prepared = await prepare_definition(
            request.definition,
            node=find_orphan(self._store.tables, request.adopt)[0] if request.adopt else request.node,
            view=self._store.tables,
            images=images,
            new_id=self._new_id,
            now_ms=self._now_ms(),
        )
        name = request.name.removeprefix("/")
        faults = [*(check_container_name("name", name) if name else ()), *prepared.faults]
        if faults:
            raise InvalidInput(faults)
        if name and (known := self._store.tables.container_named(name)) is not None:
            raise AlreadyExists(name_taken(known))
        return prepared

    async def _commit_new(
        self, request: CreateContainerRequest, prepared: SubmittedDefinition, *, starts: bool
    ) -> Container:
        """Commit the container; another name is chosen where the user has given none and it was taken meanwhile."""
        await self._ensure_mesh(prepared.definition)
        for attempt in range(_ATTEMPTS):
            identifier = find_orphan(self._store.tables, request.adopt)[1].id if request.adopt else self._new_id()
            name = request.name.removeprefix("/") or self._free_name(identifier)
            now_ms = self._now_ms()
            container = container_records.new_container(identifier, name, prepared.definition, now_ms)
            if starts:
                container = container_records.started(container, now_ms, now_ms + GIVE_UP_MS)
            group = container_records.creation(self._store.tables, container)
            writes, expects = [*group.writes, *prepared.writes], [*group.expects, *prepared.expects]
            try:
                await self._store.commit(writes, expects=expects)
                return container
            except Conflict as conflict:
                is_name = conflict.key == f"{NAME.name}/{container_records.OBJECT_TYPE}/{name}"
                if is_name and request.name:
                    raise AlreadyExists(name_taken(self._store.tables.container_named(name), name)) from conflict
                if attempt + 1 == _ATTEMPTS or not is_name:
                    raise
        raise AssertionError("unreachable")

    async def _ensure_mesh(self, definition: ContainerDefinition) -> None:
        of_none = Container(definition=definition)
        of_none.meta.id = self._new_id()
        await routing_mesh.ensure_network(self._store, [container_records.spec_of(of_none)], self._now_ms)

    def _free_name(self, identifier: str) -> str:
        view = self._store.tables
        number = int(container_id(identifier)[17:47], 16)
        return choose_name(number, lambda name: view.container_named(name) is not None)

    async def _withdraw_start(self, identifier: str) -> None:
        """Its first run is not possible: it is only created. Not if somebody else has decided about it meanwhile."""
        container = self._store.tables.containers.get(identifier)
        if container is not None and container.desired == Container.RUNNING:
            changed = container_records.start_withdrawn(container, NOT_STARTED, self._now_ms())
            with suppress(Conflict):
                group = container_records.change(container, changed, self._now_ms())
                await self._store.commit(group.writes, expects=group.expects)

    async def _undo(self, identifier: str, prepared: SubmittedDefinition) -> None:
        """Delete a container that could not be placed, with what was made with it; not what was changed since."""
        container = self._store.tables.containers.get(identifier)
        if container is None:
            return
        made = {write.identifier for write in prepared.writes if write.kind is VOLUME}
        group = deletion_with_volumes(self._store, container, made)
        with suppress(Conflict):
            await self._store.commit(group.writes, expects=group.expects)

    async def _change(self, container: Container, changed: Container, taken: str = "") -> ContainerView:
        """Commit a changed record.

        Args:
            taken: its new name, if it has one.
        """
        group = container_records.change(container, changed, self._now_ms())
        try:
            await self._store.commit(group.writes, expects=group.expects)
        except Conflict as conflict:
            if taken and conflict.key == f"{NAME.name}/{container_records.OBJECT_TYPE}/{taken}":
                raise AlreadyExists(name_taken(self._store.tables.container_named(taken), taken)) from conflict
            raise
        return self._view(container.meta.id, changed)

    def _view(self, identifier: str, known: Container) -> ContainerView:
        view = self._store.tables
        return container_view(view, view.containers.get(identifier, known))


def name_taken(known: Container | None, name: str = "") -> str:
    """The message for a name that another container has."""
    if known is None:
        return f'container "{name}" already exists; choose another name'
    return f'container "{known.name}" already exists with ID {known.meta.id}; remove it, or choose another name'


def _placement(view: View, made: Container) -> str | None:
    """Empty once it has a node; why it has none; None while that is not decided.

    Args:
        made: as it was written first.
    """
    identifier = made.meta.id
    container = view.containers.get(identifier)
    if container is None:
        if made.run and made.definition.auto_remove:  # its run has ended, and it was removed with it
            return ""
        raise NotFound("the container was removed while it was being created")
    if node_of(view, identifier):
        return ""
    status = view.service_status.get(identifier)
    problems: Sequence[str] = status.problems if status is not None else ()
    if status is not None and status.planning_error:
        return status.planning_error
    if status is not None and status.refused_run and container.desired == Container.CREATED:
        return None  # said of the start that was withdrawn
    return "; ".join(problems) or None
