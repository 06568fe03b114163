"""Validation of a service's attachments to networks. Pure: yields every fault."""

from collections.abc import Iterator

from manager.validation import bounds
from manager.validation.text_rules import check_alias, check_distinct, check_ipv4, check_ipv6_address
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec, UpdateConfig
from shoal.errors import Fault
from shoal.networks.network_modes import BRIDGE, HOST, NONE, is_mode


def check_attachments(path: str, spec: ServiceSpec) -> Iterator[Fault]:
    """Names, aliases, static addresses and network modes."""
    networks = spec.task.networks
    if len(networks) > bounds.NETWORKS:
        yield Fault(path, f"has {len(networks)} networks; the maximum is {bounds.NETWORKS}")
        return
    for index, attachment in enumerate(networks):
        yield from _check_attachment(f"{path}[{index}]", attachment, spec)
    yield from check_distinct(path, [attachment.network for attachment in networks])
    yield from _check_modes(path, spec)


def _check_attachment(path: str, attachment: NetworkAttachment, spec: ServiceSpec) -> Iterator[Fault]:
    if not attachment.network:
        yield Fault(f"{path}.network", "is required: a network name or ID")
    for number, alias in enumerate(attachment.aliases):
        yield from check_alias(f"{path}.aliases[{number}]", alias)
    yield from check_distinct(f"{path}.aliases", [alias.lower() for alias in attachment.aliases])
    if is_mode(attachment.network) and (attachment.aliases or attachment.address or attachment.address6):
        yield Fault(path, f'"{attachment.network}" supports neither aliases nor static addresses')
        return
    if attachment.address:
        yield from check_ipv4(f"{path}.address", attachment.address)
        yield from _check_single_task(f"{path}.address", spec)
    if attachment.address6:
        yield from check_ipv6_address(f"{path}.address6", attachment.address6)
        if not attachment.address:
            yield from _check_single_task(f"{path}.address6", spec)


def _check_single_task(path: str, spec: ServiceSpec) -> Iterator[Fault]:
    """Only one task can have an address."""
    if spec.WhichOneof("mode") == "global":
        yield Fault(path, "a static address requires a service with one task; a global service has one task per node")
    elif spec.replicated.replicas > 1:
        yield Fault(
            path, f"a static address requires a service with one task; this one has {spec.replicated.replicas} replicas"
        )
    if spec.update.order == UpdateConfig.START_FIRST:
        yield Fault(
            path, "a static address requires update order stop-first: the old task keeps the address until it stops"
        )


def _check_modes(path: str, spec: ServiceSpec) -> Iterator[Fault]:
    modes = [attachment.network for attachment in spec.task.networks if is_mode(attachment.network)]
    if not modes:
        return
    if len(spec.task.networks) > 1:
        yield Fault(path, f'"{modes[0]}" cannot be combined with other networks')
    if HOST in modes and spec.endpoint.ports:
        yield Fault(
            "endpoint.ports",
            f'ports cannot be published with network "{HOST}": tasks '
            "listen on the node directly; remove the published ports",
        )
    if NONE in modes and spec.endpoint.ports:
        yield Fault(
            "endpoint.ports", f'ports cannot be published with network "{NONE}"; remove them, or use network "{BRIDGE}"'
        )
