"""A cluster in virtual time for tests of the planner: records, agents that report, and plans that are committed."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from zlib import crc32

from google.protobuf.message import Message

from manager.planner.incremental_planner import IncrementalPlanner
from manager.planner.index.resource_index import ResourceIndex
from manager.planner.index.slot_index import SlotIndex
from manager.planner.plan import PassResult, PlanScope, plan, plan_scope
from manager.planner.spec.effective_spec import current_update, spec_in_force
from manager.planner.spec.running_template import running_part
from manager.services.update_handler import apply_action
from manager.store import kinds
from manager.store.changes import Change, Write
from manager.store.kinds import Kind, M
from manager.store.tables import Tables
from shoal.api.v1.control_pb2 import ManageUpdateRequest
from shoal.api.v1.meta_pb2 import GenericResource, Meta, Platform, Resources
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.node_pb2 import HostDevices, HostListener, Node, NodeDescription, NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import PublishedPort, Service, ServiceRevision, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.errors import Refused
from shoal.task_states import is_forward, is_live, is_terminal, observed_state, should_run

START_MS = 1_800_000_000_000
GIB = 1 << 30
_UNDECIDED = frozenset({TaskStatus.STARTING, TaskStatus.UNHEALTHY})


class World:
    """The records of a cluster. Every plan is checked to be the same in full and incrementally."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.planner = IncrementalPlanner(self.tables)
        self.now_ms = START_MS
        self._next_id = 0
        self.plans = 0
        self.observers: list[Callable[[], None]] = []
        """Called before and after each plan, and when agents have obeyed: before time passes."""

    # Records.

    def put(self, kind: Kind[M], identifier: str, value: M | None) -> None:
        """Write a record, or delete it."""
        self.apply([Write(kind, identifier, value)])  # type: ignore[arg-type]

    def apply(self, writes: Iterable[Write]) -> None:
        """Commit writes, one revision each, and let the planner observe them."""
        for write in writes:
            rows: Mapping[str, Message] = self.tables.rows(write.kind)
            old = rows.get(write.identifier)
            if old is None and write.value is None:
                continue
            change = Change(write.kind, write.identifier, old, write.value)
            self.tables.apply([change], self.tables.revision + 1)
            self.planner.observe([change])

    def node(
        self,
        name: str,
        *,
        memory: int = GIB,
        labels: Mapping[str, str] | None = None,
        availability: NodeSpec.Availability.ValueType = NodeSpec.ACTIVE,
        generic: Iterable[GenericResource] = (),
        platform: str = "",
        beside: str = "",
    ) -> None:
        """A node that is ready; `beside` names a manager on the same host."""
        spec = NodeSpec(availability=availability, labels=dict(labels or {}))
        self.put(kinds.NODE, name, Node(meta=Meta(id=name), spec=spec))
        resources = Resources(nano_cpus=4 * 10**9, memory_bytes=memory, generic_resources=generic)
        system, _, architecture = platform.partition("/")
        kind = Platform(os=system, architecture=architecture)
        description = NodeDescription(hostname=name, resources=resources, platform=kind)
        status = NodeStatus(node_id=name, state=NodeStatus.READY, since_ms=self.now_ms, description=description)
        status.colocated_manager_id = beside
        self.put(kinds.NODE_STATUS, name, status)

    def set_state(self, name: str, state: NodeStatus.State.ValueType) -> None:
        """The dispatcher finds the node in another state."""
        status = NodeStatus()
        status.CopyFrom(self.tables.node_status[name])
        status.state, status.since_ms = state, self.now_ms
        self.put(kinds.NODE_STATUS, name, status)

    def set_availability(self, name: str, availability: NodeSpec.Availability.ValueType) -> None:
        """The user changes the node's spec."""
        node = Node()
        node.CopyFrom(self.tables.nodes[name])
        node.spec.availability = availability
        self.put(kinds.NODE, name, node)

    def relabel(self, name: str, **labels: str) -> None:
        """The user changes labels of the node."""
        node = Node()
        node.CopyFrom(self.tables.nodes[name])
        node.spec.labels.update(labels)
        self.put(kinds.NODE, name, node)

    def listen(self, name: str, port: int, program: str, *, address: str = "") -> None:
        """The agent reports that a program of its host listens on the TCP port."""
        status = NodeStatus()
        status.CopyFrom(self.tables.node_status[name])
        tcp = PublishedPort.TCP
        status.network_condition.listeners.append(
            HostListener(protocol=tcp, port=port, program=program, address=address)
        )
        self.put(kinds.NODE_STATUS, name, status)

    def set_devices(self, name: str, *devices: str) -> None:
        """The agent reports that its host has these devices, and no others."""
        status = NodeStatus()
        status.CopyFrom(self.tables.node_status[name])
        status.description.devices.CopyFrom(HostDevices(paths=devices))
        self.put(kinds.NODE_STATUS, name, status)

    def stop_listeners(self, name: str) -> None:
        """No program of the host listens any more."""
        status = NodeStatus()
        status.CopyFrom(self.tables.node_status[name])
        status.ClearField("network_condition")
        self.put(kinds.NODE_STATUS, name, status)

    def network(self, name: str, subnet: str = "") -> None:
        """A network whose id is its name."""
        spec = NetworkSpec(name=name, subnet=subnet)
        self.put(kinds.NETWORK, name, Network(meta=Meta(id=name, created_at_ms=self.now_ms), spec=spec))

    def service(self, name: str, spec: ServiceSpec, *, rollback: bool = False) -> None:
        """Create or change a service whose id is its name, as the control API does; the change may be a rollback."""
        old = self.tables.services.get(name)
        number = old.revision + 1 if old is not None else 1
        task_revision = number
        spec = ServiceSpec.FromString(spec.SerializeToString())
        spec.name = name
        if old is not None and running_part(old.spec) == running_part(spec_in_force(self.tables, old)) == running_part(
            spec
        ):
            task_revision = old.task_revision
        self.put(kinds.REVISION, f"{name}/{number}", ServiceRevision(service_id=name, number=number, spec=spec))
        service = Service(meta=Meta(id=name), spec=spec, revision=number, task_revision=task_revision)
        if old is not None and old.task_revision == task_revision:
            service.update_control.CopyFrom(old.update_control)
        elif rollback:
            service.update_control.task_revision, service.update_control.rollback = number, True
        self.put(kinds.SERVICE, name, service)

    def put_service(self, service: Service) -> None:
        """The record of a service as it was before."""
        self.put(kinds.SERVICE, service.meta.id, service)

    def remove_service(self, name: str) -> None:
        """Remove a service."""
        self.put(kinds.SERVICE, name, None)

    def manage(self, name: str, action: ManageUpdateRequest.Action.ValueType) -> bool:
        """The user pauses, resumes or promotes, as the control API does; whether that was admitted."""
        service = Service()
        service.CopyFrom(self.tables.services[name])
        try:
            service.update_control.CopyFrom(apply_action(service, current_update(self.tables, service), action))
        except Refused:
            return False
        self.put(kinds.SERVICE, name, service)
        return True

    def rebalance(self, name: str) -> None:
        """The user requests a rebalance of the service."""
        service = Service()
        service.CopyFrom(self.tables.services[name])
        service.rebalance_requested_at_ms = self.now_ms
        self.put(kinds.SERVICE, name, service)

    def request_run(self, name: str) -> None:
        """The user requests a run of the job now."""
        service = Service()
        service.CopyFrom(self.tables.services[name])
        service.run_requests += 1
        self.put(kinds.SERVICE, name, service)

    # Plans.

    def plan(self, *, cut: int | None = None) -> PassResult:
        """Plan and commit, or commit a prefix of the plan only, after which another leader plans."""
        self._observe()
        scope = PlanScope.full(self.tables)
        slot_index = SlotIndex.of(self.tables, scope.services)
        resources = self.planner.resources
        full = plan_scope(self.tables, resources, slot_index, scope, now_ms=self.now_ms, new_id=self._ids())
        outcome = self.planner.plan(now_ms=self.now_ms, new_id=self._ids())
        only = [write for write in full.writes if write not in outcome.writes]
        assert outcome.writes == full.writes, f"an incremental pass differs from a full one, which has {only}"
        pure = [plan(self.tables, now_ms=self.now_ms, new_id=self._ids()) for _ in range(2)]
        assert pure[0] == pure[1], "the same view gave two plans"
        assert not any(at_ms <= self.now_ms for at_ms in outcome.timers.values()), "a timer that would spin"
        self._next_id += len(outcome.writes)
        self.plans += 1
        self.apply(outcome.writes if cut is None else outcome.writes[:cut])
        if cut is not None:
            self.planner = IncrementalPlanner(self.tables)
        self.check_resources()
        self._observe()
        return outcome

    def _observe(self) -> None:
        for observer in self.observers:
            observer()

    def _ids(self) -> "IdSource":
        return IdSource(self._next_id)

    def check_resources(self) -> None:
        """The index that follows changes equals a new one."""
        followed, counted = self.planner.resources, ResourceIndex.of(self.tables)
        for name, host in counted.hosts.items():
            other = followed.hosts[name]
            assert (host.tasks, host.used_cpus, host.used_memory) == (other.tasks, other.used_cpus, other.used_memory)
            assert host.ports == other.ports
            assert host.services == other.services
            assert host.generic.claimed_by_kind() == other.generic.claimed_by_kind()
        assert followed.hosts.keys() == counted.hosts.keys()
        for network, pool in followed.pools.items():
            assert pool.used == (counted.pools[network].used if network in counted.pools else set())

    # Agents.

    def state(self, task: Task) -> int:
        """The observed state."""
        return observed_state(task, self.tables.task_status.get(task.id))

    def report(
        self,
        task: Task,
        state: TaskState.ValueType,
        *,
        at_ms: int | None = None,
        message: str = "",
        health: TaskStatus.Health.ValueType = TaskStatus.NONE,
    ) -> None:
        """The task's agent reports a state; the dispatcher accepts it when it is forward."""
        old = self.tables.task_status.get(task.id)
        at_ms = self.now_ms if at_ms is None else at_ms
        running_at = old.running_at_ms if old is not None else 0
        if state == TaskState.RUNNING and not running_at:
            running_at = at_ms
        new = TaskStatus(task_id=task.id, state=state, at_ms=at_ms, message=message, running_at_ms=running_at)
        new.health = health
        if task.id in self.tables.tasks and is_forward(old, new):
            self.put(kinds.TASK_STATUS, task.id, new)

    def obey(self, *, at_once: int | None = None) -> bool:
        """All agents of ready nodes bring their tasks to the desired state; whether there was anything to do.

        Args:
            at_once: of that many tasks, those with the least hash of their ids; None: of all.
        """
        busy = 0
        tasks = list(self.tables.tasks.values())
        if at_once is not None:
            tasks.sort(key=lambda task: crc32(task.id.encode()))
        for task in tasks:
            if busy == at_once:
                break
            status = self.tables.node_status.get(task.node_id)
            if status is None or status.state != NodeStatus.READY or is_terminal(self.state(task)):
                continue
            if should_run(task) and self.state(task) < TaskState.RUNNING:
                self.report(task, TaskState.RUNNING, health=self._first_health(task))
                busy += 1
            elif should_run(task) and (health := self.tables.task_status[task.id].health) in _UNDECIDED:
                self._check_health(task, health)
                busy += 1
            elif not should_run(task):
                self.report(task, TaskState.SHUTDOWN)
                busy += 1
        self._observe()
        return bool(busy)

    def is_checked(self, task: Task) -> bool:
        """Whether its container has a health check."""
        record = self.tables.revision_of(task.service_id, task.revision)
        return record is not None and record.spec.task.container.HasField("healthcheck")

    def _first_health(self, task: Task) -> TaskStatus.Health.ValueType:
        return TaskStatus.STARTING if self.is_checked(task) else TaskStatus.NONE

    def _check_health(self, task: Task, health: TaskStatus.Health.ValueType) -> None:
        """A check that has not passed yet does; what is unhealthy is stopped, and has failed."""
        at_ms = max(self.now_ms, self.tables.task_status[task.id].at_ms)
        if health == TaskStatus.UNHEALTHY:
            self.report(task, TaskState.FAILED, message="unhealthy", at_ms=at_ms)
        else:
            self.report(task, TaskState.RUNNING, health=TaskStatus.HEALTHY, at_ms=at_ms)

    def settle(self, *, rounds: int = 300, at_once: int | None = None) -> None:
        """Plan and obey, and let time pass where something is due, until nothing happens any more.

        Args:
            at_once: as for `obey`.
        """
        for _ in range(rounds):
            outcome = self.plan()
            if self.obey(at_once=at_once) or outcome.writes:
                continue
            due = self.planner.next_due_ms()
            if due is None or due > self.now_ms + 600_000:
                return
            self.now_ms = due
        raise AssertionError(f"the cluster does not come to rest: {self.plan().writes}")

    # Looking.

    def tasks(self, service: str) -> list[Task]:
        """All tasks of a service, by slot and age."""
        found = self.tables.tasks_of(service).values()
        return sorted(found, key=lambda task: (task.slot, task.node_id if not task.slot else "", task.created_at_ms))

    def live(self, service: str) -> list[Task]:
        """Live tasks."""
        return [task for task in self.tasks(service) if is_live(task, self.tables.task_status.get(task.id))]

    def desired(self, service: str) -> list[Task]:
        """Those that are to run and have not ended."""
        return [task for task in self.live(service) if should_run(task)]

    def running(self, service: str) -> list[Task]:
        """Those that are to run and do."""
        return [task for task in self.desired(service) if self.state(task) == TaskState.RUNNING]

    def by_node(self, service: str) -> dict[str, int]:
        """How many tasks are desired on each node."""
        return dict(Counter(task.node_id for task in self.desired(service)))


class IdSource:
    """Ids in order, from a number on."""

    def __init__(self, start: int) -> None:
        self._numbers = count(start)

    def __call__(self) -> str:
        return f"t{next(self._numbers):05d}"
