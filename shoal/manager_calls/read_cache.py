"""Answers of managers that are kept, so that they need not be sent, read and translated again while nothing changes."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shoal.rpc.conditional_reads import KNOWN_VIEW_KEY, is_unchanged, reported_view
from shoal.rpc.read_revisions import Metadata

R = TypeVar("R")

MAX_BYTES = 8 << 20
"""Of all answers as they were sent; in memory about twice as much. A list of a thousand containers has some 600 KB."""

Key = tuple[str, bytes, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class CachedAnswer(Generic[R]):
    """An answer, and what it is of.

    Attributes:
        message: shared; nobody changes it.
        view: of the manager's records; empty: it is of no view.
    """

    message: R
    view: str = ""


class ReadCache:
    """The newest answers to calls, the ones that were used last.

    Args:
        max_bytes: that are kept.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Key, tuple[CachedAnswer[Any], int]] = OrderedDict()

    def get(self, key: Key) -> CachedAnswer[Any] | None:
        """The last answer to a call: method, request and user."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def update(self, key: Key, before: CachedAnswer[Any] | None, message: Any, trailer: Metadata) -> CachedAnswer[Any]:
        """The answer of a call.

        Args:
            before: whose view the call has named; None: it has named none.
            message: that has come; empty where the answer before still holds.
            trailer: that has come with it.
        """
        if before is not None and is_unchanged(trailer):
            return before
        answer = CachedAnswer(message, reported_view(trailer))
        self._drop(key)
        size = message.ByteSize()
        if answer.view and size <= self._max_bytes:
            self._kept[key] = answer, size
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._kept)))
        return answer

    def _drop(self, key: Key) -> None:
        _, size = self._kept.pop(key, (None, 0))
        self._bytes -= size


def naming(known: CachedAnswer[Any] | None) -> tuple[tuple[str, str], ...]:
    """Metadata of a call whose last answer is kept."""
    return ((KNOWN_VIEW_KEY, known.view),) if known is not None else ()
