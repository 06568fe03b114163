"""A service as its tasks are to run it: with an earlier revision's template while a rollback is in force.

The planner may not write a service's spec, so a rollback of its own lives in the service's status. It ends when the
user changes the template: then the update that the status tells of is not the newest one's any more.
"""

from manager.store.tables import View
from shoal.api.v1.service_pb2 import Service, UpdateStatus


def current_update(view: View, service: Service) -> UpdateStatus | None:
    """How the update to the newest template stands; None when there was none yet."""
    status = view.service_status.get(service.meta.id)
    if status is None or not status.HasField("update") or status.update.task_revision != service.task_revision:
        return None
    return status.update


def effective(view: View, service: Service) -> Service:
    """The service, or a copy with the template that was rolled back to.

    Replicas and the policies of updates stay the newest, and placement and restarts where the user changed them since.
    """
    update = current_update(view, service)
    if update is None or not update.effective_revision:
        return service
    earlier = view.revision_of(service.meta.id, update.effective_revision)
    if earlier is None:
        return service
    made = Service()
    made.CopyFrom(service)
    made.spec.task.CopyFrom(earlier.spec.task)
    made.spec.endpoint.CopyFrom(earlier.spec.endpoint)
    _keep_changed_since(view, service, made)
    made.revision = made.task_revision = earlier.number
    return made


def _keep_changed_since(view: View, service: Service, made: Service) -> None:
    failed = view.revision_of(service.meta.id, service.task_revision)
    if failed is None:
        return
    if service.spec.task.placement != failed.spec.task.placement:
        made.spec.task.placement.CopyFrom(service.spec.task.placement)
    if service.spec.task.restart != failed.spec.task.restart:
        made.spec.task.restart.CopyFrom(service.spec.task.restart)
