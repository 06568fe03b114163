"""What a task belongs to: a service, or a container of its user's own. Pure."""

from manager.store.tables import View
from shoal.api.v1.task_pb2 import Task


def has_owner(view: View, task: Task) -> bool:
    """Whether what the task belongs to still exists."""
    return task.service_id in view.services or task.service_id in view.containers


def owner_name(view: View, identifier: str) -> str:
    """`service web` or `container db`, for texts; the id where there is no such object."""
    if (service := view.services.get(identifier)) is not None:
        return f"service {service.spec.name}"
    container = view.containers.get(identifier)
    return f"container {container.name}" if container is not None else f"service {identifier}"
