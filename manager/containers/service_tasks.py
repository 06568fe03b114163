"""Tasks of services as containers: found by any form of their id; refused what only their service decides. Pure."""

from manager.agents.agent_address import AgentAddress
from manager.containers.container_views import down_since_ms
from manager.records.object_lookup import container_of_name, find_container, find_task, hostname_of, slot_names
from manager.store.tables import View
from manager.tasks.exec_target import short_name
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.container_ids import container_id, is_beginning, object_id
from shoal.errors import NotFound, Refused, Unavailable
from shoal.task_states import observed_state
from shoal.utc_text import utc_text


def service_task(view: View, reference: str) -> Task | None:
    """The service's task that is meant, where no container of one's own is; None where none is.

    Args:
        reference: `web.1`, `web.1.<id>`, of a global service `web.h1`; its id, or a beginning of it; the id of its
            container, or a beginning of that.
    Raises:
        InvalidInput: several are meant.
    """
    if not reference or container_of_name(view, reference) is not None:
        return None
    task = view.tasks.get(object_id(reference) or "") or _by_name(view, reference) or _by_id(view, reference)
    return task if task is not None and not task.container_id else None


def find_own(view: View, reference: str, what: str) -> Container:
    """A container of one's own, for a call that services' tasks do not admit.

    Args:
        what: "cannot be renamed".
    Raises:
        Refused: it is a task, with its service's name. Else as `find_container`.
    """
    try:
        return find_container(view, reference)
    except NotFound:
        task = service_task(view, reference)
        if task is None:
            raise
        raise Refused(f"{task_text(view, task)} and {what}; change its service instead") from None


def task_text(view: View, task: Task) -> str:
    """What a message calls it: `container web.1 belongs to service "web"`."""
    name = short_name(view, task)
    service = view.services.get(task.service_id)
    return f'container {name} belongs to service "{service.spec.name if service is not None else task.service_id}"'


def is_task_running(view: View, task: Task) -> bool:
    """Whether its program runs, as far as is known."""
    return observed_state(task, view.task_status.get(task.id)) == TaskState.RUNNING


def agent_of_task(view: View, task: Task) -> AgentAddress:
    """The agent of a running task.

    Raises:
        Refused: it does not run. Unavailable: its node is down, since when.
    """
    name = short_name(view, task)
    if not is_task_running(view, task):
        raise Refused(f"container {name} is not running")
    status = view.node_status.get(task.node_id)
    if (since := down_since_ms(view, task.node_id)) or status is None:
        node = hostname_of(view, task.node_id)
        raise Unavailable(f"container {name} is on node {node}, which has been down since {utc_text(since)}")
    return AgentAddress.of(task.node_id, status.description)


def _by_name(view: View, reference: str) -> Task | None:
    """The newest task of a slot."""
    name, _, slot = reference.partition(".")
    service = view.service_named(name)
    if service is None or not slot:
        return None
    tasks = view.tasks_of(service.meta.id)
    if (whole := tasks.get(slot.rpartition(".")[2])) is not None:
        return whole
    found = [task for task in tasks.values() if slot in slot_names(view, task)]
    return max(found, key=lambda task: (is_task_running(view, task), task.created_at_ms), default=None)


def _by_id(view: View, reference: str) -> Task | None:
    _, dot, last = reference.rpartition(".")
    if dot:  # a name: its end is no beginning of an id
        return view.tasks.get(last)
    if is_beginning(reference):
        found = [each for each in view.tasks.values() if container_id(each.id).startswith(reference)]
        if len(found) == 1:
            return found[0]
    try:
        return find_task(view, reference)
    except NotFound:
        return None
