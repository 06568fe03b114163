"""Chooses the host ports of a task where the spec leaves them to the planner."""

from manager.planner.index.resource_index import NodeUsage, ResourceIndex
from manager.planner.scheduler.node_filters import free_ports
from manager.planner.spec.requirements import Requirements
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskPort


def choose_ports(resources: ResourceIndex, host: NodeUsage, demand: Requirements) -> list[TaskPort]:
    """The ports that the node publishes for one more task; each has a free number (`node_filters.unfit`)."""
    found = []
    chosen: set[int] = set()
    for port in demand.ports:
        published = port.published or _choose(resources, host, port, chosen)
        chosen.add(published)
        found.append(
            TaskPort(protocol=port.protocol, target=port.target, published=published, host_address=port.host_address)
        )
    return found


def _choose(resources: ResourceIndex, host: NodeUsage, port: PublishedPort, chosen: set[int]) -> int:
    numbers = free_ports(host, port)
    return next(each for each in numbers if each not in chosen and not resources.is_on_mesh(each))
