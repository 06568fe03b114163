"""The progress of one solve, from who builds to the client that follows it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from engine.buildkit.v1.control_pb2 import StatusResponse

MAX_WAITING = 512
"""Messages that the client has not taken: then the build waits for it; what nobody follows, loses its first ones."""
MAX_MERGED = 64
"""Messages that are sent as one."""


class StatusFeed:
    """For one event loop. One client follows; a further one sees what comes then.

    Attributes:
        is_followed: whether a client follows, or has.
    """

    def __init__(self) -> None:
        self._waiting: deque[StatusResponse] = deque()
        self._followers = 0
        self.is_followed = False
        self._is_over = False
        self._changed = asyncio.Event()

    async def put(self, response: StatusResponse) -> None:
        """Tell something; waits while the client takes no more."""
        while self._followers and len(self._waiting) >= MAX_WAITING:
            await self._wait()
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
        self._waiting.append(response)
        self._wake()

    def end(self) -> None:
        """Nothing more comes."""
        self._is_over = True
        self._wake()

    async def follow(self) -> AsyncGenerator[StatusResponse]:
        """What was told and is told, to the end."""
        self._followers += 1
        self.is_followed = True
        try:
            while self._waiting or not self._is_over:
                if self._waiting:
                    response = StatusResponse()
                    for _ in range(min(MAX_MERGED, len(self._waiting))):
                        response.MergeFrom(self._waiting.popleft())
                    self._wake()
                    yield response
                else:
                    await self._wait()
        finally:
            self._followers -= 1
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _wait(self) -> None:
        await self._changed.wait()
