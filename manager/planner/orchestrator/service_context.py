"""What a pass over one service is about: the service as it is to run, and what its decisions depend on."""

from collections.abc import Mapping
from dataclasses import dataclass

from manager.planner.draft import Draft
from manager.planner.index.slot_index import ServiceSlots
from manager.planner.orchestrator.rebalance_request import completed_request_ms, mark_moving_dirty
from manager.planner.orchestrator.successors import Successors
from manager.planner.scheduler.home_nodes import HomeNodes
from manager.planner.scheduler.shared_network import SharedNetwork
from manager.planner.slots.misplaced import MisplacedTasks
from manager.planner.slots.slot_tasks import settle_ready
from manager.planner.spec.effective_spec import current_update, effective
from manager.planner.spec.requirements import Requirements, requirements_of
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.updates.canary_gate import CanaryGate
from manager.planner.updates.stable_tasks import StableTasks
from manager.planner.updates.update_monitor import UpdateMonitor
from manager.planner.updates.update_state import config_of
from shoal.api.v1.service_pb2 import Service, ServiceSpec, ServiceStatus, UpdateConfig
from shoal.api.v1.task_pb2 import Task


@dataclass(frozen=True, kw_only=True)
class ServiceContext:
    """Of one service in one pass. Nothing is added after construction.

    Attributes:
        newest: the service as its user wants it.
        spec: the effective one.
        desired: the template that its tasks are to run.
        known: its status as last written.
        policy: that of updates, or of rollbacks during one, as the pass begins.
        index: its slots; those that need no decision are settled.
        rebalancing: ids of tasks that a rebalance moves, with their target nodes.
        rebalanced_at_ms: the newest rebalance request that is handled, milliseconds since the Unix epoch.
    """

    draft: Draft
    newest: Service
    spec: ServiceSpec
    desired: DesiredTemplate
    demand: Requirements
    known: ServiceStatus
    index: ServiceSlots
    monitor: UpdateMonitor
    policy: UpdateConfig
    gate: CanaryGate
    successors: Successors
    home_nodes: HomeNodes
    shared_network: SharedNetwork
    misplaced: MisplacedTasks
    rebalancing: Mapping[str, str]
    rebalanced_at_ms: int

    @staticmethod
    def of(draft: Draft, newest: Service) -> "ServiceContext":
        """Read the service from the view; settle the slots that need no decision, make those dirty that do."""
        service, service_id = effective(draft.view, newest), newest.meta.id
        desired = DesiredTemplate(draft.view, service)
        demand = requirements_of(service.spec, draft.view.networks)
        monitor = UpdateMonitor(draft, desired, service.spec, current_update(draft.view, newest))
        index = draft.slot_index.of_service(service_id)
        index.retarget(desired.revision, monitor.since_ms)
        misplaced = MisplacedTasks(draft, demand, index, is_global=service.spec.HasField("global"))
        home_nodes, shared_network = HomeNodes(draft, service_id, service.spec), SharedNetwork(draft, service.spec)
        is_simple = not (monitor.is_active or home_nodes or shared_network)
        _settle(draft, index, newest, service.spec, desired, misplaced, is_simple=is_simple)
        rebalancing, rebalanced_at_ms = _rebalance(draft, newest, service, index, demand, monitor)
        return ServiceContext(
            draft=draft,
            newest=newest,
            spec=service.spec,
            desired=desired,
            demand=demand,
            known=draft.view.service_status.get(service_id) or ServiceStatus(),
            index=index,
            monitor=monitor,
            policy=config_of(newest.spec, monitor.update),
            gate=CanaryGate(draft, newest, service, desired, monitor.update),
            successors=Successors(draft, service, desired, demand, monitor),
            home_nodes=home_nodes,
            shared_network=shared_network,
            misplaced=misplaced,
            rebalancing=rebalancing,
            rebalanced_at_ms=rebalanced_at_ms,
        )

    @property
    def service_id(self) -> str:
        """The service's id."""
        return self.newest.meta.id

    @property
    def is_global(self) -> bool:
        """It has a slot for each node that meets the placement."""
        return self.spec.HasField("global")

    def is_leaving(self, task: Task) -> bool:
        """Whether a drain or a rebalance moves the task; one that shares another one's network moves with that one."""
        return not task.network_task_id and (self.draft.is_drained(task.node_id) or task.id in self.rebalancing)

    def leaves(self, task: Task, stable: StableTasks | None) -> bool:
        """Whether the task is to leave its node, as a stable one where `stable` is given."""
        return self.is_leaving(task) or bool((stable or self).misplaced.reason(task))

    def move_reason(self, task: Task) -> str:
        """Why a task that a successor replaces is stopped, one line for the user."""
        return "replaced by an update" if self.desired.differs(task) else self.misplaced.move_reason(task)

    def starts_first(self, policy: UpdateConfig, stable: StableTasks | None) -> bool:
        """Successors are started first, whatever tasks are replaced for, if ports and mounts allow it."""
        demand = stable.demand if stable else self.demand
        return policy.order == UpdateConfig.START_FIRST and demand.may_start_first


def _settle(
    draft: Draft,
    index: ServiceSlots,
    newest: Service,
    spec: ServiceSpec,
    desired: DesiredTemplate,
    misplaced: MisplacedTasks,
    *,
    is_simple: bool,
) -> None:
    is_global = spec.HasField("global")
    if not is_global and len(index.settled) > spec.replicated.replicas:
        index.mark_all_dirty()
    elif not is_global and is_simple:
        canaries = bool(newest.spec.update.canary)
        settle_ready(draft, index, desired, misplaced.reason if misplaced else None, canaries=canaries)
    index.mark_outdated_dirty(max(1, newest.spec.update.parallelism, newest.spec.rollback.parallelism))


def _rebalance(
    draft: Draft,
    newest: Service,
    service: Service,
    index: ServiceSlots,
    demand: Requirements,
    monitor: UpdateMonitor,
) -> tuple[Mapping[str, str], int]:
    """Ids of tasks that a rebalance moves, with their target nodes, whose slots become dirty; the handled request."""
    handled_at_ms = completed_request_ms(draft, newest.meta.id)
    if service.spec.HasField("global") or monitor.is_active:
        return {}, handled_at_ms
    found = mark_moving_dirty(draft, service, index, demand)
    return (found, handled_at_ms) if found is not None else ({}, newest.rebalance_requested_at_ms)
