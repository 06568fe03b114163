"""What the authority needs of the store."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from manager.store.changes import Change, Expect, Write
from manager.store.kinds import Kind, M
from manager.store.tables import View


class Records(Protocol):
    """`manager.store.store.Store` is one."""

    @property
    def tables(self) -> View: ...
    def version_of(self, kind: Kind[M], identifier: str) -> int: ...
    def follow(self) -> AbstractContextManager[AsyncIterator[Sequence[Change]]]: ...
    async def commit(
        self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None
    ) -> int: ...
