"""Which ports of its node a task gets, where the spec leaves that to the planner."""

from manager.planner.demand import Demand
from manager.planner.filters import free_numbers
from manager.planner.ledger import Host, Ledger
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskPort


def choose_ports(ledger: Ledger, host: Host, demand: Demand) -> list[TaskPort]:
    """The ports that the node publishes for one more task; there is a free number for each of them (`fitting`)."""
    found = []
    chosen: set[int] = set()
    for port in demand.ports:
        published = port.published or _choose(ledger, host, port, chosen)
        chosen.add(published)
        found.append(
            TaskPort(protocol=port.protocol, target=port.target, published=published, host_address=port.host_address)
        )
    return found


def _choose(ledger: Ledger, host: Host, port: PublishedPort, chosen: set[int]) -> int:
    numbers = free_numbers(host, port)
    return next(each for each in numbers if each not in chosen and not ledger.is_on_mesh(each))
