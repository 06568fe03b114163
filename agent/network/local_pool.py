"""The node's own pool, for containers without a network: which one it is, and addresses of it. Pure."""

import logging
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network

from agent.network.netlink.messages import Network
from shoal.errors import Exhausted
from shoal.network_modes import NODE_POOL

log = logging.getLogger(__name__)

USUAL = IPv4Network(NODE_POOL)
CANDIDATES = (
    USUAL,
    *(IPv4Network((f"172.{second}.0.0", 16)) for second in (*range(29, 15, -1), 31)),
    *(IPv4Network((f"100.{second}.0.0", 16)) for second in range(64, 128)),
    *(IPv4Network((f"192.168.{third}.0", 20)) for third in range(0, 256, 16)),
)
"""Private addresses (RFC 1918), but for those that networks of the cluster get unasked, and carriers' (RFC 6598)."""


def choose_pool(
    *, told: IPv4Network | None, before: IPv4Network | None, used: Collection[IPv4Address], prefixes: Iterable[Network]
) -> IPv4Network:
    """The pool of this agent's life.

    Args:
        told: by the user, None for one that does not overlap the host's routes.
        before: of an earlier agent; it stays while containers have addresses of it.
        used: addresses of containers that an earlier agent left.
        prefixes: what the host routes besides us.
    """
    hidden = [prefix for prefix in prefixes if isinstance(prefix, IPv4Network)]
    if before is not None and any(address in before for address in used):
        return before
    if told is not None:
        return told
    wishes = (before, *CANDIDATES) if before is not None else CANDIDATES
    return next((each for each in wishes if not any(map(each.overlaps, hidden))), before or USUAL)


def tell_choice(pool: IPv4Network, *, told: IPv4Network | None, prefixes: Iterable[Network]) -> None:
    """Say in the log what is not as one would expect."""
    if told is not None and pool != told:
        log.warning(
            "Containers without a network have addresses of %s: --local-pool %s counts for an agent that is started "
            "when those have ended", pool, told,
        )  # fmt: skip
    elif told is None and pool != USUAL:
        log.info("Containers without a network get addresses of %s; --local-pool is for another choice", pool)
    for prefix in prefixes:
        if isinstance(prefix, IPv4Network) and prefix.overlaps(pool):
            log.warning(
                "The pool %s of containers without a network overlaps the host's route to %s, where they cannot go: "
                "choose another one by --local-pool", pool, prefix,
            )  # fmt: skip


def next_address(pool: IPv4Network, used: Collection[IPv4Address], last: IPv4Address | None) -> IPv4Address:
    """A free address, after the last one given, so that one that was just freed rests as long as possible.

    Raises:
        Exhausted: every address is used.
    """
    first, count = int(pool.network_address) + 1, pool.num_addresses - 2
    start = int(last) + 1 - first if last is not None and last in pool else 0
    taken = {int(address) for address in used}
    for step in range(count):
        candidate = first + (start + step) % count
        if candidate not in taken:
            return IPv4Address(candidate)
    raise Exhausted(f"all {count} addresses of {pool}, for containers without a network, are used on this node")
