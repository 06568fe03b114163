"""What the model checks of one pass and of a cluster at rest: pace, displacing, and whether what waits has to."""

import re
from collections.abc import Iterable, Mapping

from manager.planner.slots.misplaced import NOT_ADMITTED
from manager.planner.spec.effective_spec import current_update, effective, rolled_back_to
from manager.planner.spec.running_template import running_part
from manager.planner.updates import update_state
from manager.store.changes import Write
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Service, ServiceSpec, ServiceStatus, UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.networks.network_modes import network_provider
from shoal.task_states import is_live, is_ready, is_terminal, observed_state, should_run
from shoal.volume_slots import volume_slot
from tests.unit.planner.model.model_counts import COUNTED
from tests.unit.planner.model.model_oracle import Oracle
from tests.unit.planner.model.model_placement import check_placement
from tests.unit.planner.model.model_sharing import running_provider
from tests.unit.planner.model.model_volumes import written_by_one

RUNNING = TaskState.RUNNING
BY_CHOICE = ("replaced by an update", "its node is drained", "moved by a rebalance", NOT_ADMITTED)
"""Reasons for which a task that serves is stopped though nothing is wrong with it."""
OWN_ENDS = (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED)
MOST_VICTIMS = 8


class Pace:
    """How one plan deals with what serves: looked at whole, also when only a part of it gets committed.

    Args:
        view: as it is after the plan.
        before: the tasks as they were.
    """

    def __init__(self, view: View, before: Mapping[str, Task], writes: tuple[Write, ...]) -> None:
        self._view = view
        self._before = before
        self._after: dict[str, Task] = dict(before)
        self._reported: dict[str, ServiceStatus] = {}
        for write in writes:
            if isinstance(write.value, Task):
                self._after[write.identifier] = write.value
            elif isinstance(write.value, ServiceStatus):
                self._reported[write.identifier] = write.value
            elif write.value is None:
                self._after.pop(write.identifier, None)

    def check(self, service: Service) -> None:
        """Of what serves, no more is taken away than the policy says, counting all that is out for that already; and
        nothing where a successor starts first."""
        name = service.meta.id
        tasks = [task for task in self._after.values() if task.service_id == name]
        serving = {_slot(task) for task in tasks if self._serves(task)}
        bare = [task for task in tasks if self._is_taken(task) and _slot(task) not in serving]
        if not bare:
            return
        update = self._update(service)
        policy = update_state.config_of(service.spec, update)
        if policy.order == UpdateConfig.START_FIRST:
            specs = [effective(self._view, service).spec, *map(self._spec_of, bare)]
            by_order = not any(map(_has_one_at_a_time, specs))
            assert not by_order, f"a successor starts first, and nothing serves in place of {bare}"
        out = {_slot(task) for task in bare} | self._out(tasks, update)
        assert len(out) <= (policy.parallelism or 1), f"{len(out)} slots are out at once: {sorted(map(str, out))}"

    def moves_for_placement(self, service: Service) -> int:
        """How many of the service's tasks this plan begins to move since the placement does not admit them."""
        tasks = [task for task in self._after.values() if task.service_id == service.meta.id]
        serving = {_slot(task) for task in tasks if self._serves(task)}
        taken = [task for task in tasks if task.reason == NOT_ADMITTED and self._is_taken(task)]
        return sum(_slot(task) not in serving for task in taken) + sum(map(self._is_started_beside, tasks))

    def _is_started_beside(self, task: Task) -> bool:
        """It is new, and beside one of the same template that stays until it serves, on a node that is not drained."""
        if task.id in self._before or not task.node_id:
            return False
        node_of, revisions = self._view.nodes, self._view.revisions
        runs = running_part(revisions[f"{task.service_id}/{task.revision}"].spec)
        return any(
            other.id != task.id
            and (other.service_id, _slot(other)) == (task.service_id, _slot(task))
            and self._serves(other)
            and running_part(revisions[f"{other.service_id}/{other.revision}"].spec) == runs
            and node_of[other.node_id].spec.availability != NodeSpec.DRAIN
            for other in self._after.values()
        )

    def _spec_of(self, task: Task) -> ServiceSpec:
        return self._view.revisions[f"{task.service_id}/{task.revision}"].spec

    def _is_taken(self, task: Task) -> bool:
        """It serves, and is stopped by choice: its slot gets a successor, where a removed slot's tasks are removed."""
        before = self._before.get(task.id)
        if before is None or not task.desired_state > RUNNING >= before.desired_state:
            return False
        if task.desired_state != TaskState.SHUTDOWN:
            return False
        return task.reason in BY_CHOICE and is_ready(before, self._view.task_status.get(task.id))

    def _out(self, tasks: list[Task], update: UpdateStatus | None) -> set[int | str]:
        """Slots for which an update waits: nothing serves there, and nothing has failed there."""
        slots: dict[int | str, list[Task]] = {}
        for task in tasks:
            slots.setdefault(_slot(task), []).append(task)
        since_ms = update.monitored_since_ms if update is not None else 0
        # A slot that is new, or has waited for a node so far, is not out by the update.
        held = [self._before[task.id] for task in tasks if task.id in self._before]
        known = {
            _slot(task) for task in held if task.node_id and self._is_up(task) and not is_terminal(self._state(task))
        }
        return {key for key, those in slots.items() if key in known and self._is_out(those, since_ms)}

    def _is_out(self, tasks: list[Task], since_ms: int) -> bool:
        living = [task for task in tasks if not is_terminal(self._state(task)) and self._is_up(task)]
        ended = [task for task in tasks if self._state(task) in OWN_ENDS]
        if any(should_run(task) or task.created_at_ms >= since_ms for task in ended) or any(map(self._serves, living)):
            return False
        if not any(task.desired_state < TaskState.REMOVE for task in living):
            return False  # scaled down
        return all(task.node_id and not task.attempt for task in living if should_run(task))

    def _update(self, service: Service) -> UpdateStatus | None:
        reported = self._reported.get(service.meta.id) or self._view.service_status.get(service.meta.id)
        if (
            reported is None
            or not reported.HasField("update")
            or reported.update.task_revision != service.task_revision
        ):
            return None
        return reported.update

    def _serves(self, task: Task) -> bool:
        return should_run(task) and self._is_up(task) and is_ready(task, self._view.task_status.get(task.id))

    def _state(self, task: Task) -> int:
        return observed_state(task, self._view.task_status.get(task.id))

    def _is_up(self, task: Task) -> bool:
        status = self._view.node_status.get(task.node_id)
        return not task.node_id or (status is not None and status.state == NodeStatus.READY)


