"""Service calls: create, update, scale, roll back, remove, get, list."""

import asyncio
from collections.abc import Callable, Sequence

from manager.interfaces import ImageResolver, NowMs
from manager.networks import routing_mesh
from manager.planner.spec.effective_spec import spec_in_force
from manager.planner.spec.service_modes import is_job
from manager.records import name_records
from manager.records.concurrent_changes import retried
from manager.records.object_lookup import find_service
from manager.records.versions import check_version
from manager.records.write_groups import WriteGroup
from manager.services import file_references, service_revisions
from manager.services.dry_run import DryRun, DryRunStore
from manager.services.job_progress import job_view
from manager.services.service_dependencies import dependency_faults
from manager.services.spec_submission import ResolveImage, prepare
from manager.services.task_counts import service_view
from manager.store.changes import Expect, Write, delete
from manager.store.kinds import SERVICE
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation import bounds
from manager.validation.container_name_rules import too_many_tasks
from manager.validation.shared_network_rules import check_not_shared, sharing_faults
from manager.volumes import volume_references
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    CreateServiceResponse,
    GetServiceRequest,
    ListServicesRequest,
    ListServicesResponse,
    RemoveServiceRequest,
    RemoveServiceResponse,
    RollbackServiceRequest,
    ScaleServicesRequest,
    ScaleServicesResponse,
    ServiceView,
    UpdateServiceRequest,
    UpdateServiceResponse,
)
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.errors import AlreadyExists, Fault, InvalidInput, NotFound
from shoal.ids import NewId
from shoal.rpc.caller import Caller


