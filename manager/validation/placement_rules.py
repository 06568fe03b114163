"""Validation of placement preferences, and which of them the cluster cannot meet now. Pure."""

import re
from collections.abc import Collection, Iterator, Sequence

from manager.planner.index.generic_resources import GenericResourcePool
from manager.planner.spec import constraints
from manager.planner.spec.requirements import requirements_of, supports_platform
from manager.store.tables import View
from manager.validation import bounds
from manager.validation.text_rules import check_distinct, check_range
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import Affinity, Placement, Preference, ServiceSpec
from shoal.cdi_names import ALL, is_device, is_kind
from shoal.device_names import ReportedDevices
from shoal.errors import Fault, InvalidInput
from shoal.unit_formats import exact_size

MAX_PRIORITY = 1_000
MAX_WEIGHT = 1_000
MAX_GENERIC = 1_000
BINPACK = ("cpus", "memory", "load")

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


def check_placement(path: str, placement: Placement, service: str, *, on_each_node: bool = False) -> Iterator[Fault]:
    """Every fault of the placement alone.

    Args:
        on_each_node: the service has one task on each node.
    """
    lists = (placement.constraints, placement.spread, placement.preferences, placement.affinities)
    if any(len(entries) > bounds.CONSTRAINTS for entries in lists):
        yield Fault(
            path, f"too many constraints, preferences or affinities; the maximum is {bounds.CONSTRAINTS} of each"
        )
        return
    if on_each_node and placement.max_per_node:
        yield Fault(
            f"{path}.max_per_node", "is supported for replicated services only; a global service runs one task per node"
        )
    for index, text in enumerate(placement.constraints):
        yield from _check_text(f"{path}.constraints[{index}]", text)
    for index, key in enumerate(placement.spread):
        yield from _check_key(f"{path}.spread[{index}]", key)
    for index, preference in enumerate(placement.preferences):
        yield from _check_preference(f"{path}.preferences[{index}]", preference)
    for index, affinity in enumerate(placement.affinities):
        yield from _check_affinity(f"{path}.affinities[{index}]", affinity, service if on_each_node else "")


def check_generic(path: str, resources: Sequence[GenericResource]) -> Iterator[Fault]:
    """Generic resources that a task reserves: each kind once, with a count or names."""
    if len(resources) > bounds.CONSTRAINTS:
        yield Fault(path, f"too many kinds; the maximum is {bounds.CONSTRAINTS}")
        return
    for index, each in enumerate(resources):
        of_cdi = is_kind(each.kind)
        if not (of_cdi or _KIND.fullmatch(each.kind)):
            text = (
                "must be a resource kind of letters, digits, '_', '.' and '-', or a CDI kind such as vendor.com/class"
            )
            yield Fault(f"{path}[{index}].kind", f"{each.kind!r} {text}")
        if each.names and not of_cdi:
            yield Fault(f"{path}[{index}].names", "specify a count; the scheduler chooses the names")
        elif each.names:
            yield from _check_devices(f"{path}[{index}]", each)
        else:
            yield from check_range(f"{path}[{index}].count", each.count, 1, MAX_GENERIC)
    yield from check_distinct(path, [each.kind for each in resources])


def _check_devices(path: str, requested: GenericResource) -> Iterator[Fault]:
    if requested.count:
        yield Fault(f"{path}.count", "specify a count or device names, not both")
    if len(requested.names) > MAX_GENERIC:
        yield Fault(f"{path}.names", f"too many names; the maximum is {MAX_GENERIC}")
    for name in requested.names:
        if not is_device(name) or name == ALL:
            yield Fault(f"{path}.names", f"{name!r} must name a single device; specify a count, or name each device")
    yield from check_distinct(f"{path}.names", requested.names)


def check_priority(path: str, priority: int) -> Iterator[Fault]:
    """-1000 to 1000."""
    yield from check_range(path, priority, -MAX_PRIORITY, MAX_PRIORITY)


def _check_text(path: str, text: str) -> Iterator[Fault]:
    try:
        constraints.parse(text)
    except InvalidInput as error:
        yield Fault(path, error.faults[0].message)


def _check_key(path: str, key: str) -> Iterator[Fault]:
    try:
        constraints.parse_key(key)
    except InvalidInput as error:
        yield Fault(path, error.faults[0].message)


