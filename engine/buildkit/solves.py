"""Solves that are under way: each is begun by one call, and what belongs to it comes by others."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from engine.buildkit.status_feed import StatusFeed
from engine.buildkit.v1.control_pb2 import SolveRequest
from engine.buildkit.v1.gateway_pb2 import ReturnRequest
from engine.server.callers import ApiCaller
from shoal.errors import AlreadyExists, InvalidInput, NotFound

WAIT_SECONDS = 10.0
"""For a solve that another call names: the client makes both at the same time."""
KEEP_SECONDS = 10.0
"""Of the progress of a solve that is over, for a client that has yet to ask for it, as BuildKit keeps it."""

Found = TypeVar("Found")
_Key = tuple[ApiCaller, str]


@dataclass
class RunningSolve:
    """One solve.

    Attributes:
        returned: what the client returns of the frontend that it calls.
        responses: of exporters, by the id of a result.
    """

    request: SolveRequest
    caller: ApiCaller
    feed: StatusFeed = field(default_factory=StatusFeed)
    returned: "asyncio.Future[ReturnRequest]" = field(default_factory=asyncio.Future)
    responses: dict[str, dict[str, str]] = field(default_factory=dict)


class Solves:
    """Found by the caller who has begun them, and by nobody else."""

    def __init__(self) -> None:
        self._solves: dict[_Key, RunningSolve] = {}
        self._unfollowed: dict[_Key, StatusFeed] = {}
        self._begun = asyncio.Event()

    @contextmanager
    def begin(self, caller: ApiCaller, request: SolveRequest) -> Generator[RunningSolve]:
        """A solve, until the exit.

        Raises:
            AlreadyExists: there is one of this `ref`. InvalidInput: it has no `ref`.
        """
        key = caller, request.ref
        if not request.ref:
            raise InvalidInput("a solve must have a ref")
        if key in self._solves:
            raise AlreadyExists(f"job ID {request.ref[:80]} exists")
        self._unfollowed.pop(key, None)
        solve = self._solves[key] = RunningSolve(request, caller)
        begun, self._begun = self._begun, asyncio.Event()
        begun.set()
        try:
            yield solve
        finally:
            del self._solves[key]
            solve.feed.end()
            self._keep(key, solve.feed)

    async def find(self, caller: ApiCaller, ref: str) -> RunningSolve:
        """A solve, as soon as it has begun.

        Raises:
            NotFound: it has not in `WAIT_SECONDS`.
        """
        return await self._wait(ref, lambda: self._solves.get((caller, ref)))

    async def progress(self, caller: ApiCaller, ref: str) -> StatusFeed:
        """The progress of a solve, as soon as it has begun; also if it is over, unless a client has followed it.

        Clients ask for it at the same time as for the solve, and a short one may be over before the question is here.

        Raises:
            NotFound: it has not begun in `WAIT_SECONDS`.
        """
        return await self._wait(ref, lambda: self._progress((caller, ref)))

    def _progress(self, key: _Key) -> StatusFeed | None:
        running = self._solves.get(key)
        return running.feed if running is not None else self._unfollowed.pop(key, None)

    def _keep(self, key: _Key, feed: StatusFeed) -> None:
        """Keep what nobody has followed, for a while."""
        if feed.is_followed:
            return
        self._unfollowed[key] = feed
        asyncio.get_running_loop().call_later(KEEP_SECONDS, self._forget, key, feed)

    def _forget(self, key: _Key, feed: StatusFeed) -> None:
        if self._unfollowed.get(key) is feed:
            del self._unfollowed[key]

    async def _wait(self, ref: str, look: Callable[[], Found | None]) -> Found:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while (found := look()) is None:
                    await self._begun.wait()
        except TimeoutError:
            raise NotFound(f"no such job {ref[:80]}") from None
        return found
