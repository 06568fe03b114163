"""Writes the records of a batch's tasks: placed with addresses, ports and resources, or PENDING with the reason."""

from manager.planner.allocator.address_pool import AddressPool
from manager.planner.draft import Draft
from manager.planner.index.resource_index import NodeUsage, Port
from manager.planner.ipam.ipv6_addresses import ipv6_pool
from manager.planner.reason_updates import ReasonRateLimit
from manager.planner.scheduler.node_ports import choose_ports
from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.scheduler.record_template import RecordTemplate
from manager.planner.spec.requirements import Requirements
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.task_pb2 import Task, TaskState


class TaskWriter:
    """That of one service and one revision.

    Args:
        run: the number of a job's run or of a container's, else 0.
        common: further fields of every record; its desired state is RUNNING unless they say otherwise.

    Attributes:
        obstacle: why no task can be placed, whatever the nodes are, one line for the user; empty when tasks can.
        started_first: how many tasks were placed before their predecessors are stopped.
    """

    def __init__(
        self,
        draft: Draft,
        *,
        service_id: str,
        revision: int,
        demand: Requirements,
        run: int = 0,
        common: Task | None = None,
    ) -> None:
        self._draft, self._demand = draft, demand
        self._service_id, self._revision, self._run = service_id, revision, run
        self._networks: list[tuple[str, AddressPool, AddressPool | None]] = []
        self._pools: list[AddressPool] = []
        self.obstacle = self._open_pools()
        self.started_first = 0
        self._record = RecordTemplate(self._common_record(common or Task()))

    def shortage(self) -> str:
        """Why the next task has no address, one line for the user; empty when it has one."""
        for pool in self._pools:
            if obstacle := pool.obstacle():
                return obstacle
        return ""

    def assign(self, request: PlacementRequest, host: NodeUsage) -> None:
        """Place a task on the node, where it fits. There must be no obstacle and no shortage."""
        draft, demand, pending = self._draft, self._demand, request.pending
        self.started_first += request.start_first
        record = self._record.task
        identifier = record.id = pending.id if pending is not None else draft.new_id()
        record.created_at_ms = pending.created_at_ms if pending is not None else draft.now_ms
        record.slot, record.node_id, record.attempt = request.slot, host.id, request.attempt
        if request.restarted_at_ms or record.restarted_at_ms:
            record.restarted_at_ms[:] = request.restarted_at_ms
        if demand.shares_network:
            record.network_task_id = request.network_task_id
        if self._networks:
            self._assign_addresses()
        ports: list[Port] = []
        if demand.ports:
            del record.ports[:]
            record.ports.extend(choose_ports(draft.resources, host, demand))
            ports += ((port.protocol, port.published, port.host_address) for port in record.ports)
        generic = host.generic.select(demand.generic, demand.generic_names) if demand.generic else ()
        if generic:
            del record.generic_resources[:]
            record.generic_resources.extend(generic)
        draft.resources.reserve(host, self._service_id, demand.cpus, demand.memory, ports, generic)
        draft.write_task(identifier, self._record.copy())

    def reserve(self, host: NodeUsage) -> None:
        """Reserve the preempted resources against services that are planned after this one."""
        demand = self._demand
        ports = [(port.protocol, port.published, port.host_address) for port in demand.ports if port.published]
        generic = [GenericResource(kind=kind, count=number) for kind, number in demand.generic.items()]
        self._draft.resources.reserve(host, self._service_id, demand.cpus, demand.memory, ports, generic)

    def leave_pending(self, request: PlacementRequest, reason: str, limit: ReasonRateLimit) -> None:
        """Write the task without a node, or rewrite its reason when that is due; not one that starts first."""
        draft, pending = self._draft, request.pending
        draft.blocked.add(self._service_id)
        if request.start_first:
            return
        reason_at = 0
        if pending is not None and pending.revision == self._revision:
            if pending.reason == reason:
                return
            due = limit.due(pending, reason)
            if due is not None:
                draft.requeue_at(self._service_id, due)
                return
            reason_at = draft.now_ms
        identifier = pending.id if pending is not None else draft.new_id()
        task = Task(
            id=identifier,
            service_id=self._service_id,
            revision=self._revision,
            slot=request.slot,
            state=TaskState.PENDING,
            desired_state=TaskState.RUNNING,
            reason=reason,
            reason_at_ms=reason_at,
            created_at_ms=pending.created_at_ms if pending is not None else draft.now_ms,
            attempt=request.attempt,
            restarted_at_ms=request.restarted_at_ms,
            job_run=self._run,
        )
        draft.write_task(identifier, task)

    def _open_pools(self) -> str:
        draft, requested = self._draft, dict(self._demand.requested_addresses)
        for network_id in self._demand.networks:
            network = draft.view.networks.get(network_id)
            allocation = draft.allocation(network_id)
            if network is None:
                return f"network {network_id} does not exist"
            if allocation is None:
                return (
                    f"network {network.spec.name} has no subnet: the requested one "
                    "overlaps another network, or none is free"
                )
            pools = [network_id, ipv6_pool(network_id)] if allocation.subnet6 else [network_id]
            found = [AddressPool(draft, pool, requested.get(pool, "")) for pool in pools]
            self._networks.append((network_id, found[0], found[1] if allocation.subnet6 else None))
            self._pools += found
        return ""

    def _common_record(self, common: Task) -> Task:
        """What the records of all placed tasks have in common."""
        task = Task(
            service_id=self._service_id,
            revision=self._revision,
            state=TaskState.ASSIGNED,
            desired_state=TaskState.RUNNING,
            job_run=self._run,
        )
        for network_id, _, _ in self._networks:
            task.addresses.add(network_id=network_id)
        task.MergeFrom(common)
        return task

    def _assign_addresses(self) -> None:
        addresses = self._record.addresses
        for at, (_, pool, pool6) in enumerate(self._networks):
            addresses[at].address = pool.allocate()
            if pool6 is not None:
                addresses[at].address6 = pool6.allocate()
