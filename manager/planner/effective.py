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
    """The service, or a copy with the template that was rolled back to and the replicas that the autoscaler wants.

    The policies of updates stay the newest, and placement and restarts where the user changed them since.
    """
    update = current_update(view, service)
    number = update.effective_revision if update is not None else 0
    if not number and not service.spec.HasField("autoscale"):  # nearly all
        return service
    earlier = view.revision_of(service.meta.id, number) if number else None
    replicas = replicas_of(view, service)
    if earlier is None and replicas == service.spec.replicated.replicas:
        return service
    made = Service()
    made.CopyFrom(service)
    if replicas != service.spec.replicated.replicas:
        made.spec.replicated.replicas = replicas
    if earlier is not None:
        made.spec.task.CopyFrom(earlier.spec.task)
        made.spec.endpoint.CopyFrom(earlier.spec.endpoint)
        _keep_changed_since(view, service, made)
        made.revision = made.task_revision = earlier.number
    return made


def replicas_of(view: View, service: Service) -> int:
    """The replicas in force: the autoscaler's within the spec's bounds, else the spec's own."""
    spec = service.spec
    if not spec.HasField("autoscale"):
        return spec.replicated.replicas
    known = view.autoscales.get(service.meta.id)
    wanted = known.replicas if known is not None else spec.replicated.replicas
    return max(spec.autoscale.min_replicas, min(spec.autoscale.max_replicas, wanted))


def _keep_changed_since(view: View, service: Service, made: Service) -> None:
    failed = view.revision_of(service.meta.id, service.task_revision)
    if failed is None:
        return
    if service.spec.task.placement != failed.spec.task.placement:
        made.spec.task.placement.CopyFrom(service.spec.task.placement)
    if service.spec.task.restart != failed.spec.task.restart:
        made.spec.task.restart.CopyFrom(service.spec.task.restart)
