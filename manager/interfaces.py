"""Interfaces of the store and the registries, as the manager's rooms use them."""

from collections.abc import Callable, Sequence
from typing import Protocol

from manager.store.changes import Expect, Write
from manager.store.kinds import Kind, M
from manager.store.subscription import Subscription
from manager.store.tables import Tables
from shoal.distribution.resolve import ResolvedImage

NowMs = Callable[[], int]
"""Milliseconds since the Unix epoch."""


class RecordStore(Protocol):
    """The store, as the API uses it."""

    @property
    def tables(self) -> Tables: ...

    @property
    def max_operations(self) -> int:
        """How many writes, and how many expectations, a commit may have."""
        ...

    def version_of(self, kind: Kind[M], identifier: str) -> int:
        """The record's version for an `Expect`; ABSENT when it does not exist."""
        ...

    async def commit(self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None) -> int:
        """All writes or none; the revision they got.

        Raises:
            Conflict: an expectation does not hold. Unavailable: etcd is unavailable.
        """
        ...

    def follow(self) -> Subscription:
        """Every change from now on."""
        ...


class ImageResolver(Protocol):
    """Registries, as far as a submission needs them."""

    async def resolve(self, reference: str) -> ResolvedImage:
        """The image that a tag refers to at present.

        Raises:
            NotFound: there is no such image. Unauthenticated, PermissionDenied, Unavailable: from the registry.
        """
        ...
