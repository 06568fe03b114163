"""Places a batch of tasks: node, addresses and ports, or PENDING with the reason."""

from collections.abc import Iterable, Sequence

from manager.planner.draft import Draft
from manager.planner.index.resource_index import NodeUsage
from manager.planner.reason_updates import ReasonRateLimit
from manager.planner.scheduler.affinity import AffinityRules, SelfAffinity, anti_affine_to
from manager.planner.scheduler.csi_mounts import CsiMounts
from manager.planner.scheduler.home_nodes import HomeNodes, RequiredNode, waiting_reason
from manager.planner.scheduler.node_filters import Reason, explain, ineligible, unfit
from manager.planner.scheduler.node_order import node_order, reject_none
from manager.planner.scheduler.node_ranking import ranked_nodes
from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.scheduler.preemption import Preemption
from manager.planner.scheduler.shared_network import SharedNetwork
from manager.planner.scheduler.task_writer import TaskWriter
from manager.planner.spec.requirements import Requirements
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.task_pb2 import Task
from shoal.networks.network_modes import network_provider


class Placer:
    """Places tasks of one service and one revision."""

    def __init__(
        self,
        draft: Draft,
        *,
        service_id: str,
        spec: ServiceSpec,
        revision: int,
        demand: Requirements,
        run: int = 0,
        common: Task | None = None,
    ) -> None:
        """`spec` is the effective one, maybe an earlier revision's; `run` and `common` are as of `TaskWriter`."""
        self._draft = draft
        self._service_id = service_id
        self._affinity = AffinityRules(draft.view, draft.resources, spec, anti_affine_to(draft, spec.name))
        near = [each.service for each in spec.task.placement.affinities if not each.anti and not each.weight]
        self._preemption = Preemption(draft, demand, service=spec.name, spared=[*near, network_provider(spec.task)])
        self._demand = demand
        self._self_affinity = SelfAffinity(draft.resources, service_id, demand, {})
        self._reason_limit = ReasonRateLimit.of((), draft.now_ms)
        self._home_nodes = HomeNodes(draft, service_id, spec)
        self._shared = SharedNetwork(draft, spec)
        self._csi_mounts = CsiMounts(draft, service_id, revision)
        self._writer = TaskWriter(
            draft, service_id=service_id, revision=revision, demand=demand, run=run, common=common
        )
        self._obstacle = self._csi_mounts.obstacle() or self._writer.obstacle
        self._claims = bool(self._home_nodes or self._csi_mounts or demand.self_anti_affinity or demand.self_affinity)

    @property
    def started_first(self) -> int:
        """How many tasks were placed before their predecessors are stopped."""
        return self._writer.started_first

    def place_all(
        self, requests: Sequence[PlacementRequest], counts: dict[str, int], failing: Iterable[str]
    ) -> list[str]:
        """Place tasks where they fit best; returns why some are not placed.

        Args:
            counts: the service's active tasks by node; updated.
            failing: nodes where the service keeps failing.
        """
        demand = self._demand
        reason = demand.error or self._obstacle
        self._self_affinity = SelfAffinity(self._draft.resources, self._service_id, demand, counts)
        self._reason_limit = ReasonRateLimit.of(
            (request.pending for request in requests if request.pending is not None), self._draft.now_ms
        )
        hosts = self._affinity.filter(ranked_nodes(self._draft, demand)) if not reason else []
        reasons = [request.wait_reason for request in requests if request.wait_reason]
        if reasons:
            for request in requests:
                if request.wait_reason:
                    self._leave_pending(request, request.wait_reason)
            requests = [request for request in requests if not request.wait_reason]
        if (self._shared or self._home_nodes) and not reason:
            requests, bound = self._place_bound(requests, counts)
            reasons += bound
        unplaced = [] if reason else self._place_preferred(requests, hosts, counts)
        rejects = (
            self._rejects_dynamic
            if demand.self_anti_affinity or demand.self_affinity or self._csi_mounts
            else reject_none
        )
        order = node_order(hosts, demand, counts, frozenset(failing), self._affinity.cost(), rejects)
        assign = self._assign if self._claims else self._writer.assign  # this loop is hot
        shortage = self._writer.shortage
        for request in unplaced if not reason else requests:
            if not reason and not (reason := shortage()):
                host = next(order, None)
                if host is not None:
                    assign(request, host)
                    continue
                if (room := self._preemption.preempt(self._not_rejected(hosts), counts)) is not None:
                    self._wait_for_preemption(request, room, counts)
                    continue
                reason = explain(self._draft.resources.hosts.values(), demand, counts, self._rejects)
            self._leave_pending(request, reason)
        return [*reasons, reason] if reason else reasons

    def _rejects(self, host: NodeUsage) -> Reason | None:
        return self._affinity.rejects(host) or self._rejects_dynamic(host)

    def _rejects_dynamic(self, host: NodeUsage) -> Reason | None:
        """Reasons that each placed task may change for the next one."""
        return self._self_affinity.rejects(host) or self._csi_mounts.rejects(host)

    def _not_rejected(self, hosts: Sequence[NodeUsage]) -> Sequence[NodeUsage]:
        """The nodes that neither the service's own tasks nor CSI volumes reject."""
        if not (self._demand.self_anti_affinity or self._demand.self_affinity or self._csi_mounts):
            return hosts
        return [host for host in hosts if self._rejects_dynamic(host) is None]

    def _place_bound(
        self, requests: Sequence[PlacementRequest], counts: dict[str, int]
    ) -> tuple[list[PlacementRequest], list[str]]:
        """Place tasks that a volume or a shared network binds to a node there or not at all.

        Returns the other tasks, and why some wait.
        """
        unbound: list[PlacementRequest] = []
        reasons: list[str] = []
        for request in requests:
            if self._shared:
                why = self._place_at_network(request, counts)
            elif (home := self._home_nodes.home(request.slot)) is not None:
                why = self._place_at_volume(request, home, counts)
            else:
                unbound.append(request)
                continue
            if why:
                reasons.append(why)
                self._leave_pending(request, why)
        return unbound, reasons

    def _place_at_volume(self, request: PlacementRequest, home: RequiredNode, counts: dict[str, int]) -> str:
        """Place a task where its data lies; why it waits, else empty."""
        if moving := self._home_nodes.move_reason(request.slot):
            return f"waiting: {moving}"
        host = self._draft.resources.hosts.get(home.node_id)
        name = self._draft.hostname(home.node_id)
        why = self._unfit(host, counts) if host is not None else ""
        if host is not None and not why:
            if occupied := self._home_nodes.occupied_reason(request.slot, host.id):
                return occupied
            self._assign(request, host)
            counts[host.id] = counts.get(host.id, 0) + 1
            return ""
        if host is not None and (room := self._preempt(host, counts)):
            return room
        down = self._draft.down_status(home.node_id)
        began_ms = request.pending.created_at_ms if request.pending is not None else self._draft.now_ms
        return waiting_reason(home, request.slot, name, why, down.since_ms if down is not None else began_ms)

    def _place_at_network(self, request: PlacementRequest, counts: dict[str, int]) -> str:
        """Place a task on the node of the task whose network it shares; why it waits, else empty."""
        found = self._shared.find(request.slot)
        if isinstance(found, str):
            return found
        host = found.host
        if why := self._shared.volume_conflict(self._home_nodes, request.slot, host):
            return why
        if why := self._unfit(host, counts):
            return self._preempt(host, counts) or self._shared.unfit_reason(request.slot, host, why)
        self._assign(request._replace(network_task_id=found.task_id), host)
        counts[host.id] = counts.get(host.id, 0) + 1
        return ""

    def _preempt(self, host: NodeUsage, counts: dict[str, int]) -> str:
        """Preempt tasks on this very node; what is waited for then, empty where that does not help."""
        if ineligible(host, self._demand) is not None or self._rejects(host) is not None:
            return ""
        if self._preemption.preempt([host], counts) is None:
            return ""
        counts[host.id] = counts.get(host.id, 0) + 1
        self._reserve(host)
        return f"waiting until preempted tasks on node {self._draft.hostname(host.id)} have ended"

    def _unfit(self, host: NodeUsage, counts: dict[str, int]) -> str:
        """Why a task of the service cannot be placed on this very node; empty when it can."""
        if exhausted := self._writer.shortage():
            return exhausted
        demand = self._demand
        reason = ineligible(host, demand) or self._rejects(host) or unfit(host, demand, counts.get(host.id, 0))
        return reason.one if reason is not None else ""

    def _place_preferred(
        self, requests: Sequence[PlacementRequest], hosts: Sequence[NodeUsage], counts: dict[str, int]
    ) -> list[PlacementRequest]:
        """Place tasks on their preferred nodes where they fit; the others."""
        if not any(request.preferred_node for request in requests):
            return list(requests)
        by_id = {host.id: host for host in hosts}
        left = []
        for request in requests:
            host = by_id.get(request.preferred_node)
            if host is None or self._unfit(host, counts):
                left.append(request)
            else:
                self._assign(request, host)
                counts[host.id] = counts.get(host.id, 0) + 1
        return left

    def why_unplaceable(self, slot: int, counts: dict[str, int]) -> str:
        """Why no node could have a task of the slot now; empty when one could. Preempts for it if that helps."""
        if obstacle := self._demand.error or self._obstacle or self._writer.shortage():
            return obstacle
        if self._shared:
            found = self._shared.find(slot)
            return found if isinstance(found, str) else self._unfit(found.host, counts)
        if self._home_nodes and (home := self._home_nodes.home(slot)) is not None:
            host = self._draft.resources.hosts.get(home.node_id)
            is_fit = host is not None and not self._unfit(host, counts)
            return "" if is_fit else f"volume {home.volume} is there; move it with `shoal volume move`"
        self._self_affinity = SelfAffinity(self._draft.resources, self._service_id, self._demand, counts)
        hosts = self._not_rejected(self._affinity.filter(ranked_nodes(self._draft, self._demand)))
        if any(unfit(host, self._demand, counts.get(host.id, 0)) is None for host in hosts):
            return ""
        if (room := self._preemption.preempt(hosts, counts)) is not None:
            self._reserve(room)
        return explain(self._draft.resources.hosts.values(), self._demand, counts, self._rejects)

    def place_on(self, host: NodeUsage, request: PlacementRequest, same_service: int) -> str:
        """Place a task on this node or not at all; returns why not, else an empty string."""
        obstacle = self._demand.error or self._obstacle or self._writer.shortage()
        if self._shared and not obstacle:
            found = self._shared.find(host.id)
            obstacle = found if isinstance(found, str) else ""
            request = request._replace(network_task_id="" if isinstance(found, str) else found.task_id)
        rejected = None if obstacle else self._affinity.rejects(host) or self._csi_mounts.rejects(host)
        reason = None if obstacle else rejected or unfit(host, self._demand, same_service)
        if not obstacle and reason is None:
            self._assign(request, host)
            return ""
        if not obstacle and rejected is None and self._preemption.preempt([host], {host.id: same_service}):
            self._reserve(host)
        self._draft.blocked.add(self._service_id)
        name = host.status.description.hostname if host.status is not None else host.id
        return obstacle if reason is None else f"node {name} {reason.one}"

    def _assign(self, request: PlacementRequest, host: NodeUsage) -> None:
        self._writer.assign(request, host)
        if self._claims:
            self._claim(request, host)

    def _claim(self, request: PlacementRequest, host: NodeUsage) -> None:
        """Claims that the service's volumes and affinities to itself make for the next tasks."""
        if self._home_nodes:
            self._home_nodes.claim(request.slot, host.id)
        if self._csi_mounts:
            self._csi_mounts.claim(host.id)
        self._self_affinity.add(host)

    def _wait_for_preemption(self, request: PlacementRequest, host: NodeUsage, counts: dict[str, int]) -> None:
        counts[host.id] = counts.get(host.id, 0) + 1
        self._reserve(host)
        name = host.status.description.hostname if host.status is not None else host.id
        self._leave_pending(request, f"waiting until preempted tasks on node {name} have ended")

    def _reserve(self, host: NodeUsage) -> None:
        """Reserve the preempted resources, and count the task that waits for them as one there."""
        self._self_affinity.add(host)
        self._writer.reserve(host)

    def _leave_pending(self, request: PlacementRequest, reason: str) -> None:
        self._writer.leave_pending(request, reason, self._reason_limit)
