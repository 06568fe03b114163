"""Orders the planner's transactions of a term: each requires the previous one, so that none is applied late.

A transaction whose response was lost may still be in flight, and its fence holds as long as the term does. Applied
after the planner's next pass, it would fill slots twice and restore deleted tasks. So each transaction rewrites one
record and requires the version that the previous one left. If an outcome is unknown, the planner rewrites that record
alone: what was in flight has been applied by then and is read, or is rejected forever.
"""

from collections.abc import Sequence

from manager.store.changes import Expect, Write, expect, put
from manager.store.kinds import PLAN_SEQUENCE
from manager.store.record_store import BatchStore
from shoal.api.v1.cluster_pb2 import PlanSequence
from shoal.errors import Conflict, ShoalError, Unavailable


class SequencedCommits:
    """Commits of one term, one after the other. Implements `CommitSequence`; not for several tasks at once.

    Args:
        fence: the term's number.
    """

    def __init__(self, *, store: BatchStore, fence: int) -> None:
        self._store = store
        self._fence = fence
        self._number = 0
        self._version: int | None = None

    async def barrier(self) -> None:
        """Wait until no transaction is in flight and the tables have all earlier ones. Returns at once if known.

        Call it before deciding what to commit next.

        Raises:
            LeadershipLost: the term is over. Unavailable, Timeout: etcd is unavailable; the outcome is still unknown.
        """
        if self._version is None:
            revision = await self._store.commit([self._next()], fence=self._fence)
            await self._store.reached(revision)
            self._version = revision

    async def commit(self, writes: Sequence[Write]) -> int:
        """Commit the writes in order, in as many transactions as their limits require. `barrier` comes first.

        Returns:
            The last transaction's revision.

        Raises:
            As `BatchStore.commit_in_batches`; then the decision is void, and `barrier` is due.
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
        assert self._version is not None, "barrier comes before commit"
        return self._next(), expect(PLAN_SEQUENCE, "", self._version)

    def committed(self, revision: int) -> None:
        self._version = revision

    def _next(self) -> Write:
        self._number += 1
        return put(PLAN_SEQUENCE, "", PlanSequence(term=self._fence, number=self._number))
