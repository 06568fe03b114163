"""Read permissions of other nodes for volumes: granted by a manager, in memory only, with expiry."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from shoal.errors import InvalidInput, PermissionDenied

GRANT_SECONDS = 60.0
"""Lifetime without use. A manager creates a new grant for each attempt."""

MIN_BYTES, MAX_BYTES = 16, 64

GrantKey = tuple[str, int]
"""Volume id and slot."""


@dataclass
class _Grant:
    node_id: str
    secret: bytes
    expires: float


class ReadGrants:
    """At most one grant for each volume and slot.

    Args:
        now: seconds of a monotonic clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._grants: dict[GrantKey, _Grant] = {}

    def grant(self, key: GrantKey, node_id: str, secret: bytes) -> None:
        """Allow a node to read a volume. Raises InvalidInput if the secret is too short or too long."""
        if not MIN_BYTES <= len(secret) <= MAX_BYTES:
            raise InvalidInput(f"token: must be {MIN_BYTES} to {MAX_BYTES} bytes, not {len(secret)}")
        now = self._now()
        self._grants = {each: grant for each, grant in self._grants.items() if grant.expires > now}
        self._grants[key] = _Grant(node_id, secret, now + GRANT_SECONDS)

    def require(self, key: GrantKey, node_id: str, secret: bytes) -> None:
        """Check a grant and extend it. Raises PermissionDenied, with the same message whatever is wrong."""
        grant, now = self._grants.get(key), self._now()
        if (
            grant is None
            or grant.expires <= now
            or grant.node_id != node_id
            or not hmac.compare_digest(grant.secret, secret)
        ):
            raise PermissionDenied(f"node {node_id} is not allowed to read this volume")
        grant.expires = now + GRANT_SECONDS
