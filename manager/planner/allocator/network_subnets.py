"""Allocates a subnet to each network, and widens it when its addresses are used up."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network

from manager.planner.draft import Draft
from manager.planner.ipam.address_ranges import AddressRange, RangeSet, parse_range, parse_range6, range_of
from manager.planner.ipam.ipv6_addresses import cluster_prefix, free_ipv6_subnets
from manager.planner.ipam.network_pools import NetworkPools
from manager.store.tables import View
from shoal.api.v1.network_pb2 import Network, NetworkAllocation
from shoal.networks.network_modes import NODE_POOL


def plan_subnets(draft: Draft) -> None:
    """Allocate to networks that have none: requested subnets first, then ranges that nothing has, requests or routes.

    A requested subnet that overlaps another gets nothing; the network's tasks stay PENDING, with the reason.
    """
    view = draft.view
    for identifier in sorted(view.allocations.keys() - view.networks.keys()):
        # The API removes no network that a service attaches to; addresses that are still in use keep the subnet.
        if not draft.resources.pool(identifier).used:
            draft.allocate(identifier, None)
    waiting = sorted(map(view.networks.__getitem__, view.networks.keys() - view.allocations.keys()), key=_age)
    if not waiting:
        return
    subnets6 = _plan_ipv6(view, waiting)
    waiting = [network for network in waiting if network.meta.id in subnets6]
    taken = RangeSet(filter(None, (parse_range(allocation.subnet) for allocation in view.allocations.values())))
    _allocate_requested(draft, [network for network in waiting if network.spec.subnet], taken, subnets6)
    _allocate_any(draft, [network for network in waiting if not network.spec.subnet], taken, subnets6)


def _plan_ipv6(view: View, waiting: list[Network]) -> Mapping[str, str]:
    """The IPv6 subnet by network, empty for one without IPv6; networks that cannot have theirs are left out."""
    found = {network.meta.id: "" for network in waiting if not network.spec.ipv6}
    taken = RangeSet(filter(None, (parse_range6(each.subnet6) for each in view.allocations.values() if each.subnet6)))
    for network in waiting:
        # The API refuses an invalid subnet; an old record must not end the leader's term.
        requested = parse_range6(network.spec.subnet6) if network.spec.ipv6 and network.spec.subnet6 else None
        if requested is not None and not taken.overlaps(requested):
            taken.add(requested)
            found[network.meta.id] = str(IPv6Network(network.spec.subnet6))
    others = [network.meta.id for network in waiting if network.spec.ipv6 and not network.spec.subnet6]
    if others:
        identifier = view.cluster.meta.id if view.cluster is not None else ""  # created before anything else
        free = free_ipv6_subnets(cluster_prefix(identifier), [*taken, *host_ranges6(view)])
        found |= dict(zip(others, map(str, free), strict=False))
    return found


def _allocate_requested(draft: Draft, networks: list[Network], taken: RangeSet, subnets6: Mapping[str, str]) -> None:
    for network in networks:
        requested = parse_range(network.spec.subnet)  # an invalid one is skipped, as above
        if requested is None or taken.overlaps(requested):
            continue
        taken.add(requested)
        identifier, subnet = network.meta.id, str(IPv4Network(network.spec.subnet))
        allocation = NetworkAllocation(network_id=identifier, subnet=subnet, subnet6=subnets6[identifier])
        draft.allocate(identifier, allocation)


def _allocate_any(draft: Draft, networks: list[Network], taken: RangeSet, subnets6: Mapping[str, str]) -> None:
    """Each gets the beginning of a supernet that it may fill; when none is left, a subnet out of another's."""
    if not networks:
        return
    view, pools = draft.view, NetworkPools.of(draft.view.settings)
    used = [*taken, *draft.cached("prefixes of hosts", lambda: RangeSet(host_ranges(view)))]
    supernets = filter(None, (parse_range(each.supernet) for each in view.allocations.values() if each.supernet))
    free = pools.supernets([*used, *supernets])
    rest: Iterator[AddressRange] | None = None
    for network in networks:
        identifier = network.meta.id
        supernet = next(free, None)
        if supernet is None:
            rest = rest or pools.subnets(used)
        found = supernet if supernet is not None or rest is None else next(rest, None)
        if found is None:
            return
        subnet = IPv4Network((found[0], pools.prefix_length))
        used.append(range_of(subnet))
        allocation = NetworkAllocation(network_id=identifier, subnet=str(subnet), subnet6=subnets6[identifier])
        if supernet is not None:
            allocation.supernet = str(IPv4Network((supernet[0], pools.supernet_length)))
        draft.allocate(identifier, allocation)


def host_ranges(view: View) -> Iterator[AddressRange]:
    """What the nodes use themselves: their addresses, their routes, and the pool of tasks without a network."""
    texts = {NODE_POOL}
    for status in view.node_status.values():
        about = status.description
        texts.update((about.address, about.local_pool), about.host_prefixes)
    # A prefix that does not parse is of IPv6, or an agent's mistake, which must not stop planning.
    return filter(None, map(parse_range, texts))


def host_ranges6(view: View) -> Iterator[AddressRange]:
    """The IPv6 prefixes that the nodes use themselves."""
    texts = {text for status in view.node_status.values() for text in status.description.host_prefixes if ":" in text}
    return filter(None, map(parse_range6, texts))


def widen(draft: Draft, network_id: str) -> bool:
    """Double the network's subnet, if it may grow; whether it did."""
    allocation = draft.allocation(network_id)
    if allocation is None or allocation.supernet in ("", allocation.subnet):
        return False
    subnet = IPv4Network(allocation.subnet)
    wider = subnet.supernet()
    first, last = range_of(wider)
    own_first, own_last = range_of(subnet)
    more = (own_last + 1, last) if own_first == first else (first, own_first - 1)
    taken: RangeSet = draft.cached("subnets of networks", lambda: _subnets(draft))
    hosts: RangeSet = draft.cached("prefixes of hosts", lambda: RangeSet(host_ranges(draft.view)))
    if taken.overlaps(more) or hosts.overlaps((first, last)):
        return False
    taken.add(more)
    wide = NetworkAllocation()
    wide.CopyFrom(allocation)
    wide.subnet = str(wider)
    draft.allocate(network_id, wide)
    return True


def _subnets(draft: Draft) -> RangeSet:
    """The subnets of all networks. From the first widening in a pass on, nothing else changes them."""
    each = map(draft.allocation, draft.view.allocations.keys() | draft.view.networks.keys())
    return RangeSet(filter(None, (parse_range(allocation.subnet) for allocation in each if allocation is not None)))


def _age(network: Network) -> tuple[int, str]:
    return network.meta.created_at_ms, network.meta.id
