"""Orders the planner's transactions of a term: each requires the previous one, so that none is applied late.

A transaction whose answer was lost may still be on its way through etcd, and its fence holds as long as the term does.
Made after the planner has planned anew, it would fill slots twice and bring deleted tasks back. So each transaction
rewrites one record and demands the version that the one before left. After a doubt the planner rewrites it alone:
what was under way has been made by then and is read, or is refused for ever.
"""

from collections.abc import Sequence
from typing import Protocol

from manager.store.changes import Expect, Write, expect, put
from manager.store.kinds import PLAN_SEQUENCE
from shoal.api.v1.cluster_pb2 import PlanSequence
from shoal.errors import Conflict, ShoalError, Unavailable


class Commits(Protocol):
    """What is needed of the store."""

    async def commit(
        self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None
    ) -> int: ...
    async def commit_in_batches(
        self, writes: Sequence[Write], *, fence: int | None = None, sequence: "CommitSequence | None" = None
    ) -> int: ...
    async def reached(self, revision: int) -> None: ...


class CommitSequence(Protocol):
    """The position of a transaction in its term's sequence."""

    def following(self) -> tuple[Write, Expect]:
        """The write that the next transaction has to make besides its own, and its condition."""
        ...

    def made(self, revision: int) -> None:
        """That transaction was made."""
        ...


class SequencedCommits:
    """Commits of one term, one after the other. Implements `CommitSequence`; not for several tasks at once.

    Args:
        fence: the term's number.
    """

    def __init__(self, *, store: Commits, fence: int) -> None:
        self._store = store
        self._fence = fence
        self._number = 0
        self._version: int | None = None

    async def barrier(self) -> None:
        """Wait until no transaction is in flight and the tables have all earlier ones. Quick if that is known.

        To be called before what is committed next is decided.

        Raises:
            Deposed: the term is over. Unavailable, Timeout: etcd is away; still in doubt.
        """
        if self._version is None:
            revision = await self._store.commit([self._next()], fence=self._fence)
            await self._store.reached(revision)
            self._version = revision

    async def commit(self, writes: Sequence[Write]) -> int:
        """Make the writes in order, in as many transactions as their bounds demand. `barrier` comes first.

        Returns:
            The last transaction's revision.

        Raises:
            As `Store.commit_in_batches`; what was decided is void then, and `barrier` is due.
        """
        try:
            return await self._store.commit_in_batches(writes, fence=self._fence, sequence=self)
        except Conflict as error:
            self._version = None
            raise Unavailable(f"a transaction with an unknown outcome was applied meanwhile: {error}") from error
        except ShoalError:
            self._version = None
            raise

    def following(self) -> tuple[Write, Expect]:
        assert self._version is not None, "settle comes before commit"
        return self._next(), expect(PLAN_SEQUENCE, "", self._version)

    def made(self, revision: int) -> None:
        self._version = revision

    def _next(self) -> Write:
        self._number += 1
        return put(PLAN_SEQUENCE, "", PlanSequence(term=self._fence, number=self._number))
