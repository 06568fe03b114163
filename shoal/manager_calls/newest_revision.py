"""The newest revision of the store that the managers have reported, which later calls ask for."""

from collections.abc import Callable

from shoal.rpc.read_revisions import MIN_REVISION_KEY, Metadata, reported_revision

REMEMBERED_SECONDS = 60.0
"""A store that is restored begins with lower revisions: after this time managers are not asked for a higher one."""


class NewestRevision:
    """Of all answers of the last minute. So an answer is never of an older view than the ones before it, whichever
    manager gives it.

    Args:
        seconds: a clock that never goes back.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._newest, self._reported_at = 0, 0.0

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call sends."""
        return ((MIN_REVISION_KEY, str(revision)),) if (revision := self.current()) else ()

    def update(self, trailer: Metadata) -> None:
        """Keep what an answer reports, if it is newer."""
        reported = reported_revision(trailer)
        if reported and reported >= self.current():
            self._newest, self._reported_at = reported, self._seconds()

    def current(self) -> int:
        """What calls ask for now; 0: nothing."""
        return self._newest if self._seconds() - self._reported_at < REMEMBERED_SECONDS else 0
