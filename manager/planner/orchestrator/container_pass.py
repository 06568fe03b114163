"""One pass over a container of its user's own: one slot on one node, a task for each run, as Docker has it.

A created container is a task with the desired state READY; its first start makes it RUNNING, and each later start is a
new task on the same node. Only the newest task is kept once it has ended.
"""

from collections.abc import Iterable

from manager.planner.allocator.endpoint_plan import plan_endpoints
from manager.planner.allocator.network_changes import changed_addresses
from manager.planner.draft import Draft
from manager.planner.orchestrator.container_state import ContainerState, NextRun, follows, is_settled
from manager.planner.scheduler.container_placement import ContainerPlacement
from manager.planner.slots.single_writer import unconfirmed_reason
from shoal.api.v1.service_pb2 import ServiceSpec, ServiceStatus
from shoal.api.v1.standalone_pb2 import Container, Reschedule
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskState
from shoal.task_states import should_run
from shoal.utc_text import utc_text


def plan_container(draft: Draft, container: Container) -> None:
    """All stages for one container; none where they would have no effect, as for most of the time."""
    if not is_settled(draft, container):
        decide_container(draft, container)


def decide_container(draft: Draft, container: Container) -> None:
    """As `plan_container`, also where it has no effect."""
    _ContainerPass(draft, container).run()


