"""Limits on invalid tokens, joins and renewals.

A secret of 125 bits cannot be guessed; the limits protect the log, the CPU and etcd from those who try, and from those
who use a stolen token or certificate.
"""

from collections.abc import Callable

from manager.certificate_authority.leaky_buckets import MAX_KEYS, LeakyBuckets
from shoal.errors import Busy, Exhausted

BURST = 5
SECONDS_EACH = 10.0
MAX_HOSTS = MAX_KEYS

JOINS_AT_ONCE = 200
JOINS_A_SECOND = 20.0
"""Of all hosts together: each is a signature and a record."""

RENEWALS_AT_ONCE = 20
RENEWAL_SECONDS = 60.0
"""Of one certificate holder: it renews every 45 days, and retries once an hour while that fails."""
_MAX_HOLDERS = 20_000


class FailedTokenLimit:
    """A few invalid tokens at once from one host, then one every ten seconds.

    Args:
        clock: seconds that only go up.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._failures = LeakyBuckets(burst=BURST, seconds_each=SECONDS_EACH, clock=clock)

    def check(self, host: str) -> None:
        """Call before a token is checked.

        Raises:
            Exhausted: this host has sent too many invalid ones.
        """
        if self._failures.seconds_until_room(host) > 0:
            raise Exhausted(f"too many invalid join tokens from {host}; try again in a minute")

    def failed(self, host: str) -> None:
        """A token from this host was invalid."""
        self._failures.add(host)


class IssuanceLimit:
    """Limits how many certificates are issued.

    Args:
        clock: seconds that only go up.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._joins = LeakyBuckets(burst=JOINS_AT_ONCE, seconds_each=1 / JOINS_A_SECOND, clock=clock)
        self._renewals = LeakyBuckets(
            burst=RENEWALS_AT_ONCE, seconds_each=RENEWAL_SECONDS, clock=clock, max_keys=_MAX_HOLDERS
        )

    def join(self) -> None:
        """A host with a valid token joins. Raises Busy: too many do."""
        if (left := self._joins.seconds_until_room("")) > 0:
            raise Busy("too many hosts are joining; try again in a few seconds", max(1.0, left))
        self._joins.add("")

    def renewal(self, holder: str) -> None:
        """A holder renews its certificate. Raises Busy: it does so too often."""
        if (left := self._renewals.seconds_until_room(holder)) > 0:
            raise Busy(f"too many certificate renewals by {holder}; try again in a minute", left)
        self._renewals.add(holder)
