"""Which other node may read which volume, for how long: a manager's word, kept in memory alone."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from shoal.errors import InvalidInput, PermissionDenied

GRANT_SECONDS = 60.0
"""Without use. A manager gives a new one with each try."""

LEAST_BYTES, MOST_BYTES = 16, 64

Key = tuple[str, int]
"""Volume id and slot."""


@dataclass
class _Grant:
    node_id: str
    secret: bytes
    until: float


class Grants:
    """At most one for each volume and slot.

    Args:
        now: seconds of a clock that only goes forward.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._grants: dict[Key, _Grant] = {}

    def give(self, key: Key, node_id: str, secret: bytes) -> None:
        """Raises InvalidInput when the secret is too short, or too long."""
        if not LEAST_BYTES <= len(secret) <= MOST_BYTES:
            raise InvalidInput(f"grant: {len(secret)} bytes; {LEAST_BYTES} to {MOST_BYTES} are needed")
        now = self._now()
        self._grants = {each: grant for each, grant in self._grants.items() if grant.until > now}
        self._grants[key] = _Grant(node_id, secret, now + GRANT_SECONDS)

    def use(self, key: Key, node_id: str, secret: bytes) -> None:
        """Prolong it. Raises PermissionDenied, whatever is wrong with it, in the same words."""
        grant, now = self._grants.get(key), self._now()
        if (
            grant is None
            or grant.until <= now
            or grant.node_id != node_id
            or not hmac.compare_digest(grant.secret, secret)
        ):
            raise PermissionDenied(f"node {node_id} may not read this volume")
        grant.until = now + GRANT_SECONDS
