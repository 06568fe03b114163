"""Gives each network its subnet, once."""

import ipaddress
from collections.abc import Callable

from manager.planner.addresses import free_subnet
from manager.planner.draft import Draft
from shoal.api.v1.network_pb2 import Network, NetworkAllocation


def plan_subnets(draft: Draft) -> None:
    """Allocate to networks that have none: what the user asks for first, then /24s that nobody has or asks for.

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
    _allocate(draft, [network for network in waiting if not network.spec.subnet], taken, lambda _: free_subnet(taken))


def _allocate(
    draft: Draft,
    networks: list[Network],
    taken: list[ipaddress.IPv4Network],
    choose: Callable[[Network], ipaddress.IPv4Network | None],
) -> None:
    for network in networks:
        subnet = choose(network)
        if subnet is None or any(subnet.overlaps(other) for other in taken):
            continue
        taken.append(subnet)
        identifier = network.meta.id
        draft.allocate(identifier, NetworkAllocation(network_id=identifier, subnet=str(subnet)))


def _asked(network: Network) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(network.spec.subnet)
    except ValueError:  # the control API refuses it; an old record must not end the leader's term
        return None


def _age(network: Network) -> tuple[int, str]:
    return network.meta.created_at_ms, network.meta.id
