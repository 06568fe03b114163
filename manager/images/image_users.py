"""Which services and containers use an image. Pure."""

from manager.store.tables import View
from shoal.api.v1.task_pb2 import TaskState
from shoal.task_states import is_live


def services_by_digest(view: View) -> dict[str, set[str]]:
    """IDs of services by each digest that their specs, or their tasks that have not ended, are pinned to."""
    found: dict[str, set[str]] = {}
    for service_id, service in view.services.items():
        _add(found, service.spec.task.container.image, service_id)
    of_services = (task for task in view.tasks.values() if not task.container_id and _is_live(view, task.id))
    for key in {(task.service_id, task.revision) for task in of_services}:
        revision = view.revision_of(*key)
        if revision is not None:
            _add(found, revision.spec.task.container.image, key[0])
    return found


def containers_by_digest(view: View) -> dict[str, set[str]]:
    """IDs of containers of one's own, running or not, by the digest that they were created from."""
    found: dict[str, set[str]] = {}
    for container_id, container in view.containers.items():
        _add(found, container.definition.task.container.image, container_id)
    return found


def is_running(view: View, container_id: str) -> bool:
    """Whether a run of it has begun and not ended, as far as is known."""
    return any(
        each.desired_state != TaskState.READY and _is_live(view, each.id)
        for each in view.tasks_of(container_id).values()
    )


def names_of_services(view: View, service_ids: set[str]) -> list[str]:
    """Names, sorted; the ID of a service that is gone."""
    known = ((each, view.services.get(each)) for each in service_ids)
    return sorted(service.spec.name if service is not None else each for each, service in known)


def _add(found: dict[str, set[str]], image: str, service_id: str) -> None:
    if digest := image.partition("@")[2]:
        found.setdefault(digest, set()).add(service_id)


def _is_live(view: View, task_id: str) -> bool:
    return is_live(view.tasks[task_id], view.task_status.get(task_id))
