"""Rendezvous hashing: each client ranks servers in its own order, and all parties agree without communicating.

Rendezvous hashing (D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions
on Networking 6(1), 1998): when a server goes, its clients spread over all others, and nobody else moves.
"""

import hashlib
from collections.abc import Iterable


def ranked_servers(client: str, servers: Iterable[str]) -> list[str]:
    """The servers' ids, the one that this client prefers first."""
    return sorted(servers, key=lambda server: (_weight(client, server), server), reverse=True)


def _weight(client: str, server: str) -> bytes:
    return hashlib.blake2b(f"{client}/{server}".encode(), digest_size=8).digest()