def _has_one_at_a_time(spec: ServiceSpec) -> bool:
    """No successor can start beside a task of it."""
    own = written_by_one(spec) or any(port.published for port in spec.endpoint.ports)
    return own or bool(network_provider(spec.task))


def _slot(task: Task) -> int | str:
    return task.slot or task.node_id


def check_placed(view: View, task: Task, in_force: Mapping[str, Service]) -> None:
    """No filter excludes the node where the task was placed.

    Args:
        in_force: services as they were in force.
    """
    reason = Oracle(
        view, _as_it_runs(view, task, in_force[task.service_id]), gone={task.id}, in_force=in_force
    ).excludes(task.node_id)
    assert not reason, f"{task.id} was placed on {task.node_id}, which {reason}"


def _as_it_runs(view: View, task: Task, service: Service) -> Service:
    """The service with the task's own template, which may be that before its canaries."""
    record = view.revisions[f"{task.service_id}/{task.revision}"]
    if running_part(record.spec) == running_part(service.spec):
        return service
    made = Service()
    made.CopyFrom(service)
    made.spec.task.CopyFrom(record.spec.task)
    made.spec.task.placement.CopyFrom(service.spec.task.placement)
    made.spec.endpoint.CopyFrom(record.spec.endpoint)
    return made


def check_template(view: View, task: Task, in_force: Mapping[str, Service], before: Iterable[Task]) -> None:
    """A new task runs the template in force, before this pass or after it, or what ran before canaries that were
    not promoted when the pass began: never one that was rolled back.

    Args:
        before: all tasks before the pass. What of the plan was committed may not tell yet that an update has begun.
    """
    service = view.services[task.service_id]
    runs = running_part(view.revisions[f"{task.service_id}/{task.revision}"].spec)
    allowed = [running_part(in_force[task.service_id].spec), running_part(effective(view, service).spec)]
    update = current_update(view, service)
    if update is not None and service.spec.update.canary and update.previous_revision:
        allowed.append(running_part(view.revisions[f"{task.service_id}/{update.previous_revision}"].spec))
    if update is None and service.spec.update.canary:
        held = (each for each in before if each.service_id == task.service_id and each.node_id and should_run(each))
        allowed += (running_part(view.revisions[f"{each.service_id}/{each.revision}"].spec) for each in held)
    assert runs in allowed, f"{task.id} runs what is not in force"
    COUNTED["tasks after a rollback"] += bool(rolled_back_to(view, service))


def check_preempted(view: View, task: Task) -> None:
    """Who displaced it has a higher priority, and fits there once all that is being stopped has ended."""
    name, priority = task.reason.removeprefix("preempted by service ").split(" with priority ")
    assert view.services[task.service_id].spec.priority < int(priority)
    winner = view.service_named(name)
    assert winner is not None
    ending = {each.id for each in view.tasks.values() if not should_run(each)}
    reason = Oracle(view, effective(view, winner), gone=ending).lacks(task.node_id)
    assert not reason, f"{task.id} was displaced for nothing: its node {reason}"


