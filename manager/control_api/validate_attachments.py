"""What makes a service's attachments to networks valid. Pure: yields every fault."""

from collections.abc import Iterator

from manager.control_api import bounds
from manager.control_api.text_rules import check_alias, check_distinct, check_ipv4, check_ipv6_address
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec, UpdateConfig
from shoal.errors import Fault
from shoal.network_modes import BRIDGE, HOST, NONE, is_mode


def check_attachments(path: str, spec: ServiceSpec) -> Iterator[Fault]:
    """Names, aliases, addresses asked for, and the words that stand for no network of the cluster."""
    networks = spec.task.networks
    if len(networks) > bounds.NETWORKS:
        yield Fault(path, f"has {len(networks)} networks; at most {bounds.NETWORKS} are allowed")
        return
    for index, attachment in enumerate(networks):
        yield from _check_attachment(f"{path}[{index}]", attachment, spec)
    yield from check_distinct(path, [attachment.network for attachment in networks])
    yield from _check_modes(path, spec)


def _check_attachment(path: str, attachment: NetworkAttachment, spec: ServiceSpec) -> Iterator[Fault]:
    if not attachment.network:
        yield Fault(f"{path}.network", "a name or id is needed")
    for number, alias in enumerate(attachment.aliases):
        yield from check_alias(f"{path}.aliases[{number}]", alias)
    yield from check_distinct(f"{path}.aliases", [alias.lower() for alias in attachment.aliases])
    if is_mode(attachment.network) and (attachment.aliases or attachment.address or attachment.address6):
        yield Fault(path, f'"{attachment.network}" has no names and no addresses of its own')
        return
    if attachment.address:
        yield from check_ipv4(f"{path}.address", attachment.address)
        yield from _check_one_task(f"{path}.address", spec)
    if attachment.address6:
        yield from check_ipv6_address(f"{path}.address6", attachment.address6)
        if not attachment.address:
            yield from _check_one_task(f"{path}.address6", spec)


def _check_one_task(path: str, spec: ServiceSpec) -> Iterator[Fault]:
    """An address is of one task."""
    if spec.WhichOneof("mode") == "global":
        yield Fault(path, "a global service has a task on each node; only one task can have an address")
    elif spec.replicated.replicas > 1:
        yield Fault(path, f"only one task can have it, and there are {spec.replicated.replicas} replicas")
    if spec.update.order == UpdateConfig.START_FIRST:
        yield Fault(path, "the old task has it until it has ended; update with stop-first")


def _check_modes(path: str, spec: ServiceSpec) -> Iterator[Fault]:
    modes = [attachment.network for attachment in spec.task.networks if is_mode(attachment.network)]
    if not modes:
        return
    if len(spec.task.networks) > 1:
        yield Fault(path, f'"{modes[0]}" cannot be combined with other networks')
    if HOST in modes and spec.endpoint.ports:
        yield Fault("endpoint.ports", "a task on the host's network listens on the node itself: publish none")
    if NONE in modes and spec.endpoint.ports:
        yield Fault("endpoint.ports", f'nobody reaches a task with network "{NONE}": publish none, or use "{BRIDGE}"')
