"""Notes that an answer of a manager may be out of date, for whoever answers with it."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from shoal.rpc.read_revisions import Metadata, stale_since_ms


class StaleReads:
    """Of one request, which may make several calls.

    Attributes:
        since_ms: the earliest time since when a manager that answered was disconnected from etcd, milliseconds since
            the Unix epoch; 0: none was.
    """

    def __init__(self) -> None:
        self.since_ms = 0


_current: ContextVar[StaleReads | None] = ContextVar("stale reads", default=None)


@contextmanager
def noting_stale_reads() -> Generator[StaleReads]:
    """Note the answers to all calls within the block, those of tasks that begin in it too."""
    noted = StaleReads()
    token = _current.set(noted)
    try:
        yield noted
    finally:
        _current.reset(token)


def note_answer(trailer: Metadata) -> None:
    """A manager has answered with this trailing metadata."""
    noted, since_ms = _current.get(), stale_since_ms(trailer)
    if noted is not None and since_ms:
        noted.since_ms = min(noted.since_ms or since_ms, since_ms)
