"""A container's tasks by what they mean for it, and the node where it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from manager.planner.draft import Draft
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.restarts.container_restart import decide_restart
from shoal.task_states import is_live, is_terminal, should_run


@dataclass(frozen=True)
class NextRun:
    """A run that is to begin.

    Attributes:
        due_ms: milliseconds since the Unix epoch.
        attempt: restarts since its user started it.
        delay_ms: of the restart policy, before it.
    """

    due_ms: int
    attempt: int = 0
    delay_ms: int = 0


@dataclass(frozen=True)
class ContainerState:
    """A container as the records have it.

    Attributes:
        newest: the task of its newest run; None: it has none.
        is_live: that one has not ended.
        home: id of the node where it is; empty: it was never placed.
        home_is_lost: that node is down, or was removed.
        home_is_removed: it was removed, and the container's files with it.
        earlier_live: other tasks that have not ended, on nodes that were lost meanwhile.
        earlier_ended: other tasks that have.
        lost: tasks of removed nodes.
        container: the record.
    """

    newest: Task | None
    is_live: bool
    home: str
    home_is_lost: bool
    home_is_removed: bool = False
    earlier_live: Sequence[Task] = ()
    earlier_ended: Sequence[Task] = ()
    lost: Sequence[Task] = ()
    container: Container | None = None

    @staticmethod
    def of(draft: Draft, container: Container, known_home: str) -> "ContainerState":
        """Args: known_home: as its status has it; a task that was placed since then says better."""
        view = draft.view
        every = view.tasks_of(container.meta.id).values()
        tasks = sorted((task for task in every if task.node_id in view.nodes), key=_order)
        newest = tasks[-1] if tasks else None
        earlier = tasks[:-1]
        home = _home(tasks, known_home)
        return ContainerState(
            newest=newest,
            is_live=newest is not None and is_live(newest, view.task_status.get(newest.id)),
            home=home,
            home_is_lost=bool(home) and (home not in view.nodes or draft.down_status(home) is not None),
            home_is_removed=bool(home) and home not in view.nodes,
            earlier_live=[task for task in earlier if is_live(task, view.task_status.get(task.id))],
            earlier_ended=[task for task in earlier if not is_live(task, view.task_status.get(task.id))],
            lost=[task for task in every if task.node_id not in view.nodes],
            container=container,
        )

    def after_end(self, draft: Draft) -> NextRun | None:
        """What follows the end of the newest run, which is the one that is wanted."""
        task = self.newest
        if task is None or self.container is None:
            return None
        if not should_run(task):  # the planner had stopped it, to have it elsewhere
            return NextRun(draft.now_ms, task.attempt, task.restart_delay_ms)
        policy, held, status = (
            self.container.definition.restart,
            self.container.held,
            draft.view.task_status.get(task.id),
        )
        decision = decide_restart(policy, task, status, held=held, now_ms=draft.now_ms)
        return NextRun(decision.due_ms, decision.attempt, decision.delay_ms) if decision is not None else None


def is_settled(draft: Draft, container: Container) -> bool:
    """Whether a pass over the container would write nothing: it is as it has to be, on a node that is there."""
    view = draft.view
    known, tasks = view.service_status.get(container.meta.id), view.tasks_of(container.meta.id)
    if known is None or len(tasks) != 1 or container.removing:
        return False
    if known.problems or known.planning_error or known.refused_run or known.restart_due_ms:
        return False
    (task,) = tasks.values()
    if task.node_id != known.node_id or task.node_id not in view.nodes or draft.down_status(task.node_id):
        return False
    finished = known.finished_run == container.run
    if is_terminal(draft.state(task)):
        return container.desired != Container.CREATED and finished and not known.mesh_ports
    if not follows(task, container) or len(known.mesh_ports) != _mesh_port_count(container, task):
        return False
    if container.desired == Container.RUNNING:
        return task.desired_state == TaskState.RUNNING and task.job_run == container.run and not finished
    return container.desired == Container.CREATED and task.desired_state == TaskState.READY


def follows(task: Task, container: Container) -> bool:
    """Whether a task is as the newest revision has it. A task of an earlier release lacks the restart policy."""
    return task.revision == container.revision and task.restart == container.definition.restart


def _mesh_port_count(container: Container, task: Task) -> int:
    """How many ports of the routing mesh it has, while this task has not ended."""
    definition = container.definition
    if task.desired_state == TaskState.READY or definition.publish_on_node:
        return 0
    return sum(not port.host_address for port in definition.ports)


def _order(task: Task) -> tuple[int, int, bool, int, str]:
    return task.job_run, task.attempt, should_run(task), task.created_at_ms, task.id


def _home(tasks: Iterable[Task], known: str) -> str:
    """The node of the newest task that is to run; while there is none, the one that is recorded."""
    nodes = [task.node_id for task in tasks if should_run(task)]
    return nodes[-1] if nodes else known
