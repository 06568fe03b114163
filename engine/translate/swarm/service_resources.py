"""`Resources` of services, and back. Pure."""

from collections.abc import Sequence
from typing import Any

from engine.translate.fields import Fields
from shoal.api.v1.meta_pb2 import GenericResource, Resources
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.cdi_names import is_kind


def read_resources(body: Fields, task: TaskTemplate) -> None:
    """
    Raises:
        ApiError: 400, something is not valid.
    """
    limits, reservations = body.nested("Limits"), body.nested("Reservations")
    _read_amounts(limits, task.limits)
    task.limits.pids = limits.number("Pids")
    _read_amounts(reservations, task.reservations)
    _read_generic(reservations.nested_list("GenericResources"), task.reservations)


def resources_document(task: TaskTemplate) -> dict[str, Any]:
    """`Limits` and `Reservations`, with what is set."""
    return {"Limits": _limits(task.limits), "Reservations": _reservations(task.reservations)}


def _read_amounts(fields: Fields, resources: Resources) -> None:
    resources.nano_cpus, resources.memory_bytes = fields.number("NanoCPUs"), fields.number("MemoryBytes")


def _read_generic(entries: Sequence[Fields], resources: Resources) -> None:
    """Devices are reserved by name; of any other kind a name means one unit, and the scheduler chooses which."""
    found: dict[str, GenericResource] = {}
    for entry in entries:
        named, discrete = entry.nested("NamedResourceSpec"), entry.nested("DiscreteResourceSpec")
        given = named if named.document else discrete
        resource = found.setdefault(given.text("Kind"), GenericResource(kind=given.text("Kind")))
        if given is named and is_kind(resource.kind):
            resource.names.append(named.text("Value"))
        else:
            resource.count += 1 if given is named else discrete.count("Value")
    resources.generic_resources.extend(found.values())


def _limits(resources: Resources) -> dict[str, Any]:
    return _amounts(resources) | ({"Pids": resources.pids} if resources.pids else {})


def _reservations(resources: Resources) -> dict[str, Any]:
    document = _amounts(resources)
    if resources.generic_resources:
        document["GenericResources"] = [each for kind in resources.generic_resources for each in _generic(kind)]
    return document


def _generic(resource: GenericResource) -> list[dict[str, Any]]:
    if resource.names:
        return [{"NamedResourceSpec": {"Kind": resource.kind, "Value": name}} for name in resource.names]
    return [{"DiscreteResourceSpec": {"Kind": resource.kind, "Value": resource.count}}]


def _amounts(resources: Resources) -> dict[str, Any]:
    document: dict[str, Any] = {"NanoCPUs": resources.nano_cpus} if resources.nano_cpus else {}
    return document | ({"MemoryBytes": resources.memory_bytes} if resources.memory_bytes else {})
