"""Solves that are under way: each is begun by one call, and what belongs to it comes by others."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from engine.buildkit.status_feed import StatusFeed
from engine.buildkit.v1.control_pb2 import SolveRequest
from engine.buildkit.v1.gateway_pb2 import ReturnRequest
from engine.server.callers import ApiCaller
from shoal.errors import AlreadyExists, InvalidInput, NotFound

WAIT_SECONDS = 10.0
"""For a solve that another call names: the client makes both at the same time."""


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
        self._solves: dict[tuple[ApiCaller, str], RunningSolve] = {}
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
        solve = self._solves[key] = RunningSolve(request, caller)
        begun, self._begun = self._begun, asyncio.Event()
        begun.set()
        try:
            yield solve
        finally:
            del self._solves[key]
            solve.feed.end()

    async def find(self, caller: ApiCaller, ref: str) -> RunningSolve:
        """A solve, as soon as it has begun.

        Raises:
            NotFound: it has not in `WAIT_SECONDS`.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while (found := self._solves.get((caller, ref))) is None:
                    await self._begun.wait()
        except TimeoutError:
            raise NotFound(f"no such job {ref[:80]}") from None
        return found
