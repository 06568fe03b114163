"""Reads that are answered "unchanged" when nothing has changed since a client's last answer.

A manager reports with an answer that its records alone decide which view of the records it is of. A client that still
has the answer names that view with the same call: as long as the view is the manager's newest, it answers without a
message. A view is one manager's own; any other answers in full.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shoal.rpc.read_revisions import Metadata

VIEW_KEY = "shoal-view"
"""Trailing metadata of an answer: the view that it is of, or a newer one."""
KNOWN_VIEW_KEY = "shoal-known-view"
"""Metadata of a call: the view of an answer to the same call that the client still has."""
UNCHANGED_KEY = "shoal-unchanged"
"""Trailing metadata of an answer without contents: that answer still holds."""


@dataclass(frozen=True)
class ConditionalReads:
    """What a server answers so.

    Attributes:
        methods: full names of calls whose answers its records decide, for some requests at least; which, clients know.
        view: names the newest view of the records; another name after each change of them.
    """

    methods: frozenset[str]
    view: Callable[[], str]

    def view_for(self, method: str) -> str:
        """The view that a call which reads now will read; empty: its answers are not of records alone."""
        return self.view() if method in self.methods else ""


def view_trailer(view: str, *, unchanged: bool = False) -> tuple[tuple[str, str], ...]:
    """Trailing metadata of an answer; nothing where it is of no view."""
    if not view:
        return ()
    return ((VIEW_KEY, view), (UNCHANGED_KEY, "1")) if unchanged else ((VIEW_KEY, view),)


def known_view(metadata: Metadata) -> str:
    """The view that a client names; empty: none."""
    return _text(metadata, KNOWN_VIEW_KEY)


def reported_view(trailer: Metadata) -> str:
    """The view that an answer is of; empty: none."""
    return _text(trailer, VIEW_KEY)


def is_unchanged(trailer: Metadata) -> bool:
    """Whether an answer has no contents, since the last one still holds."""
    return bool(_text(trailer, UNCHANGED_KEY))


def _text(metadata: Metadata, key: str) -> str:
    value = dict(metadata).get(key, "")
    return value.decode(errors="replace") if isinstance(value, bytes) else value
