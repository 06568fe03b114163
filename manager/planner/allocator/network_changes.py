"""Addresses of a task that runs while its networks change: it keeps those that it has, and gets those that are new."""

from collections.abc import Sequence

from manager.planner.allocator.address_pool import AddressPool
from manager.planner.draft import Draft
from manager.planner.ipam.ipv6_addresses import ipv6_pool
from manager.planner.spec.requirements import Requirements
from shoal.api.v1.task_pb2 import TaskAddress


def changed_addresses(
    draft: Draft, demand: Requirements, present: Sequence[TaskAddress]
) -> tuple[list[TaskAddress], str]:
    """The addresses on all networks of the demand, and why one is lacking, one line for the user; empty: none is."""
    kept = {address.network_id: address for address in present}
    found: list[TaskAddress] = []
    for network_id in demand.networks:
        if (address := kept.get(network_id)) is not None:
            found.append(address)
            continue
        new, obstacle = _new_address(draft, demand, network_id)
        if obstacle:
            return [], obstacle
        found.append(new)
    return found, ""


def _new_address(draft: Draft, demand: Requirements, network_id: str) -> tuple[TaskAddress, str]:
    requested = dict(demand.requested_addresses)
    network, allocation = draft.view.networks.get(network_id), draft.allocation(network_id)
    if network is None or allocation is None:
        name = network.spec.name if network is not None else network_id
        return TaskAddress(), f"network {name} has no subnet"
    pools = [network_id, ipv6_pool(network_id)] if allocation.subnet6 else [network_id]
    opened = [AddressPool(draft, pool, requested.get(pool, "")) for pool in pools]
    for pool in opened:
        if obstacle := pool.obstacle():
            return TaskAddress(), obstacle
    texts = [pool.allocate() for pool in opened]
    return TaskAddress(network_id=network_id, address=texts[0], address6=texts[1] if len(texts) > 1 else ""), ""
