"""Chooses the node-local pool for containers without a network, and its next free address. Pure."""

import logging
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network

from agent.network.ip_types import Network
from shoal.errors import Exhausted
from shoal.networks.network_modes import NODE_POOL

log = logging.getLogger(__name__)

DEFAULT_POOL = IPv4Network(NODE_POOL)
CANDIDATES = (
    DEFAULT_POOL,
    *(IPv4Network((f"172.{second}.0.0", 16)) for second in (*range(29, 15, -1), 31)),
    *(IPv4Network((f"100.{second}.0.0", 16)) for second in range(64, 128)),
    *(IPv4Network((f"192.168.{third}.0", 20)) for third in range(0, 256, 16)),
)
"""Private addresses (RFC 1918) except those that cluster networks get by default, and carriers' (RFC 6598)."""


def choose_pool(
    *,
    configured: IPv4Network | None,
    previous: IPv4Network | None,
    used: Collection[IPv4Address],
    host_prefixes: Iterable[Network],
) -> IPv4Network:
    """The pool that this agent uses until it ends.

    Args:
        configured: by the user; None to choose one that does not overlap the host's routes.
        previous: pool of an earlier agent process; kept while containers have addresses in it.
        used: addresses of running containers.
        host_prefixes: routes of the host that are not ours.
    """
    routed = [prefix for prefix in host_prefixes if isinstance(prefix, IPv4Network)]
    if previous is not None and any(address in previous for address in used):
        return previous
    if configured is not None:
        return configured
    candidates = (previous, *CANDIDATES) if previous is not None else CANDIDATES
    return next((each for each in candidates if not any(map(each.overlaps, routed))), previous or DEFAULT_POOL)


def log_choice(pool: IPv4Network, *, configured: IPv4Network | None, host_prefixes: Iterable[Network]) -> None:
    """Log a pool that is not the expected one, and overlapping routes."""
    if configured is not None and pool != configured:
        log.warning(
            "Running containers without a network still use the pool %s; --local-pool "
                "%s takes effect once they have stopped and the agent restarts", pool, configured,
        )  # fmt: skip
    elif configured is None and pool != DEFAULT_POOL:
        log.info("Containers without a network use the pool %s; set --local-pool to change it", pool)
    for prefix in host_prefixes:
        if isinstance(prefix, IPv4Network) and prefix.overlaps(pool):
            log.warning(
                "The pool %s of containers without a network overlaps the host's route "
                    "to %s, which they cannot reach: set another pool with --local-pool", pool, prefix,
            )  # fmt: skip


def next_address(pool: IPv4Network, used: Collection[IPv4Address], last: IPv4Address | None) -> IPv4Address:
    """The next free address after the last one assigned, so that a freed one is reused as late as possible.

    Raises:
        Exhausted: every address is in use.
    """
    first, count = int(pool.network_address) + 1, pool.num_addresses - 2
    start = int(last) + 1 - first if last is not None and last in pool else 0
    used_numbers = {int(address) for address in used}
    for step in range(count):
        candidate = first + (start + step) % count
        if candidate not in used_numbers:
            return IPv4Address(candidate)
    raise Exhausted(
        f"no free address in {pool}, the pool for containers without "
        f"a network ({count} in use): set a larger one with --local-pool"
    )
