"""Stack calls: deploy and remove several objects as one."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import chain

from manager.interfaces import ImageResolver, NowMs
from manager.networks import network_handler, routing_mesh
from manager.planner.spec.effective_spec import spec_in_force
from manager.records.write_groups import commit_all
from manager.services.dry_run import DryRun, DryRunStore
from manager.services.service_dependencies import dependency_faults, dependency_warnings
from manager.services.spec_submission import ResolveImage, Submission, prepare
from manager.stacks import stack_file_plan, stack_plan
from manager.stacks.stack_volume_plan import plan_volumes
from manager.store.record_store import RecordStore
from manager.store.tables import Tables
from manager.validation.other_services import OtherServices
from manager.validation.shared_network_rules import sharing_faults
from manager.validation.stack_rules import stack_request_faults
from manager.validation.submitted import Submitted
from manager.volumes import volume_references
from shoal.api.v1.control_pb2 import (
    DeployStackRequest,
    DeployStackResponse,
    RemoveStackRequest,
    RemoveStackResponse,
)
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Conflict, Fault, InvalidInput, NotFound
from shoal.ids import NewId
from shoal.rpc.caller import Caller
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

LOOKUPS_AT_ONCE = 8
ATTEMPTS = 8
"""Attempts of one deployment, while others change the records that it has read."""
FIRST_PAUSE_SECONDS = 0.02
"""Before the second attempt; it doubles."""


class StackHandler:
    """The calls of stacks. Requests have the full names, usually `<stack>_<name>`: readers of files add the prefix."""

    def __init__(
        self,
        *,
        store: RecordStore,
        images: ImageResolver,
        contents: stack_file_plan.ContentsByKind,
        now_ms: NowMs,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._contents = contents
        self._images = images
        self._now_ms = now_ms
        self._new_id = new_id

    async def deploy(self, request: DeployStackRequest, caller: Caller) -> DeployStackResponse:
        """Validated as a whole before anything is written, then one transaction (several if too large, networks first).

        Raises:
            InvalidInput: with every fault of every service and network.
            Conflict: records changed in each attempt; nothing was written, or the first parts of a large stack.
        """
        for attempt in range(ATTEMPTS - 1):
            try:
                return await self._deploy(_completed(request))
            except Conflict as error:
                # The file is declarative: plan again from the current records, once the other change has arrived.
                _log.info("retrying deployment of stack %s (attempt %d): %s", request.stack, attempt + 2, error)
                await asyncio.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
        return await self._deploy(_completed(request))

    async def _deploy(self, request: DeployStackRequest) -> DeployStackResponse:
        if faults := stack_request_faults(request):
            raise InvalidInput(faults)
        view, specs = self._store.tables, request.services
        planned = stack_plan.plan_networks(view, request.networks, self._new_id, self._now_ms())
        networks = {
            spec.name: Network(meta=Meta(id=each.change.id), spec=spec)
            for spec, each in zip(request.networks, planned, strict=True)
        }
        files = stack_file_plan.plan_files(self._store, request, self._contents, self._new_id, self._now_ms())
        planned_volumes, volumes, volume_faults = plan_volumes(
            view, request, files.submitted, self._new_id, self._now_ms()
        )
        others = stack_plan.other_services(view, request, specs)
        submitted = Submitted(networks=networks, files=files.submitted, volumes=volumes, services=others)
        submissions = await self._prepare(request.resolve_image, specs, submitted)
        own = self._faults(request.networks, submissions, others)
        if faults := [*files.faults, *volume_faults, *own]:
            raise InvalidInput(faults)
        checked = [submission.spec for submission in submissions]
        stack_plan.preserve_forced_updates(view, checked)
        dry_run = DryRunStore(self._store) if request.dry_run else None
        store: RecordStore = self._store if dry_run is None else dry_run
        await routing_mesh.ensure_network(store, checked, self._now_ms)
        await volume_references.create_missing(store, checked, self._new_id, self._now_ms)
        keep = frozenset(each.change.name for each in planned)
        planned += files.planned + planned_volumes
        planned += [
            stack_plan.plan_service(view, submission.spec, self._new_id, self._now_ms()) for submission in submissions
        ]
        planned += stack_file_plan.plan_followers(view, files, request.stack, self._now_ms())
        if request.prune:
            named = stack_file_plan.referenced_by([submission.spec for submission in submissions])
            planned += self._pruning(request.stack, keep | {spec.name for spec in specs}, files.kept | named)
        warnings = _warnings(submissions)
        warnings += dependency_warnings(view, checked)
        await commit_all(store, [each.group for each in planned if each.group is not None])
        if dry_run is not None:
            warnings += await self._dry_run(dry_run.tables, [each.change for each in planned])
        return DeployStackResponse(changes=[each.change for each in planned], warnings=dict.fromkeys(warnings))

    async def _dry_run(self, tables: Tables, changes: Sequence[DeployStackResponse.Change]) -> list[str]:
        """Add to the changes where the planner would run the tasks; returns warnings.

        In a thread: a pass over all tasks of a large cluster takes a second.
        """
        services = [change for change in changes if change.kind == "service"]
        run = await asyncio.to_thread(DryRun, tables, now_ms=self._now_ms(), new_id=self._new_id)
        settled = await asyncio.to_thread(run.run, [change.id for change in services])
        for change in services:
            change.moves.extend(run.moves(change.id, change.name))
        return [] if settled else ["the dry run did not settle; the task moves shown are incomplete"]

    async def remove(self, request: RemoveStackRequest, caller: Caller) -> RemoveStackResponse:
        """Raises NotFound when the stack has neither services nor networks."""
        planned = self._pruning(request.stack, frozenset(), frozenset())
        if not planned:
            raise NotFound(f'stack "{request.stack}" not found; list stacks with `shoal stack ls`')
        await commit_all(self._store, [each.group for each in planned if each.group is not None])
        changes = [each.change for each in planned]
        return RemoveStackResponse(
            services=[change.id for change in changes if change.kind == "service"],
            networks=[change.id for change in changes if change.kind == "network"],
        )

    def _pruning(self, stack: str, keep: frozenset[str], files: frozenset[str]) -> list[stack_plan.PlannedChange]:
        """Removals of objects that are not kept; services that remain use the files of their new, validated specs."""
        planned = stack_plan.plan_removal(self._store, stack, keep=keep)
        own = {each.spec.name for each in self._store.tables.services.values() if each.spec.stack == stack}
        return planned + stack_file_plan.plan_removal(self._store, stack, keep=files, removed_services=frozenset(own))

    async def _prepare(
        self,
        resolve_image: DeployStackRequest.ResolveImage.ValueType,
        specs: Sequence[ServiceSpec],
        submitted: Submitted,
    ) -> list[Submission]:
        """Concurrently, since registries are slow; results in the order of the specs."""
        slots = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        view = self._store.tables

        async def one(spec: ServiceSpec) -> Submission:
            present = view.service_named(spec.name)
            previous = spec_in_force(view, present) if present is not None else None
            async with slots:
                return await prepare(
                    spec,
                    view=view,
                    images=None if resolve_image == DeployStackRequest.NEVER else self._images,
                    previous=previous,
                    resolve_image=ResolveImage.ALWAYS
                    if resolve_image == DeployStackRequest.ALWAYS
                    else ResolveImage.UNLESS_SAME_TAG,
                    submitted=submitted,
                )

        async with TaskGroup() as group:
            running = [group.create_task(one(spec)) for spec in specs]
        return [task.result() for task in running]

    def _faults(
        self, networks: Sequence[NetworkSpec], submissions: Sequence[Submission], others: OtherServices
    ) -> list[Fault]:
        view, specs = self._store.tables, [submission.spec for submission in submissions]
        faults = []
        for network in networks:
            faults += _prefixed(f"networks.{network.name}", stack_plan.network_conflicts(view, network))
        dependencies, sharing = dependency_faults(view, specs), sharing_faults(view, specs, others.removed)
        for submission, *more in zip(submissions, dependencies, sharing, strict=True):
            own = [*submission.faults, *stack_plan.service_conflicts(view, submission.spec)]
            faults += _prefixed(f"services.{submission.spec.name}", [*own, *chain.from_iterable(more)])
        return faults


def _completed(request: DeployStackRequest) -> DeployStackRequest:
    """A copy with the drivers that networks and volumes without one mean."""
    completed = DeployStackRequest()
    completed.CopyFrom(request)
    for network in completed.networks:
        network_handler.set_defaults(network)
    for volume in completed.volumes:
        volume_references.set_defaults(volume)
    return completed


def _warnings(submissions: Sequence[Submission]) -> list[str]:
    return [
        f"services.{submission.spec.name}: {warning}" for submission in submissions for warning in submission.warnings
    ]


def _prefixed(path: str, faults: Sequence[Fault]) -> list[Fault]:
    return [Fault(f"{path}.{fault.path}" if fault.path else path, fault.message) for fault in faults]
