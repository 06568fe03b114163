"""Services of so many tasks that connections cannot be spread over all of them."""

from collections.abc import Iterator

from shoal.api.v1.service_pb2 import Endpoint, ServiceSpec
from shoal.errors import Fault
from shoal.networks.load_balancing import MAX_BUCKETS, MAX_EVEN_TASKS
from shoal.networks.network_modes import is_mode
from shoal.networks.published_ports import mesh_ports


def check_balance(spec: ServiceSpec) -> Iterator[Fault]:
    """More replicas than connections to the service's address or ports can be balanced over."""
    field, replicas = _most_replicas(spec)
    if replicas > MAX_BUCKETS and _is_balanced(spec):
        yield Fault(
            field,
            f"load balancing supports at most {MAX_BUCKETS:,} tasks; use endpoint mode dnsrr, or several services",
        )


def balance_warnings(spec: ServiceSpec) -> Iterator[str]:
    """Fewer than that, but too many for even shares."""
    _, replicas = _most_replicas(spec)
    if replicas > MAX_EVEN_TASKS and _is_balanced(spec):
        yield (
            f"{spec.name}: with more than {MAX_EVEN_TASKS:,} tasks, "
            "some tasks receive up to twice as many connections as others"
        )


def _most_replicas(spec: ServiceSpec) -> tuple[str, int]:
    if spec.HasField("autoscale"):
        return "autoscale.max_replicas", spec.autoscale.max_replicas
    return "replicated.replicas", spec.replicated.replicas


def _is_balanced(spec: ServiceSpec) -> bool:
    """Whether it gets a virtual address, or ports on every node."""
    networks = any(not is_mode(attachment.network) for attachment in spec.task.networks)
    return bool(mesh_ports(spec)) or (networks and spec.endpoint.mode != Endpoint.DNSRR)
