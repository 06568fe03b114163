"""A backend that fails on demand, whatever backend it stands before: the in-memory one or a real etcd."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Literal

from manager.store.backend import Backend, Batch, Compare, Delete, OutcomeUnknown, Page, Put, Reading, TxnResult
from shoal.errors import Unavailable


class FaultyBackend:
    """Implements `Backend` by another one, with the faults that a test asks for."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self._watchable = asyncio.Event()
        self._watchable.set()
        self._cut = asyncio.Event()
        self._lost_answers: list[bool] = []
        self._to_hold: Callable[[Sequence[Put | Delete]], bool] | None = None
        self._held: list[tuple[Sequence[Compare], Sequence[Put | Delete]]] = []
        self.leases_live = True
        self.listed_pages = 0

    @property
    def max_operations(self) -> int:
        return self._inner.max_operations

    @property
    def max_bytes(self) -> int:
        return self._inner.max_bytes

    def cut_watches(self) -> None:
        """Break every watch; new ones wait for `mend_watches`."""
        self._watchable.clear()
        self._cut.set()

    def mend_watches(self) -> None:
        """Let watches be opened again."""
        self._cut = asyncio.Event()
        self._watchable.set()

    def lose_answer(self, *, made: bool) -> None:
        """The next transaction's answer is lost, after it was made or before."""
        self._lost_answers.append(made)

    def replace_history(self, inner: Backend) -> None:
        """From now on another etcd answers, as if this one had been restored."""
        self._inner = inner

    def hold(self, which: Callable[[Sequence[Put | Delete]], bool]) -> None:
        """The next transaction with such operations is under way, its answer lost, until `deliver` makes it."""
        self._to_hold = which

    def lose_no_more(self) -> None:
        """No answer is lost from now on; what is under way stays so."""
        self._lost_answers.clear()
        self._to_hold = None

    @property
    def held(self) -> int:
        """How many transactions are under way."""
        return len(self._held)

    async def deliver(self) -> list[bool]:
        """Let etcd look at the transactions that are under way; whether each was made."""
        held, self._held = self._held, []
        return [(await self._inner.txn(*each)).succeeded for each in held]

    async def range(
        self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0, keys_only: bool = False
    ) -> Page:
        self.listed_pages += 1
        return await self._inner.range(start, end, revision=revision, limit=limit, keys_only=keys_only)

    async def read(self, keys: Sequence[bytes]) -> Reading:
        return await self._inner.read(keys)

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        if self._to_hold is not None and self._to_hold(operations):
            self._to_hold = None
            self._held.append((compares, operations))
            raise OutcomeUnknown("the answer was lost on purpose, and the transaction is under way")
        if not self._lost_answers:
            return await self._inner.txn(compares, operations)
        if self._lost_answers.pop(0):
            await self._inner.txn(compares, operations)
        raise OutcomeUnknown("the answer was lost on purpose")

    async def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncGenerator[Batch, None]:
        await self._watchable.wait()
        cut = asyncio.ensure_future(self._cut.wait())
        try:
            async with aclosing(self._inner.watch(start, end, revision=revision)) as stream:
                while True:
                    yield await _first(anext(stream), cut)
        finally:
            cut.cancel()

    async def grant(self, ttl_seconds: int) -> int:
        if not self.leases_live:
            raise Unavailable("no lease is granted on purpose")
        return await self._inner.grant(ttl_seconds)

    async def keep_alive(self, lease: int) -> int:
        return await self._inner.keep_alive(lease) if self.leases_live else 0

    async def revoke(self, lease: int) -> None:
        await self._inner.revoke(lease)


async def _first(step: Awaitable[Batch], cut: asyncio.Future[Literal[True]]) -> Batch:
    """The watch's next batch, unless it is cut before."""
    reading: asyncio.Future[Batch] = asyncio.ensure_future(step)
    try:
        await asyncio.wait((reading, cut), return_when=asyncio.FIRST_COMPLETED)
        if cut.done():
            raise Unavailable("the watch was cut on purpose")
        return await reading
    finally:
        reading.cancel()
        await asyncio.wait({reading})
