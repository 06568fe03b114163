"""What a call to a container's node is about: a container of one's own, or a running task of a service."""

from dataclasses import dataclass

from manager.agents.agent_address import AgentAddress
from manager.containers.container_views import check_node
from manager.containers.store_waits import wait_on
from manager.records.container_facts import newest_task, node_of
from manager.records.object_lookup import container_of_name
from manager.store.record_store import RecordReader
from manager.store.tables import View
from manager.tasks.exec_target import agent_of, find_running
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import NotFound, Refused, Timeout, Unavailable
from shoal.task_states import observed_state

MADE_SECONDS = 30.0
"""How long a call waits for the files of a container that was just created."""


@dataclass(frozen=True)
class ContainerTarget:
    """Attributes: identifier: of the container or of the task, as agents take it."""

    identifier: str
    agent: AgentAddress


def find_container_target(view: View, reference: str) -> ContainerTarget:
    """A container, whether it runs or not, else a running task of a service, as `find_running` finds it.

    Raises:
        NotFound: neither is there. InvalidInput: several are. Refused: it is on no node, or does not run.
        Unavailable: its node is down.
    """
    container = container_of_name(view, reference)
    if container is not None:
        return ContainerTarget(container.meta.id, agent_of_container(view, container))
    try:
        task = find_running(view, reference)
    except NotFound:
        raise NotFound(f'container "{reference}" not found') from None
    return ContainerTarget(task.id, agent_of(view, task))


async def made_container_target(store: RecordReader, reference: str) -> ContainerTarget:
    """The same, once the files of one that was just created are there with its volumes.

    Raises:
        Unavailable: that takes long; also as `find_container_target`.
    """
    with store.follow() as changes:
        try:
            return await wait_on(
                changes,
                store.tables,
                lambda view: _made_target(view, reference),
                seconds=MADE_SECONDS,
                what=f'container "{reference}" was not made',
            )
        except Timeout as error:
            raise Unavailable(f"{error}; try again") from error


def _made_target(view: View, reference: str) -> ContainerTarget | None:
    target = find_container_target(view, reference)
    task = newest_task(view, target.identifier)
    if task is None or task.desired_state != TaskState.READY:
        return target
    return target if observed_state(task, view.task_status.get(task.id)) >= TaskState.READY else None


def agent_of_container(view: View, container: Container) -> AgentAddress:
    """The agent of the container's node.

    Raises:
        Unavailable: its node is down. Refused: it was never placed.
    """
    check_node(view, container)
    status = view.node_status.get(node_of(view, container.meta.id))
    if status is None:
        raise Refused(f'container "{container.name}" is on no node yet')
    return AgentAddress.of(status.node_id, status.description)