class Rest:
    """A cluster in which all nodes are well, agents have obeyed, and nothing happens any more."""

    def __init__(self, view: View) -> None:
        self._view = view

    def check(self) -> None:
        """Everything that may run does, and what does not is kept from it by what the oracle finds, too."""
        for name, service in self._view.services.items():
            service = effective(self._view, service)
            desired = [task for task in self._tasks(name) if should_run(task) and self._is_live(task)]
            assert all(self._runs(task) or not task.node_id for task in desired)
            if service.spec.HasField("replicated"):
                self._check_slots(service, desired)
                for task in desired:
                    if not task.node_id:
                        self._check_waiting(service, task)
                if all(task.node_id for task in desired) and not self._is_held(service):
                    check_placement(self._view, service, desired)
            else:
                self._check_each_node(service)

    def _check_slots(self, service: Service, desired: list[Task]) -> None:
        held = {task.slot for task in desired}
        ended = {task.slot for task in self._tasks(service.meta.id) if should_run(task) and not self._is_live(task)}
        assert len(held | ended) == service.spec.replicated.replicas

    def _is_held(self, service: Service) -> bool:
        """Its update is paused or waits, and so nothing moves."""
        update = current_update(self._view, self._view.services[service.meta.id])
        return update is not None and update.state in (UpdateStatus.PAUSED, UpdateStatus.CANARY)

    def _check_waiting(self, service: Service, task: Task) -> None:
        """Every node is excluded, for what there is and for what could be displaced, or a network is full."""
        if self._is_full(task.reason):
            return
        oracle = Oracle(self._view, service)
        if network_provider(service.spec.task):
            self._check_shared(service, task.slot, task.reason)
            return
        if " for volume " in task.reason:
            self._check_home(service, task)
            return
        assert task.reason.startswith("no suitable node: "), task.reason
        free = [node_id for node_id in self._view.nodes if not oracle.excludes(node_id)]
        assert not free, f"{task.id} waits ({task.reason}), and {free} would do"
        for node_id in self._view.nodes:
            victims = self._lower(service, node_id)
            room = Oracle(self._view, service, gone=victims).lacks(node_id)
            assert oracle.bars(node_id) or room or len(victims) > MOST_VICTIMS, f"{victims} are not displaced"

    def _check_shared(self, service: Service, key: int | str, reported: str) -> None:
        """No task runs whose network it would share, or its node is excluded, or not the one of its volumes."""
        provider = running_provider(self._view, service.spec, key)
        if provider is not None and "`shoal volume move" not in reported:
            oracle = Oracle(self._view, service)
            assert oracle.excludes(provider.node_id), f"{service.meta.id} {key} waits ({reported}), and could start"

    def _check_home(self, service: Service, task: Task) -> None:
        """The node where the data is is excluded, for what there is and for what could be displaced."""
        (mount,) = service.spec.task.container.mounts
        place = self._view.volume_homes[f"{mount.source}/{volume_slot(mount.volume, task.slot)}"]
        oracle = Oracle(self._view, service)
        assert oracle.excludes(place.node_id), f"{task.id} waits ({task.reason}), and could start"
        victims = self._lower(service, place.node_id)
        room = Oracle(self._view, service, gone=victims).lacks(place.node_id)
        assert oracle.bars(place.node_id) or room or len(victims) > MOST_VICTIMS, f"{victims} are not displaced"

    def _check_each_node(self, service: Service) -> None:
        oracle = Oracle(self._view, service)
        tasks = self._tasks(service.meta.id)
        for node_id in self._view.nodes:
            here = [task for task in tasks if task.node_id == node_id and should_run(task)]
            if here or oracle.bars(node_id):
                continue
            reported = " ".join(self._view.service_status[service.meta.id].problems)
            if network_provider(service.spec.task):
                self._check_shared(service, node_id, reported)
                continue
            assert self._is_full(reported) or oracle.lacks(node_id), (
                f"{service.meta.id} is not on {node_id}: {reported}"
            )

    def _lower(self, service: Service, node_id: str) -> set[str]:
        """Tasks that may be displaced: of a lower priority, and of no service that it has to be near."""
        affinities = service.spec.task.placement.affinities
        near = {each.service for each in affinities if not each.anti and not each.weight}
        services = self._view.services
        return {
            task.id
            for task in self._view.tasks_on(node_id).values()
            if should_run(task)
            and self._is_live(task)
            and (other := services.get(task.service_id)) is not None
            and other.spec.priority < service.spec.priority
            and other.spec.name not in near
        }

    def _is_full(self, reason: str) -> bool:
        """The reason is that a network is full, and it is."""
        found = re.search(r"network (\w+) has no free address: all (\d+) are in use", reason)
        if found is None:
            return False
        tasks = (task for task in self._view.tasks.values() if self._is_live(task))
        held = [place.network_id for task in tasks for place in task.addresses]
        statuses = self._view.service_status.values()
        held += [place.network_id for status in statuses for place in status.virtual_addresses]
        return held.count(found[1]) == int(found[2])

    def _tasks(self, service_id: str) -> list[Task]:
        return list(self._view.tasks_of(service_id).values())

    def _is_live(self, task: Task) -> bool:
        return is_live(task, self._view.task_status.get(task.id))

    def _runs(self, task: Task) -> bool:
        return observed_state(task, self._view.task_status.get(task.id)) == RUNNING
