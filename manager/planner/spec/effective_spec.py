"""The effective spec of a service: the template of a rollback, and the autoscaler's replicas, in place of the user's.

The planner may not write a service's spec, so a rollback of its own is in the service's status. It ends when the user
changes the template: then the update in the status is no longer that to the newest template.
"""

from manager.store.tables import View
from shoal.api.v1.service_pb2 import Service, ServiceSpec, UpdateStatus


def current_update(view: View, service: Service) -> UpdateStatus | None:
    """The status of the update to the newest template; None when there was none yet."""
    status = view.service_status.get(service.meta.id)
    if status is None or not status.HasField("update") or status.update.task_revision != service.task_revision:
        return None
    return status.update


def rolled_back_to(view: View, service: Service) -> int:
    """The revision whose template is effective in place of the newest one; 0 when the newest one is."""
    update = current_update(view, service)
    number = update.effective_revision if update is not None else 0
    return number if number and view.revision_of(service.meta.id, number) is not None else 0


def spec_in_force(view: View, service: Service) -> ServiceSpec:
    """What the user's next change is based on: the newest spec, with the template that was rolled back to.

    Update policies stay the newest, and so do placement and restart policy where the user has changed them since.
    """
    number = rolled_back_to(view, service)
    earlier = view.revision_of(service.meta.id, number) if number else None
    if earlier is None:
        return service.spec
    made = ServiceSpec()
    made.CopyFrom(service.spec)
    made.task.CopyFrom(earlier.spec.task)
    made.endpoint.CopyFrom(earlier.spec.endpoint)
    _keep_changed_since(view, service, made)
    return made


def effective(view: View, service: Service) -> Service:
    """The service, or a copy with the effective template and the autoscaler's replicas."""
    number = rolled_back_to(view, service)
    if not number and not service.spec.HasField("autoscale"):  # nearly all
        return service
    replicas = replicas_of(view, service)
    if not number and replicas == service.spec.replicated.replicas:
        return service
    made = Service()
    made.CopyFrom(service)
    if number:
        made.spec.CopyFrom(spec_in_force(view, service))
        made.revision = made.task_revision = number
    if replicas != service.spec.replicated.replicas:
        made.spec.replicated.replicas = replicas
    return made


def replicas_of(view: View, service: Service) -> int:
    """The effective replicas: the autoscaler's within the spec's bounds, else the spec's own."""
    spec = service.spec
    if not spec.HasField("autoscale"):
        return spec.replicated.replicas
    known = view.autoscales.get(service.meta.id)
    replicas = known.replicas if known is not None else spec.replicated.replicas
    return max(spec.autoscale.min_replicas, min(spec.autoscale.max_replicas, replicas))


def _keep_changed_since(view: View, service: Service, made: ServiceSpec) -> None:
    failed = view.revision_of(service.meta.id, service.task_revision)
    if failed is None:
        return
    if service.spec.task.placement != failed.spec.task.placement:
        made.task.placement.CopyFrom(service.spec.task.placement)
    if service.spec.task.restart != failed.spec.task.restart:
        made.task.restart.CopyFrom(service.spec.task.restart)
