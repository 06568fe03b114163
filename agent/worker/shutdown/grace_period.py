"""The time that a container has to stop: from its first pre_stop hook, or else its stop signal, to SIGKILL."""

import asyncio


class GracePeriod:
    """The grace period of one task. Call it from the event loop.

    Attributes:
        is_signalled: the stop signal was sent.
        is_over: the time is over.
    """

    def __init__(self) -> None:
        self._began_at: float | None = None
        self.is_signalled = False
        self.is_over = False

    def begin(self) -> None:
        """It begins now, unless it has begun before."""
        if self._began_at is None:
            self._began_at = asyncio.get_running_loop().time()

    def signal(self) -> None:
        """The stop signal is being sent."""
        self.begin()
        self.is_signalled = True

    async def wait(self, wake: asyncio.Event, seconds: float) -> None:
        """Wait for the event; after the stop signal, no longer than until `seconds` from the beginning are over."""
        if self._began_at is None or not self.is_signalled or self.is_over:
            await wake.wait()
            return
        try:
            async with asyncio.timeout_at(self._began_at + seconds):
                await wake.wait()
        except TimeoutError:
            self.is_over = True
