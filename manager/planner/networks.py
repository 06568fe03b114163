"""Gives each network its subnet, and widens it when its addresses are used up."""

import ipaddress
from collections.abc import Callable, Iterator

from manager.planner.addresses import BLOCK_LENGTH, PREFIX_LENGTH, free_subnet, widened
from manager.planner.draft import Draft
from manager.store.tables import View
from shoal.api.v1.network_pb2 import Network, NetworkAllocation
from shoal.network_modes import NODE_POOL

Taken = list[ipaddress.IPv4Network]


def plan_subnets(draft: Draft) -> None:
    """Allocate to networks that have none: what the user asks for first, then what nobody has, asks for or routes.

    One that overlaps another gets nothing; its tasks stay PENDING and say so.
    """
    view = draft.view
    for identifier in view.allocations:
        # The control API removes no network that a service attaches to; addresses still held keep the subnet.
        if identifier not in view.networks and not draft.ledger.pool(identifier).used:
            draft.allocate(identifier, None)
    waiting = sorted(
        (network for identifier, network in view.networks.items() if identifier not in view.allocations), key=_age
    )
    if not waiting:
        return
    taken = [ipaddress.IPv4Network(allocation.subnet) for allocation in view.allocations.values()]
    asked = [network for network in waiting if network.spec.subnet]
    _allocate(draft, asked, taken, _asked)
    hosts = list(host_prefixes(view))
    blocks = [ipaddress.IPv4Network(each.block) for each in view.allocations.values() if each.block]
    _choose(draft, [network for network in waiting if not network.spec.subnet], taken + hosts, blocks)


def _allocate(
    draft: Draft, networks: list[Network], taken: Taken, choose: Callable[[Network], ipaddress.IPv4Network | None]
) -> None:
    for network in networks:
        subnet = choose(network)
        if subnet is None or any(subnet.overlaps(other) for other in taken):
            continue
        taken.append(subnet)
        identifier = network.meta.id
        draft.allocate(identifier, NetworkAllocation(network_id=identifier, subnet=str(subnet)))


def _choose(draft: Draft, networks: list[Network], taken: Taken, blocks: Taken) -> None:
    """Each gets the beginning of a block that it may fill; when there are no blocks left, a subnet out of another's."""
    for network in networks:
        identifier = network.meta.id
        block = free_subnet(taken + blocks, BLOCK_LENGTH)
        if block is not None:
            subnet = next(block.subnets(new_prefix=PREFIX_LENGTH))
            blocks.append(block)
        elif (found := free_subnet(taken)) is not None:
            subnet = found
        else:
            return
        taken.append(subnet)
        allocation = NetworkAllocation(network_id=identifier, subnet=str(subnet), block=str(block or ""))
        draft.allocate(identifier, allocation)


def host_prefixes(view: View) -> Iterator[ipaddress.IPv4Network]:
    """What the nodes use themselves: their addresses, what they route, and the pool of tasks without a network."""
    yield ipaddress.IPv4Network(NODE_POOL)
    for status in view.node_status.values():
        for text in (status.description.address, *status.description.host_prefixes):
            try:
                yield ipaddress.IPv4Network(text)
            except ValueError:  # an agent's word, or an IPv6 address: no reason to plan nothing
                continue


def widen(draft: Draft, network_id: str) -> bool:
    """Give the network more addresses, if it may grow; whether it did."""
    allocation = draft.allocation(network_id)
    if allocation is None:
        return False
    view = draft.view
    others = [
        other.subnet
        for each in view.allocations.keys() | view.networks.keys()
        if each != network_id and (other := draft.allocation(each)) is not None
    ]
    subnet = widened(allocation.subnet, allocation.block, (*others, *map(str, host_prefixes(view))))
    if subnet is None:
        return False
    draft.allocate(network_id, NetworkAllocation(network_id=network_id, subnet=subnet, block=allocation.block))
    return True


def _asked(network: Network) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(network.spec.subnet)
    except ValueError:  # the control API refuses it; an old record must not end the leader's term
        return None


def _age(network: Network) -> tuple[int, str]:
    return network.meta.created_at_ms, network.meta.id