class ServiceHandler:
    """The services' calls.

    Args:
        store: the records.
        images: resolves tags, at submission only.
        now_ms: the clock.
        new_id: the source of IDs.
    """

    def __init__(self, *, store: RecordStore, images: ImageResolver, now_ms: NowMs, new_id: NewId) -> None:
        self._store = store
        self._images = images
        self._now_ms = now_ms
        self._new_id = new_id

    async def create(self, request: CreateServiceRequest, caller: Caller) -> CreateServiceResponse:
        """Raises InvalidInput with all faults, AlreadyExists when the name is taken."""
        view = self._store.tables
        submission = await prepare(request.spec, view=view, images=None if request.no_resolve_image else self._images)
        spec = submission.spec
        known = view.service_named(spec.name) is not None
        if faults := [*submission.faults, *dependency_faults(view, [spec])[0], *sharing_faults(view, [spec])[0]]:
            raise InvalidInput([*faults, *([Fault("name", name_taken(spec.name))] if known else [])])
        if known:
            raise AlreadyExists(name_taken(spec.name))
        service = service_revisions.new_service(self._new_id(), spec, self._now_ms())
        if request.dry_run:
            response = CreateServiceResponse(service=service, warnings=submission.warnings)
            if request.with_moves:
                await self._add_moves(response, lambda tables: creation(tables, response.service)[0])
            return response
        await routing_mesh.ensure_network(self._store, [spec], self._now_ms)
        await volume_references.create_missing(self._store, [service.spec], self._new_id, self._now_ms)
        revision = await name_records.commit_new(
            self._store, WriteGroup(*creation(view, service)), taken=name_taken(spec.name)
        )
        return CreateServiceResponse(service=_versioned(service, revision), warnings=submission.warnings)

    async def update(self, request: UpdateServiceRequest, caller: Caller) -> UpdateServiceResponse:
        """Raises Conflict when the service changed since `request.version`."""
        service = find_service(self._store.tables, request.service)
        check_version(f'service "{service.spec.name}"', request.version, service.meta.version)
        images = None if request.no_resolve_image else self._images
        response = await self._change(service, request.spec, images=images, dry_run=request.dry_run)
        if request.dry_run and request.with_moves and response.service.revision != service.revision:
            await self._add_moves(response, lambda tables: alteration(tables, service, response.service)[0])
        return response

    async def _add_moves(
        self, response: CreateServiceResponse | UpdateServiceResponse, writes: Callable[[View], list[Write]]
    ) -> None:
        """Add to a dry run's answer where the planner would run the tasks.

        In a thread: a pass over all tasks of a large cluster takes a second.

        Args:
            writes: of the change, on the tables of the dry run.
        """
        dry_run, changed = DryRunStore(self._store), response.service
        await routing_mesh.ensure_network(dry_run, [changed.spec], self._now_ms)
        await volume_references.create_missing(dry_run, [changed.spec], self._new_id, self._now_ms)
        await dry_run.commit(writes(dry_run.tables))
        run = await asyncio.to_thread(DryRun, dry_run.tables, now_ms=self._now_ms(), new_id=self._new_id)
        if not await asyncio.to_thread(run.run, [changed.meta.id]):
            response.warnings.append("the dry run did not settle; the task moves shown are incomplete")
        response.moves.extend(run.moves(changed.meta.id, changed.spec.name))

    async def rollback(self, request: RollbackServiceRequest, caller: Caller) -> UpdateServiceResponse:
        """Raises NotFound when that revision is no longer kept."""
        view = self._store.tables
        service = find_service(view, request.service)
        number = request.revision or service.revision - 1
        earlier = view.revision_of(service.meta.id, number)
        if earlier is None:
            kept = (
                f"{bounds.REVISIONS_KEPT} revisions are kept, and those "
                f"of the last {bounds.REVISIONS_KEPT} task templates"
            )
            raise NotFound(
                f'service "{service.spec.name}" has no revision {number}; '
                f"the current revision is {service.revision} ({kept})"
            )
        return await self._change(service, earlier.spec, images=self._images, earlier_spec=earlier.spec)

    async def scale(self, request: ScaleServicesRequest, caller: Caller) -> ScaleServicesResponse:
        """All or none, in one transaction."""
        services = scale_targets(self._store.tables, request)
        writes: list[Write] = []
        expects: list[Expect] = []
        answer: list[tuple[Service, bool]] = []
        for service, spec in services:
            base = spec_in_force(self._store.tables, service)
            changed = service_revisions.with_spec(service, spec, self._now_ms(), base=base)
            answer.append((changed or service, changed is not None))
            if changed is not None:
                writes += service_revisions.record_writes(changed) + service_revisions.pruning_writes(
                    self._store.tables, changed
                )
                expects.append(service_revisions.unchanged_since(service))
        version = await self._store.commit(writes, expects=expects) if writes else 0
        return ScaleServicesResponse(services=[_versioned(s, version) if new else s for s, new in answer])

    async def remove(self, request: RemoveServiceRequest, caller: Caller) -> RemoveServiceResponse:
        """The record is deleted at once; the planner stops the tasks, and the specs that they need are kept until then.

        Raises:
            Refused: another service shares the network of its tasks.
        """
        identifier = find_service(
            self._store.tables, request.service
        ).meta.id  # not another one that has the name by then
        return await retried(lambda: self._remove(identifier, request))

    async def _remove(self, identifier: str, request: RemoveServiceRequest) -> RemoveServiceResponse:
        view = self._store.tables
        service = find_service(view, identifier)
        check_not_shared(view, [service.spec.name], set(name_records.known_services(view, request.removed_with)))
        await self._store.commit(removal(service), expects=[service_revisions.unchanged_since(service)])
        return RemoveServiceResponse(id=service.meta.id)

    async def get(self, request: GetServiceRequest, caller: Caller) -> ServiceView:
        view = self._store.tables
        return _view(view, find_service(view, request.service))

    async def list(self, request: ListServicesRequest, caller: Caller) -> ListServicesResponse:
        view = self._store.tables
        chosen = (each for each in view.services.values() if not request.stack or each.spec.stack == request.stack)
        ordered = sorted(chosen, key=lambda service: service.spec.name)
        return ListServicesResponse(services=[_view(view, service) for service in ordered])

    async def _change(
        self,
        service: Service,
        new_spec: ServiceSpec,
        *,
        images: ImageResolver | None,
        earlier_spec: ServiceSpec | None = None,
        dry_run: bool = False,
    ) -> UpdateServiceResponse:
        """Args: earlier_spec: the revision to return to; its digest and platforms are kept."""
        view = self._store.tables
        base = spec_in_force(view, service)
        submission = await prepare(
            new_spec,
            view=view,
            images=images,
            previous=earlier_spec or base,
            resolve_image=ResolveImage.UNLESS_SAME_IMAGE,
        )
        others = (*dependency_faults(view, [submission.spec])[0], *sharing_faults(view, [submission.spec])[0])
        faults = (*submission.faults, *immutable_faults(service.spec, submission.spec), *others)
        if faults:
            raise InvalidInput(faults)
        rollback = earlier_spec is not None
        changed = service_revisions.with_spec(service, submission.spec, self._now_ms(), base=base, rollback=rollback)
        if changed is None or dry_run:
            notes = ["nothing to change: this revision is already active"] if changed is None and rollback else []
            return UpdateServiceResponse(service=changed or service, warnings=[*submission.warnings, *notes])
        await routing_mesh.ensure_network(self._store, [changed.spec], self._now_ms)
        await volume_references.create_missing(self._store, [changed.spec], self._new_id, self._now_ms)
        writes, expects = alteration(view, service, changed)
        stored = await self._commit(changed, writes, expects)
        return UpdateServiceResponse(service=stored, warnings=submission.warnings)

    async def _commit(self, service: Service, writes: Sequence[Write], expects: Sequence[Expect]) -> Service:
        return _versioned(service, await self._store.commit(writes, expects=expects))


