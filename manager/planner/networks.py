"""Gives each network its subnet, and widens it when its addresses are used up."""

import ipaddress
from collections.abc import Iterator, Mapping

from manager.planner.addresses import BLOCK_LENGTH, PREFIX_LENGTH, free_subnet, widened
from manager.planner.addresses6 import cluster_prefix, free_subnet6
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
    subnets6 = _plan_ipv6(view, waiting)
    waiting = [network for network in waiting if network.meta.id in subnets6]
    taken = [ipaddress.IPv4Network(allocation.subnet) for allocation in view.allocations.values()]
    asked = [network for network in waiting if network.spec.subnet]
    _allocate(draft, asked, taken, subnets6)
    hosts = list(host_prefixes(view))
    blocks = [ipaddress.IPv4Network(each.block) for each in view.allocations.values() if each.block]
    chosen = [network for network in waiting if not network.spec.subnet]
    _choose(draft, chosen, taken + hosts, blocks, subnets6)


def _plan_ipv6(view: View, waiting: list[Network]) -> Mapping[str, str]:
    """The IPv6 subnet by network, empty for one that has none; those that cannot have theirs are left out."""
    taken = [ipaddress.IPv6Network(each.subnet6) for each in view.allocations.values() if each.subnet6]
    found: dict[str, str] = {}
    for network in sorted(waiting, key=lambda each: not each.spec.subnet6):
        if not network.spec.ipv6:
            found[network.meta.id] = ""
            continue
        subnet = _asked6(network) if network.spec.subnet6 else _free6(view, taken)
        if subnet is not None and not any(map(subnet.overlaps, taken)):
            taken.append(subnet)
            found[network.meta.id] = str(subnet)
    return found


def _free6(view: View, taken: list[ipaddress.IPv6Network]) -> ipaddress.IPv6Network | None:
    identifier = view.cluster.meta.id if view.cluster is not None else ""  # it is there before anything else is
    return free_subnet6(cluster_prefix(identifier), [*taken, *host_prefixes6(view)])


def _asked6(network: Network) -> ipaddress.IPv6Network | None:
    try:
        return ipaddress.IPv6Network(network.spec.subnet6)
    except ValueError:  # the control API refuses it; an old record must not end the leader's term
        return None


def _allocate(draft: Draft, networks: list[Network], taken: Taken, subnets6: Mapping[str, str]) -> None:
    for network in networks:
        subnet = _asked(network)
        if subnet is None or any(subnet.overlaps(other) for other in taken):
            continue
        taken.append(subnet)
        identifier = network.meta.id
        allocation = NetworkAllocation(network_id=identifier, subnet=str(subnet), subnet6=subnets6[identifier])
        draft.allocate(identifier, allocation)


def _choose(draft: Draft, networks: list[Network], taken: Taken, blocks: Taken, subnets6: Mapping[str, str]) -> None:
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
        allocation.subnet6 = subnets6[identifier]
        draft.allocate(identifier, allocation)


def host_prefixes(view: View) -> Iterator[ipaddress.IPv4Network]:
    """What the nodes use themselves: their addresses, what they route, and the pool of tasks without a network."""
    yield ipaddress.IPv4Network(NODE_POOL)
    for status in view.node_status.values():
        about = status.description
        for text in (about.address, about.local_pool or NODE_POOL, *about.host_prefixes):
            try:
                yield ipaddress.IPv4Network(text)
            except ValueError:  # an agent's word, or an IPv6 address: no reason to plan nothing
                continue


def host_prefixes6(view: View) -> Iterator[ipaddress.IPv6Network]:
    """What the nodes themselves use of IPv6."""
    for status in view.node_status.values():
        for text in status.description.host_prefixes:
            if ":" in text:
                try:
                    yield ipaddress.IPv6Network(text)
                except ValueError:  # an agent's word: no reason to plan nothing
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
    wider = NetworkAllocation()
    wider.CopyFrom(allocation)
    wider.subnet = subnet
    draft.allocate(network_id, wider)
    return True


def _asked(network: Network) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(network.spec.subnet)
    except ValueError:  # the control API refuses it; an old record must not end the leader's term
        return None


def _age(network: Network) -> tuple[int, str]:
    return network.meta.created_at_ms, network.meta.id