def _check_preference(path: str, preference: Preference) -> Iterator[Fault]:
    yield from check_range(f"{path}.weight", preference.weight, 0, MAX_WEIGHT)
    match preference.WhichOneof("kind"):
        case "spread":
            yield from _check_key(f"{path}.spread", preference.spread)
        case "binpack":
            if preference.binpack not in BINPACK:
                yield Fault(f"{path}.binpack", f"{preference.binpack!r} must be one of {', '.join(BINPACK)}")
        case _:
            yield Fault(path, "must be spread or binpack")


def _check_affinity(path: str, affinity: Affinity, global_service: str) -> Iterator[Fault]:
    yield from check_range(f"{path}.weight", affinity.weight, 0, MAX_WEIGHT)
    if not affinity.service:
        yield Fault(f"{path}.service", "is required: a service name")
    elif affinity.service == global_service:
        yield Fault(f"{path}.service", "must be another service: a global service has one task per node")
    if affinity.topology_key:
        yield from _check_key(f"{path}.topology_key", affinity.topology_key)


def placement_warnings(view: View, spec: ServiceSpec, submitted: Collection[str] = ()) -> Iterator[str]:
    """Requirements that no node meets at present, one line each: the tasks would stay pending.

    Args:
        submitted: names of services that the request creates.
    """
    nodes = [
        (node, status)
        for identifier, node in view.nodes.items()
        if (status := view.node_status.get(identifier)) is not None and status.state == NodeStatus.READY
    ]
    demand = requirements_of(spec)
    if not nodes or demand.error:
        return
    for constraint in demand.constraints:
        if not any(constraint.matches(node, status) for node, status in nodes):
            yield f"no node matches the constraint {str(constraint)!r}; the tasks stay pending until one does"
    for key in (*demand.spread, *(key for key, _ in demand.weighted_spread)):
        if all(constraints.node_attribute(key, node, status) is None for node, status in nodes):
            yield f"no node has {key}; tasks are not spread over it"
    for affinity in spec.task.placement.affinities:
        if affinity.service not in (spec.name, *submitted) and view.service_named(affinity.service) is None:
            yield f'affinity: service "{affinity.service}" not found'
    yield from _resource_warnings(spec, [status.description for _, status in nodes])


def _resource_warnings(spec: ServiceSpec, nodes: Sequence[NodeDescription]) -> Iterator[str]:
    demand = requirements_of(spec)
    most_cpus = max(node.resources.nano_cpus for node in nodes)
    most_memory = max(node.resources.memory_bytes for node in nodes)
    if demand.cpus > most_cpus:
        yield (
            f"{demand.cpus / 1000000000.0:g} CPUs are reserved, but no node "
            f"has more than {most_cpus / 1000000000.0:g}; the tasks stay pending"
        )
    if demand.memory > most_memory:
        yield (
            f"{exact_size(demand.memory)} of memory is reserved, but no node "
            f"has more than {exact_size(most_memory)}; the tasks stay pending"
        )
    for kind, requested in demand.generic.items():
        names = demand.generic_names.get(kind, ())
        available = max(_free(node, kind, names) for node in nodes)
        if requested > available and names:
            yield (
                f"no node has the CDI device {', '.join(f'{kind}={name}' for name in names)}; the tasks stay pending"
            )
        elif requested > available:
            yield (
                f"{requested} of generic resource {kind} are reserved, but "
                f"no node has more than {available}; the tasks stay pending"
            )
    reported = (
        [ReportedDevices(node.devices if node.HasField("devices") else None) for node in nodes]
        if demand.devices
        else []
    )
    for device in demand.devices:
        if all(node.lacks([device]) for node in reported):
            yield f"no node has the device {device}; the tasks stay pending until one does"
    if demand.platforms and not any(supports_platform(demand.platforms, node.platform) for node in nodes):
        offered = ", ".join("/".join(platform) for platform in demand.platforms)
        yield f"the image is built for {offered}, and no node has that platform; the tasks stay pending"


def _free(node: NodeDescription, kind: str, names: Sequence[str]) -> int:
    stock = GenericResourcePool()
    stock.set_total(node.resources.generic_resources)
    return stock.available(kind, names)