def name_taken(name: str) -> str:
    """The message for a name that is taken."""
    return f'service "{name}" already exists; choose another name, or use `shoal service update`'


def creation(view: View, service: Service) -> tuple[list[Write], list[Expect]]:
    """Writes and conditions of a new service."""
    name, free = name_records.claim("service", service.spec.name, service.meta.id)
    touched, present = name_records.touch_networks(name_records.networks_of(view, service.spec))
    files, unchanged = file_references.touch(view, service.spec)
    volumes, there = volume_references.touch(view, service.spec)
    writes = [*service_revisions.record_writes(service), name, *touched, *files, *volumes]
    return writes, [free, *present, *unchanged, *there]


def alteration(view: View, service: Service, changed: Service) -> tuple[list[Write], list[Expect]]:
    """Writes and conditions of a service that gets another spec."""
    attached = {attachment.network for attachment in service.spec.task.networks}
    new = [network for network in name_records.networks_of(view, changed.spec) if network.meta.id not in attached]
    touched, present = name_records.touch_networks(new)
    files, unchanged = file_references.touch(view, changed.spec, service.spec)
    writes = [
        *service_revisions.record_writes(changed),
        *service_revisions.pruning_writes(view, changed),
        *touched,
        *files,
    ]
    volumes, there = volume_references.touch(view, changed.spec, service.spec)
    return [*writes, *volumes], [service_revisions.unchanged_since(service), *present, *unchanged, *there]


def removal(service: Service) -> list[Write]:
    """Deletions of a service. The planner stops its tasks, and then deletes its status and revisions."""
    return [delete(SERVICE, service.meta.id), name_records.release("service", service.spec.name)]


def scale_targets(view: View, request: ScaleServicesRequest) -> list[tuple[Service, ServiceSpec]]:
    """Each target with its new spec.

    Raises:
        NotFound: a service does not exist, and nothing else is wrong. InvalidInput: with the faults of all targets.
    """
    if len(request.targets) > bounds.TARGETS_IN_CALL:
        raise InvalidInput(f"{len(request.targets)} services in one request; the maximum is {bounds.TARGETS_IN_CALL}")
    chosen: dict[str, tuple[Service, ServiceSpec]] = {}
    faults = []
    missing: list[NotFound] = []
    for target in request.targets:
        try:
            service = find_service(view, target.service)
        except NotFound as error:
            missing.append(error)
            continue
        spec = ServiceSpec()
        spec.CopyFrom(spec_in_force(view, service))
        twice = "is listed twice" if service.meta.id in chosen else ""
        if why := _scale_obstacle(spec, target.replicas) or twice:
            faults.append(Fault(target.service, why))
        else:
            spec.replicated.replicas = target.replicas
        chosen[service.meta.id] = (service, spec)
    if len(missing) == 1 and not faults:
        raise missing[0]
    if faults or missing:
        raise InvalidInput([*faults, *(Fault("", str(error)) for error in missing)])
    return list(chosen.values())


def _scale_obstacle(spec: ServiceSpec, replicas: int) -> str:
    """Why a service cannot be scaled to this number; empty when it can."""
    if is_job(spec):
        return "jobs cannot be scaled; to change the number of completions, use `shoal service update --replicas`"
    if spec.HasField("autoscale"):
        return "autoscaling is enabled; to change its limits, use `shoal service update --autoscale`"
    if spec.WhichOneof("mode") == "global":
        return "global services run one task per node and cannot be scaled"
    if replicas > bounds.REPLICAS:
        return f"{replicas:,} is too large; the maximum is {bounds.REPLICAS:,} replicas"
    if replicas > 1 and spec.task.container.name:
        return too_many_tasks(spec.task.container.name, f"{replicas:,}")
    return ""


def immutable_faults(old: ServiceSpec, new: ServiceSpec) -> list[Fault]:
    """Fields that an update must not change."""
    faults = []
    if new.name != old.name:
        faults.append(Fault("name", f'"{old.name}" cannot be renamed; create a new service'))
    if new.WhichOneof("mode") != old.WhichOneof("mode"):
        faults.append(Fault("mode", f"cannot change from {_mode(old)} to {_mode(new)}; create a new service"))
    if new.stack != old.stack:
        faults.append(Fault("stack", "cannot be changed; create a new service"))
    return faults


def _mode(spec: ServiceSpec) -> str:
    return (spec.WhichOneof("mode") or "none").replace("_", "-")


def _view(view: View, service: Service) -> ServiceView:
    return job_view(view, service) if is_job(service.spec) else service_view(view, service)


def _versioned(service: Service, version: int) -> Service:
    stored = Service()
    stored.CopyFrom(service)
    stored.meta.version = version
    return stored