class _ContainerPass:
    """The state of one pass over one container."""

    def __init__(self, draft: Draft, container: Container) -> None:
        self._draft, self._container = draft, container
        self._id = container.meta.id
        self._known = draft.view.service_status.get(self._id) or ServiceStatus()
        revision = draft.view.revision_of(self._id, container.revision)
        self._spec = revision.spec if revision is not None else ServiceSpec()
        self._status = ServiceStatus(service_id=self._id, finished_run=self._known.finished_run)
        self._placement_made: ContainerPlacement | None = None

    def run(self) -> None:
        state = ContainerState.of(self._draft, self._container, self._known.node_id)
        for task in state.lost:
            self._draft.delete_task(task)
        self._status.node_id = state.home
        self._drop_earlier(state)
        if self._container.removing:
            self._stop_for_removal(state)
        elif self._container.desired == Container.RUNNING:
            self._plan_running(state)
        elif self._container.desired == Container.STOPPED:
            self._plan_stopped(state)
        else:
            self._plan_created(state)
        self._draft.write_status(self._status)

    # What is to be.

    def _plan_stopped(self, state: ContainerState) -> None:
        if state.newest is not None and state.is_live:
            self._stop(state.newest, "it was stopped by a user")
        else:
            self._status.finished_run = self._container.run

    def _plan_created(self, state: ContainerState) -> None:
        newest = state.newest
        if newest is None and state.home_is_removed:
            self._status.problems.append(self._lost_text(state.home))
        elif newest is None:
            self._place(state, Task(desired_state=TaskState.READY))
        elif not state.is_live:
            self._add_end(newest)
        elif newest.desired_state == TaskState.READY:
            self._adopt(newest)
        else:
            self._stop(newest, "its start was withdrawn")

    def _plan_running(self, state: ContainerState) -> None:
        newest = state.newest
        if state.home_is_lost and self._container.definition.reschedule == Reschedule.ON_NODE_FAILURE:
            self._reschedule(state)
        elif newest is None or not state.is_live:
            self._start_next(state)
        elif newest.desired_state == TaskState.READY:
            self._start_created(state, newest)
        elif not should_run(newest) or newest.job_run != self._container.run:
            self._stop(newest, "replaced by its next run")
        else:
            self._keep(newest)

    def _keep(self, newest: Task) -> None:
        """It runs, or is about to."""
        self._publish()
        self._adopt(newest)

    def _start_created(self, state: ContainerState, newest: Task) -> None:
        if self._is_given_up():
            self._status.finished_run = self._container.run
            self._adopt(newest)
            return
        run = Task(desired_state=TaskState.RUNNING, job_run=self._container.run)
        if self._may_start(state):
            self._refuse(self._placement().start_created(newest, run))

    def _start_next(self, state: ContainerState) -> None:
        following = self._following(state)
        if following is None or state.home_is_removed:
            self._finish(state)
        elif following.due_ms > self._draft.now_ms:
            self._publish()  # the ports stay its own until then
            self._status.restart_due_ms = following.due_ms
            self._draft.requeue_at(self._id, following.due_ms)
        elif self._may_start(state):
            self._place(state, self._run(following))

    def _reschedule(self, state: ContainerState) -> None:
        """Its node is lost: it starts on another one, with a new root file system."""
        newest, placement = state.newest, self._placement()
        if newest is not None and state.is_live:
            following: NextRun | None = NextRun(self._draft.now_ms, newest.attempt, newest.restart_delay_ms)
            if newest.desired_state == TaskState.READY or newest.job_run != self._container.run:
                following = NextRun(self._draft.now_ms)
            if placement.demand.exclusive_remote and (why := unconfirmed_reason(self._draft, placement.demand, newest)):
                self._refuse(why)
                return
            self._draft.stop(newest, TaskState.REMOVE, f"node {self._draft.hostname(newest.node_id)} is down")
        else:
            following = self._following(state)
        if following is None:
            self._finish(state)
        elif following.due_ms > self._draft.now_ms:
            self._status.restart_due_ms = following.due_ms
            self._draft.requeue_at(self._id, following.due_ms)
        elif self._publish():
            self._place(ContainerState(None, is_live=False, home="", home_is_lost=False), self._run(following))

    # Steps.

    def _following(self, state: ContainerState) -> NextRun | None:
        """The run that is to follow, now or later; None when there is none."""
        newest = state.newest
        if self._known.finished_run == self._container.run:
            return None
        if newest is None or newest.job_run != self._container.run:
            return None if self._is_given_up() else NextRun(self._draft.now_ms)
        return state.after_end(self._draft)

    def _finish(self, state: ContainerState) -> None:
        """The run is over for good."""
        self._status.finished_run = self._container.run
        if state.home_is_removed:
            self._status.problems.append(self._lost_text(state.home))

    def _is_given_up(self) -> bool:
        """Nobody waits for the start any more."""
        by_ms = self._container.start_by_ms
        if by_ms and self._draft.now_ms < by_ms:
            self._draft.requeue_at(self._id, by_ms)
        return bool(by_ms) and self._draft.now_ms >= by_ms

    def _may_start(self, state: ContainerState) -> bool:
        """Whether its node is there and its ports are free; says so in the status when not."""
        if state.home_is_lost:
            self._refuse(self._lost_text(state.home))
            return False
        return self._publish()

    def _publish(self) -> bool:
        """Its ports on the routing mesh; whether it has them all."""
        found = plan_endpoints(self._draft, self._id, self._spec, ())
        if found.problems:
            self._draft.resources.claim_mesh_ports(self._id, ())
            self._refuse("; ".join(found.problems))
            return False
        self._status.mesh_ports.extend(found.mesh_ports)
        return True

    def _run(self, following: NextRun) -> Task:
        return Task(
            desired_state=TaskState.RUNNING,
            job_run=self._container.run,
            attempt=following.attempt,
            restart_delay_ms=following.delay_ms,
        )

    def _place(self, state: ContainerState, task: Task) -> None:
        """Write a new task, where the container is or where it fits."""
        if state.home_is_lost:
            self._refuse(self._lost_text(state.home))
            return
        task.id, task.created_at_ms = self._draft.new_id(), self._draft.now_ms
        placement = self._placement()
        why = placement.place_at_home(task, state.home) if state.home else placement.place_anywhere(task)
        if why:
            self._refuse(why)
        elif (placed := self._draft.new_task(task.id)) is not None:
            self._status.node_id = placed.node_id

    def _refuse(self, why: str) -> None:
        """It cannot start, or be placed; it is tried again when something changes."""
        if not why:
            return
        self._draft.blocked.add(self._id)
        self._status.problems.append(why)
        if self._container.desired == Container.RUNNING:
            self._status.refused_run = self._container.run
            del self._status.mesh_ports[:]
            self._draft.resources.claim_mesh_ports(self._id, ())

    def _adopt(self, task: Task) -> None:
        """Let a task follow the newest revision as it is: limits, name, networks, restart policy."""
        if follows(task, self._container):
            return
        addresses: Iterable[TaskAddress] = task.addresses
        if task.desired_state != TaskState.READY:
            addresses, why = changed_addresses(self._draft, self._placement().demand, task.addresses)
            if why:
                self._draft.blocked.add(self._id)
                self._status.problems.append(why)
                return
        self._draft.adopt(task, self._container.revision, addresses, self._container.definition.restart)

    def _stop(self, task: Task | None, reason: str) -> None:
        if task is None:
            return
        how = self._container.stop if self._container.HasField("stop") else None
        if should_run(task):
            self._draft.stop(task, TaskState.SHUTDOWN, reason, how)
        elif how is not None and task.stop != how:
            self._draft.change_stop(task, how)

    def _stop_for_removal(self, state: ContainerState) -> None:
        how = self._container.stop if self._container.HasField("stop") else None
        if state.newest is None or not state.is_live:
            return
        self._draft.stop(state.newest, TaskState.REMOVE, "the container was removed", how)
        if state.home_is_lost:
            self._status.problems.append(f"{self._lost_text(state.home)}; it is removed there once the node is back")

    def _drop_earlier(self, state: ContainerState) -> None:
        """All but the newest: what has ended is forgotten, what runs is of a node that was lost."""
        for task in state.earlier_live:
            self._draft.stop(task, TaskState.REMOVE, "the container is on another node")
        for task in state.earlier_ended:
            self._draft.delete_task(task)

    def _add_end(self, task: Task) -> None:
        """Why a created container could not be made."""
        status = self._draft.view.task_status.get(task.id)
        if status is not None:
            self._status.problems.append(status.message or "it could not be created")

    def _lost_text(self, node_id: str) -> str:
        status = self._draft.down_status(node_id)
        name = self._draft.hostname(node_id)
        if node_id not in self._draft.view.nodes:
            return f"node {node_id} was removed, and the container's files with it"
        return f"node {name} has been down since {utc_text(status.since_ms)}" if status is not None else ""

    def _placement(self) -> ContainerPlacement:
        if self._placement_made is None:
            self._placement_made = ContainerPlacement(self._draft, self._container, self._spec)
        return self._placement_made
