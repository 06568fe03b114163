"""Builds attachments from assigned tasks, and from link aliases after an agent restart. Pure."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from agent.network.attachments.attachment import (
    Attachment,
    LinkAlias,
    Port,
    choose_egress_address,
    local_address6,
    port_from_message,
)
from agent.network.cluster_state.overlay_tables import OverlaySubnet
from agent.network.netlink.rtnetlink_dump import Link
from agent.worker.sandbox import NetworkOptions
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Refused, Unavailable


def new_attachment(
    task: Task, subnets: Mapping[str, OverlaySubnet], local: IPv4Address | None, options: NetworkOptions, *, ipv6: bool
) -> Attachment:
    """The attachment to create; the link is not known yet, nor is its MAC address unless the options have it.

    Args:
        local: address in the node-local pool, for a task that is to have one.
        ipv6: whether the node has IPv6.
    Raises:
        Unavailable: a network is not available on this node yet.
        Refused: a port that it publishes could not be reached.
    """
    addresses = _addresses(task, local)
    if unknown := addresses.keys() - subnets.keys() - {""}:
        raise Unavailable(f"network {min(unknown)} of task {task.id} is not available on this node yet")
    addresses6 = {network: address for network, address in _addresses6(task, ipv6) if subnets[network].prefix6}
    if local is not None and ipv6:
        addresses6 = {"": local_address6(local)} | addresses6
    egress = choose_egress_address(addresses, subnets, options.internal_only)
    egress6 = choose_egress_address(addresses6, subnets, options.internal_only)
    ports = tuple(map(port_from_message, task.ports))
    _check_ports(task, ports, egress, egress6)
    return Attachment(
        task.id,
        0,
        options.mac,
        addresses,
        egress,
        ports,
        tuple(map(ip_address, options.resolvers)),
        addresses6,
        egress6,
        options.container_id,
        options.links,
        options.aliases,
    )


def _addresses(task: Task, local: IPv4Address | None) -> dict[str, IPv4Address]:
    """By network; that in the node-local pool comes first, so that joining a network does not move its egress."""
    found = {"": local} if local is not None else {}
    return found | {each.network_id: IPv4Address(each.address) for each in task.addresses}


def _addresses6(task: Task, ipv6: bool) -> Iterable[tuple[str, IPv6Address]]:
    task_addresses = (task_address for task_address in task.addresses if task_address.address6 and ipv6)
    return ((each.network_id, IPv6Address(each.address6)) for each in task_addresses)


def _check_ports(
    task: Task,
    ports: Iterable[Port],
    egress: IPv4Address | IPv6Address | None,
    egress6: IPv4Address | IPv6Address | None,
) -> None:
    for each in ports:
        if egress is None:
            raise Refused(
                f"task {task.id} publishes ports, but all its networks are internal: "
                "remove the ports, or attach it to a network that is not internal"
            )
        if egress6 is None and each.host is not None and each.host.version == 6:
            raise Refused(
                f"task {task.id} publishes port {each.published} on {each.host} but has no IPv6 address: "
                "attach it to a network with IPv6, on a node that supports IPv6"
            )


def recovered_attachment(
    task: Task, link: Link, alias: LinkAlias, options: NetworkOptions, *, ipv6: bool
) -> Attachment:
    """The attachment that an earlier agent process created for the task, by its link's alias."""
    addresses = _addresses(task, alias.local)
    addresses6 = dict(_addresses6(task, ipv6))
    if alias.local is not None and alias.egress_address6 is not None:
        addresses6 = {"": local_address6(alias.local)} | addresses6
    ports = tuple(map(port_from_message, task.ports))
    return Attachment(
        task.id,
        link.index,
        alias.mac,
        addresses,
        alias.egress_address,
        ports,
        alias.resolvers,
        addresses6,
        alias.egress_address6 if ipv6 else None,
        options.container_id,
        options.links,
        options.aliases,
    )
