"""Containers whose namespaces another one joins: on their node, and only while they run."""

from collections.abc import Iterator

from manager.planner.draft import Draft
from manager.planner.scheduler.shared_network import is_staying
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.networks.network_modes import BRIDGE, has_node_pool, joined_container, mode_of

NETWORK, PID, IPC = "network", "PID namespace", "IPC namespace"


class ContainerSharing:
    """What one container shares with others, by the ids of these: containers, or tasks of services.

    As with Docker, who has joined keeps what is left of the namespace when the other one ends, and joins the next one
    when it is started itself.
    """

    def __init__(self, draft: Draft, template: TaskTemplate) -> None:
        self._draft = draft
        container = template.container
        named = (
            (NETWORK, joined_container(template)),
            (PID, container.pid_container),
            (IPC, container.ipc_container),
        )
        self._joined = {what: identifier for what, identifier in named if identifier}
        # Without networks it is reachable on its node alone.
        local = has_node_pool(template) and mode_of(template) == BRIDGE
        self._linked = [link.container_id for link in container.links] if local else []

    def nodes(self) -> Iterator[tuple[str, str]]:
        """Nodes on which it has to be, each with the reason."""
        for identifier in dict.fromkeys((*self._joined.values(), *self._linked)):
            if node_id := self._node_of(identifier):
                yield node_id, f"{self._name(identifier)} is"

    def obstacle(self, node_id: str) -> str:
        """Why it cannot start on the node, one line for the user; empty when it can."""
        for what, identifier in self._joined.items():
            task = self._running(identifier)
            if task is None:
                return f"cannot join {what} of a non running container: {self._name(identifier, kind='')}"
            if task.node_id != node_id:
                there = self._draft.hostname(task.node_id)
                return f"cannot join {what} of {self._name(identifier)}, which is on node {there} now"
        return ""

    def join(self, record: Task) -> None:
        """Put the tasks that it joins into its record; `obstacle` found none."""
        for what, identifier in self._joined.items():
            task = self._running(identifier)
            if task is None:
                continue
            if what == NETWORK:
                record.network_task_id = task.id
            elif what == PID:
                record.pid_task_id = task.id
            else:
                record.ipc_task_id = task.id

    def _running(self, identifier: str) -> Task | None:
        view = self._draft.view
        if identifier in view.containers:
            tasks = [*view.tasks_of(identifier).values()]
        else:
            tasks = [task] if (task := view.tasks.get(identifier)) is not None else []
        draft = self._draft
        running = (each for each in tasks if is_staying(draft, each) and draft.state(each) == TaskState.RUNNING)
        return next(running, None)

    def _node_of(self, identifier: str) -> str:
        view = self._draft.view
        if identifier in view.containers:
            status = view.service_status.get(identifier)
            return status.node_id if status is not None else ""
        task = view.tasks.get(identifier)
        return task.node_id if task is not None else ""

    def _name(self, identifier: str, kind: str = "container ") -> str:
        container = self._draft.view.containers.get(identifier)
        return f"{kind}{container.name if container is not None else identifier}"
