"""What makes a service's wishes about nodes valid, and what in them the cluster cannot fulfil now. Pure."""

import re
from collections.abc import Collection, Iterator, Sequence

from manager.control_api import bounds
from manager.control_api.text_rules import check_distinct, check_range
from manager.planner import constraints
from manager.planner.demand import demand_of
from manager.planner.filters import is_for
from manager.planner.generic import Stock
from manager.store.tables import View
from shoal.amounts import exact_size
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import Affinity, Placement, Preference, ServiceSpec
from shoal.cdi_names import ALL, is_device, is_kind
from shoal.device_names import ToldDevices
from shoal.errors import Fault, InvalidInput

PRIORITY_MOST = 1_000
WEIGHT_MOST = 1_000
GENERIC_MOST = 1_000
BINPACK = ("cpus", "memory", "load")

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


def check_placement(path: str, placement: Placement, service: str, *, on_each_node: bool = False) -> Iterator[Fault]:
    """Every fault that the wishes show by themselves.

    Args:
        on_each_node: the service has one task on each node.
    """
    lists = (placement.constraints, placement.spread, placement.preferences, placement.affinities)
    if any(len(entries) > bounds.CONSTRAINTS for entries in lists):
        yield Fault(path, f"has more than {bounds.CONSTRAINTS} constraints, preferences or affinities")
        return
    if on_each_node and placement.max_per_node:
        yield Fault(f"{path}.max_per_node", "is for replicated services; a global service has one task on each node")
    for index, text in enumerate(placement.constraints):
        yield from _check_text(f"{path}.constraints[{index}]", text)
    for index, key in enumerate(placement.spread):
        yield from _check_key(f"{path}.spread[{index}]", key)
    for index, preference in enumerate(placement.preferences):
        yield from _check_preference(f"{path}.preferences[{index}]", preference)
    for index, affinity in enumerate(placement.affinities):
        yield from _check_affinity(f"{path}.affinities[{index}]", affinity, service if on_each_node else "")


def check_generic(path: str, resources: Sequence[GenericResource]) -> Iterator[Fault]:
    """What a task reserves of generic resources: kinds, each once, with how many."""
    if len(resources) > bounds.CONSTRAINTS:
        yield Fault(path, f"has more than {bounds.CONSTRAINTS} kinds")
        return
    for index, each in enumerate(resources):
        of_cdi = is_kind(each.kind)
        if not (of_cdi or _KIND.fullmatch(each.kind)):
            text = "is no kind; letters, digits, '_', '.' and '-' are allowed, or a CDI kind, vendor.com/class"
            yield Fault(f"{path}[{index}].kind", f"{each.kind!r} {text}")
        if each.names and not of_cdi:
            yield Fault(f"{path}[{index}].names", "say how many; which ones a task gets is chosen for it")
        elif each.names:
            yield from _check_devices(f"{path}[{index}]", each)
        else:
            yield from check_range(f"{path}[{index}].count", each.count, 1, GENERIC_MOST)
    yield from check_distinct(path, [each.kind for each in resources])


def _check_devices(path: str, wanted: GenericResource) -> Iterator[Fault]:
    if wanted.count:
        yield Fault(f"{path}.count", "say how many, or which by name, not both")
    if len(wanted.names) > GENERIC_MOST:
        yield Fault(f"{path}.names", f"are more than {GENERIC_MOST}")
    for name in wanted.names:
        if not is_device(name) or name == ALL:
            yield Fault(f"{path}.names", f"{name!r} is no name of one device; say how many, or name each")
    yield from check_distinct(f"{path}.names", wanted.names)


def check_priority(path: str, priority: int) -> Iterator[Fault]:
    """-1000 to 1000."""
    yield from check_range(path, priority, -PRIORITY_MOST, PRIORITY_MOST)


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
    yield from check_range(f"{path}.weight", preference.weight, 0, WEIGHT_MOST)
    match preference.WhichOneof("kind"):
        case "spread":
            yield from _check_key(f"{path}.spread", preference.spread)
        case "binpack":
            if preference.binpack not in BINPACK:
                yield Fault(f"{path}.binpack", f"{preference.binpack!r} is not one of {', '.join(BINPACK)}")
        case _:
            yield Fault(path, "must be a spread or a binpack")


def _check_affinity(path: str, affinity: Affinity, global_service: str) -> Iterator[Fault]:
    yield from check_range(f"{path}.weight", affinity.weight, 0, WEIGHT_MOST)
    if not affinity.service:
        yield Fault(f"{path}.service", "the name of a service is needed")
    elif affinity.service == global_service:
        yield Fault(f"{path}.service", "is the service itself, which has one task on each node: name another one")
    if affinity.over:
        yield from _check_key(f"{path}.over", affinity.over)


def placement_warnings(view: View, spec: ServiceSpec, coming: Collection[str] = ()) -> Iterator[str]:
    """Wishes that no node fulfils now, one line each: the tasks would wait.

    Args:
        coming: names of services that the same call makes.
    """
    nodes = [
        (node, status)
        for identifier, node in view.nodes.items()
        if (status := view.node_status.get(identifier)) is not None and status.state == NodeStatus.READY
    ]
    demand = demand_of(spec)
    if not nodes or demand.fault:
        return
    for constraint in demand.constraints:
        if not any(constraint.admits(node, status) for node, status in nodes):
            yield f"no node meets the constraint {str(constraint)!r}, so the tasks wait until one does"
    for key in (*demand.spread, *(key for key, _ in demand.weighted)):
        if all(constraints.fact(key, node, status) is None for node, status in nodes):
            yield f"no node has {key}, so tasks are not spread over it"
    for affinity in spec.task.placement.affinities:
        if affinity.service not in (spec.name, *coming) and view.service_named(affinity.service) is None:
            yield f'there is no service "{affinity.service}" that an affinity names'
    yield from _amounts(spec, [status.description for _, status in nodes])


def _amounts(spec: ServiceSpec, nodes: Sequence[NodeDescription]) -> Iterator[str]:
    demand = demand_of(spec)
    most_cpus = max(node.resources.nano_cpus for node in nodes)
    most_memory = max(node.resources.memory_bytes for node in nodes)
    if demand.cpus > most_cpus:
        yield f"{demand.cpus / 1e9:g} CPUs are reserved, and no node has more than {most_cpus / 1e9:g}"
    if demand.memory > most_memory:
        yield f"{exact_size(demand.memory)} of memory are reserved, and no node has more than {exact_size(most_memory)}"
    for kind, wanted in demand.generic.items():
        names = demand.named.get(kind, ())
        most = max(_has(node, kind, names) for node in nodes)
        if wanted > most and names:
            yield f"{', '.join(f'{kind}={name}' for name in names)}: no node has that, by what agents tell of CDI"
        elif wanted > most:
            yield f"{wanted} of the generic resource {kind} are reserved, and no node has more than {most}"
    told = [ToldDevices(node.devices if node.HasField("devices") else None) for node in nodes] if demand.devices else []
    for device in demand.devices:
        if all(node.lacks([device]) for node in told):
            yield f"no node has the device {device}, so the tasks wait until one does"
    if demand.platforms and not any(is_for(demand.platforms, node.platform) for node in nodes):
        offered = ", ".join("/".join(platform) for platform in demand.platforms)
        yield f"the image is for {offered}, and no node is of that platform"


def _has(node: NodeDescription, kind: str, names: Sequence[str]) -> int:
    stock = Stock()
    stock.tell(node.resources.generic)
    return stock.free(kind, names)
