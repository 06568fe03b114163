"""What the dispatcher needs of the store."""

from collections.abc import Sequence
from typing import Protocol

from manager.store.changes import Expect, Write
from manager.store.kinds import Kind, M
from manager.store.subscription import Subscription
from manager.store.tables import View


class Records(Protocol):
    """`manager.store.store.Store` is one."""

    @property
    def tables(self) -> View: ...

    @property
    def max_operations(self) -> int: ...

    @property
    def max_bytes(self) -> int: ...

    async def ready(self) -> None: ...

    async def commit(
        self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None
    ) -> int: ...

    def version_of(self, kind: Kind[M], identifier: str) -> int: ...

    def follow(self) -> Subscription: ...
