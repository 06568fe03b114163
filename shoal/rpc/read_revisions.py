"""Reads follow own writes: answers report the store's revision, and calls may ask for a view that is no older.

Managers read from caches, each of its own age. A client that talks to several of them, one after the other, sends the
newest revision that it has received, and is answered once the manager's cache has it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from shoal.errors import InvalidInput, Unavailable

REVISION_KEY = "shoal-revision"
"""Trailing metadata of a manager's answers to users, errors too: the revision of the newest record that it has seen.
Decimal."""

STALE_KEY = "shoal-stale-since-ms"
"""Trailing metadata of the answers of a manager that is disconnected from the store: since when, milliseconds since the
Unix epoch. What it answers may be older than what other managers do."""

NOT_MADE_KEY = "shoal-not-made"
"""Trailing metadata of errors of a manager that has been disconnected from the store since before the call: nothing was
changed, and another manager may be able to."""

MIN_REVISION_KEY = "shoal-min-revision"
"""Metadata of a call: the revision that the answer's view must have at least. Decimal."""

WAIT_SECONDS = 5.0
"""Longer than etcd takes to deliver a revision that is of no record."""

SAME_SILENCE_MS = 1000
"""The same moment, computed twice of two clocks."""
_MAX_DIGITS = 19

Metadata = Iterable[tuple[str, str | bytes]]


class CacheBehind(Unavailable):
    """The call asks for a newer view than this server has: nothing was done, and another server may have it."""


@dataclass(frozen=True)
class ReadRevisions:
    """What a server does with revisions.

    Attributes:
        newest: revision of the newest record that this server has seen or written.
        reached: waits until everything up to a revision is in its cache.
        wait_seconds: that a call waits at most.
        stale_since_ms: since when this server is disconnected from the store, milliseconds since the Unix epoch;
            0: it is not.
    """

    newest: Callable[[], int]
    reached: Callable[[int], Awaitable[None]]
    wait_seconds: float = WAIT_SECONDS
    stale_since_ms: Callable[[], int] = lambda: 0

    async def wait(self, metadata: Metadata) -> None:
        """Wait until the cache has what the call asks for.

        Raises:
            InvalidInput: it asks for no revision. CacheBehind: the cache did not have it in time.
        """
        desired = min_revision(metadata)
        if not desired:
            return
        try:
            async with asyncio.timeout(self.wait_seconds):
                await self.reached(desired)
        except TimeoutError:
            raise CacheBehind(
                f"this manager has seen the store up to revision {self.newest()} only, not yet {desired}; try again"
            ) from None

    def trailer(self) -> tuple[tuple[str, str], ...]:
        """The trailing metadata of an answer."""
        since_ms = self.stale_since_ms()
        stale = ((STALE_KEY, str(since_ms)),) if since_ms else ()
        return ((REVISION_KEY, str(self.newest())), *stale)

    def error_trailer(self, stale_before_ms: int, error: Exception | None = None) -> tuple[tuple[str, str], ...]:
        """The trailing metadata of an error.

        Args:
            stale_before_ms: `stale_since_ms` when the call began.
            error: one of `wait` came before the call was executed.
        """
        since_ms = self.stale_since_ms()
        was_silent = bool(stale_before_ms and since_ms) and abs(since_ms - stale_before_ms) <= SAME_SILENCE_MS
        return (*self.trailer(), *(((NOT_MADE_KEY, "1"),) if was_silent or isinstance(error, CacheBehind) else ()))


def min_revision(metadata: Metadata) -> int:
    """The revision that a call asks for; 0: none.

    Raises:
        InvalidInput: it is not a number.
    """
    found = dict(metadata).get(MIN_REVISION_KEY)
    if found is None:
        return 0
    revision = _number(found)
    if revision is None:
        raise InvalidInput(f"{MIN_REVISION_KEY} must be a revision in decimal")
    return revision


def reported_revision(trailer: Metadata) -> int:
    """The revision that an answer reports; 0: none."""
    return _number(dict(trailer).get(REVISION_KEY, "")) or 0


def stale_since_ms(trailer: Metadata) -> int:
    """Since when the manager that answered is disconnected from the store; 0: it is not."""
    return _number(dict(trailer).get(STALE_KEY, "")) or 0


def _number(value: str | bytes) -> int | None:
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
    return int(text) if is_number else None
