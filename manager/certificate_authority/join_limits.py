"""Bounds on wrong tokens, on joins and on renewals.

A secret of 125 bits is not found by guessing; these keep the log, the CPU and etcd free of those who try, and of those
whose token or certificate is in the wrong hands.
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
"""Of one party: it renews every 45 days, and tries once an hour while that fails."""
_MAX_PARTIES = 20_000


class FailedTokenLimit:
    """A few wrong tokens at once from one host, then one every ten seconds.

    Args:
        clock: seconds that only go up.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._wrong = LeakyBuckets(burst=BURST, seconds_each=SECONDS_EACH, clock=clock)

    def check(self, host: str) -> None:
        """Before a token is looked at.

        Raises:
            Exhausted: this host has given too many wrong ones.
        """
        if self._wrong.seconds_until_room(host) > 0:
            raise Exhausted(f"too many invalid join tokens from {host}; try again in a minute")

    def failed(self, host: str) -> None:
        """A token from this host was wrong."""
        self._wrong.add(host)


class IssuanceLimit:
    """How many certificates are given out.

    Args:
        clock: seconds that only go up.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._joins = LeakyBuckets(burst=JOINS_AT_ONCE, seconds_each=1 / JOINS_A_SECOND, clock=clock)
        self._renewals = LeakyBuckets(
            burst=RENEWALS_AT_ONCE, seconds_each=RENEWAL_SECONDS, clock=clock, max_keys=_MAX_PARTIES
        )

    def join(self) -> None:
        """A host with a right token joins. Raises Busy: too many do."""
        if (left := self._joins.seconds_until_room("")) > 0:
            raise Busy("too many hosts are joining; try again in a few seconds", max(1.0, left))
        self._joins.add("")

    def renewal(self, party: str) -> None:
        """A party renews its certificate. Raises Busy: it did so too often."""
        if (left := self._renewals.seconds_until_room(party)) > 0:
            raise Busy(f"too many certificate renewals by {party}; try again in a minute", left)
        self._renewals.add(party)
