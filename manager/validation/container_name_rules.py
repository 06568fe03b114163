"""Container names given by users (Compose `container_name`). Pure.

A name is unique among container and service names, so that a command that accepts both is unambiguous. Only the records
that this manager has seen are checked: if two managers accept one name at the same moment, commands report it as
ambiguous until one is renamed.
"""

from collections.abc import Iterator

from manager.store.tables import View
from manager.validation.other_services import OtherServices
from manager.validation.text_rules import check_alias
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault

_PATH = "task.container.name"


def check_container_name(spec: ServiceSpec) -> Iterator[Fault]:
    """Faults of the spec alone: the name is valid in DNS too, and belongs to a service with a single task."""
    name = spec.task.container.name
    if not name:
        return
    yield from check_alias(_PATH, name)
    if tasks := _max_tasks(spec):
        yield Fault(_PATH, too_many_tasks(name, tasks))


def too_many_tasks(name: str, tasks: str) -> str:
    """The line for a service that cannot have a container name."""
    return (
        f'"{name[:80]}" names a single container, but the service has {tasks}; '
        "omit the container name or run one replica: "
        "the service is reachable by its own name and by its network aliases"
    )


def name_conflicts(view: View, spec: ServiceSpec, others: OtherServices) -> Iterator[Fault]:
    """Another service that has the container's name, or a container that has the service's."""
    name = spec.task.container.name.lower()
    for other in others.specs(view, spec.name):
        container_name = other.task.container.name.lower()
        if name and name == container_name:
            yield Fault(_PATH, f'"{name}" is already the container name of service "{other.name}"; choose another name')
        if name and name == other.name.lower():
            yield Fault(_PATH, f'"{name}" is already the name of a service; choose another name')
        if container_name and container_name == spec.name.lower():
            yield Fault(
                "name", f'"{spec.name}" is already the container name of service "{other.name}"; choose another name'
            )


def _max_tasks(spec: ServiceSpec) -> str:
    """The maximum number of tasks, for messages; empty if it is at most one."""
    mode = spec.WhichOneof("mode")
    if mode in ("global", "global_job"):
        return "one task per node"
    most = max(spec.replicated.replicas, spec.autoscale.max_replicas, spec.replicated_job.total_completions)
    return f"{most:,}" if most > 1 else ""
