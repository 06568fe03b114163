"""Where a container goes: once, to the node that it is bound to, else to one that fits, one with its image first."""

from bisect import bisect_left
from dataclasses import replace

from manager.planner.draft import Draft
from manager.planner.index.resource_index import NodeUsage
from manager.planner.scheduler.container_sharing import ContainerSharing
from manager.planner.scheduler.home_nodes import HomeNodes
from manager.planner.scheduler.node_filters import DOWN, DRAINED, NOT_CONNECTED, PAUSED, REMOVED, ineligible, unfit
from manager.planner.scheduler.node_ranking import ranked_nodes
from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.scheduler.placer import Placer
from manager.planner.spec.problem_texts import NO_SUITABLE_NODE
from manager.planner.spec.requirements import Requirements, requirements_of
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.standalone_pb2 import Container, NodeImages
from shoal.api.v1.task_pb2 import Task, TaskState

SLOT = 1
"""The slot of all runs of a container."""

_STATES = frozenset({DOWN, DRAINED, NOT_CONNECTED, PAUSED, REMOVED})


class ContainerPlacement:
    """Places runs of one container.

    Args:
        spec: of the container's newest revision.
    """

    def __init__(self, draft: Draft, container: Container, spec: ServiceSpec) -> None:
        self._draft, self._container, self._spec = draft, container, spec
        self._id = container.meta.id
        self.demand = requirements_of(spec, draft.view.networks)
        self._sharing = ContainerSharing(draft, spec.task)

    def place_anywhere(self, task: Task) -> str:
        """Place a run, or a container that was created, on a node that fits; why on none, one line, else empty.

        Args:
            task: its id, time of creation, run, attempt and desired state; what a READY one needs to run comes later.
        """
        bound = self._bound_nodes()
        demand = self._demand_of(task)
        placer = self._placer(task, demand)
        if len(bound) > 1:
            return f"{NO_SUITABLE_NODE}: {'; '.join(f'{what} on node {self._name(node)}' for node, what in bound)}"
        if bound:
            why = self._sharing.obstacle(bound[0][0]) if task.desired_state != TaskState.READY else ""
            return why or self._place_bound(placer, task, demand, *bound[0])
        request = _request(task, preferred_node=self._preferred_node())
        return next(iter(placer.place_all([request], {}, ())), "")

    def place_at_home(self, task: Task, node_id: str) -> str:
        """Place a run on the node where the container is, drained or not; why that fails, one line, else empty."""
        homes = HomeNodes(self._draft, self._id, self._spec)
        if moving := homes.move_reason(SLOT):
            return f"waiting: {moving}"
        if (home := homes.home(SLOT)) is not None and home.node_id != node_id:
            where = f"on node {self._name(home.node_id)}" if home.node_id else "on different nodes"
            return f"volume {home.volume} is {where}, and the container on node {self._name(node_id)}"
        if why := self._sharing.obstacle(node_id):
            return why
        host = self._draft.resources.hosts[node_id]
        return self._placer(task, self.demand).place_on(host, _request(task), 0)

    def start_created(self, task: Task, run: Task) -> str:
        """Let a created task run, with addresses and ports; why it cannot, one line, else empty.

        Args:
            task: the record as it is.
            run: run and desired state.
        """
        host = self._draft.resources.hosts[task.node_id]
        demand = replace(self.demand, cpus=0, memory=0, generic={}, generic_names={})  # it has them already
        common = Task(generic_resources=task.generic_resources)
        common.MergeFrom(run)
        if moving := HomeNodes(self._draft, self._id, self._spec).move_reason(SLOT):
            return f"waiting: {moving}"
        if why := self._sharing.obstacle(task.node_id):
            return why
        placer = self._placer(common, demand)
        return placer.place_on(host, PlacementRequest(SLOT, task.attempt, task), 0)

    def _placer(self, task: Task, demand: Requirements) -> Placer:
        common = Task(
            desired_state=task.desired_state,
            container_id=self._id,
            auto_remove=self._container.definition.auto_remove,
            restart_delay_ms=task.restart_delay_ms,
            restart=self._container.definition.restart,
            generic_resources=task.generic_resources,
        )
        if task.desired_state != TaskState.READY:
            self._sharing.join(common)
        return Placer(
            self._draft,
            service_id=self._id,
            spec=self._spec,
            revision=self._container.revision,
            demand=demand,
            run=task.job_run,
            common=common,
        )

    def _demand_of(self, task: Task) -> Requirements:
        """A created container gets addresses and ports when it is started, as with Docker."""
        if task.desired_state != TaskState.READY:
            return self.demand
        return replace(self.demand, networks=(), requested_addresses=(), ports=())

    def _place_bound(self, placer: Placer, task: Task, demand: Requirements, node_id: str, what: str) -> str:
        host = self._draft.resources.hosts.get(node_id) or NodeUsage(node_id)
        reason = ineligible(host, demand)
        if reason is not None:
            state = f"is {reason.one}" if reason in _STATES else reason.one
            return f"{NO_SUITABLE_NODE}: node {self._name(node_id)}, where {what}, {state}"
        why = placer.place_on(host, _request(task), 0)
        return f"{NO_SUITABLE_NODE}: {why} ({what} there)" if why else ""

    def _bound_nodes(self) -> list[tuple[str, str]]:
        """The nodes on which it has to be, each with the reason; more than one: it can be nowhere."""
        found: dict[str, str] = {}
        definition, view = self._container.definition, self._draft.view
        if definition.node_id:
            found[definition.node_id] = "it has to be"
        for other_id in definition.beside:
            other, status = view.containers.get(other_id), view.service_status.get(other_id)
            if other is not None and status is not None and status.node_id:
                found.setdefault(status.node_id, f"container {other.name} is")
        for node_id, what in self._sharing.nodes():
            found.setdefault(node_id, what)
        for home in HomeNodes(self._draft, self._id, self._spec).homes(SLOT):
            found.setdefault(home.node_id, f"volume {home.volume} is")
        return list(found.items())

    def _preferred_node(self) -> str:
        """The least loaded of the nodes that hold the image and have room and ports; empty when there is none."""
        digest = self._spec.task.container.image.partition("@")[2]
        if not digest:  # of a tag alone nothing is known
            return ""
        view = self._draft.view
        for host in ranked_nodes(self._draft, self.demand):
            if _holds(view.node_images.get(host.id), digest) and unfit(host, self.demand, 0) is None:
                return host.id
        return ""

    def _name(self, node_id: str) -> str:
        return self._draft.hostname(node_id) if node_id else "?"


def _holds(images: NodeImages | None, digest: str) -> bool:
    """Whether a node holds an image; its digests are in order, and there may be thousands."""
    if images is None:
        return False
    at = bisect_left(images.digests, digest)
    return at < len(images.digests) and images.digests[at] == digest


def _request(task: Task, preferred_node: str = "") -> PlacementRequest:
    """The request of a task. `start_first`: when no node is suitable, no record is written."""
    return PlacementRequest(SLOT, task.attempt, task, start_first=True, preferred_node=preferred_node)
