"""Which of several servers a client prefers: each client has an order of its own, and all agree on it without talking.

Rendezvous hashing (D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions
on Networking 6(1), 1998): when a server goes, its clients spread over all others, and nobody else moves.
"""

import hashlib
from collections.abc import Iterable


def ranked(client: str, servers: Iterable[str]) -> list[str]:
    """The servers' ids, the one that this client prefers first."""
    return sorted(servers, key=lambda server: (_weight(client, server), server), reverse=True)


def _weight(client: str, server: str) -> bytes:
    return hashlib.blake2b(f"{client}/{server}".encode(), digest_size=8).digest()
