"""Container names given by users (Compose `container_name`). Pure.

The name is unique among these and the services' own, so that a command that takes both means one thing. It is asked of
what this manager sees: where two managers take one name at the same moment, commands refuse it until one is renamed.
"""

from collections.abc import Iterator

from manager.store.tables import View
from manager.validation.other_services import OtherServices
from manager.validation.text_rules import check_alias
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault

_PATH = "task.container.name"


def check_container_name(spec: ServiceSpec) -> Iterator[Fault]:
    """What the spec shows: the name is one in DNS too, and belongs to a service of one task."""
    name = spec.task.container.name
    if not name:
        return
    yield from check_alias(_PATH, name)
    if tasks := _max_tasks(spec):
        yield Fault(_PATH, too_many_tasks(name, tasks))


def too_many_tasks(name: str, tasks: str) -> str:
    """The line for a service that cannot have a container's name."""
    return (
        f'"{name[:80]}" names a single container, but the service has {tasks}; '
        "omit the container name or run one replica: "
        "the service is reachable by its own name and by its network aliases"
    )


def name_conflicts(view: View, spec: ServiceSpec, others: OtherServices) -> Iterator[Fault]:
    """Another service that has the container's name, or a container that has the service's."""
    name = spec.task.container.name.lower()
    for other in others.specs(view, spec.name):
        theirs = other.task.container.name.lower()
        if name and name == theirs:
            yield Fault(_PATH, f'"{name}" is already the container name of service "{other.name}"; choose another name')
        if name and name == other.name.lower():
            yield Fault(_PATH, f'"{name}" is already the name of a service; choose another name')
        if theirs and theirs == spec.name.lower():
            yield Fault(
                "name", f'"{spec.name}" is already the container name of service "{other.name}"; choose another name'
            )


def _max_tasks(spec: ServiceSpec) -> str:
    """How many tasks it may have, in words; empty for one at most."""
    mode = spec.WhichOneof("mode")
    if mode in ("global", "global_job"):
        return "one task per node"
    most = max(spec.replicated.replicas, spec.autoscale.max_replicas, spec.replicated_job.total_completions)
    return f"{most:,}" if most > 1 else ""
