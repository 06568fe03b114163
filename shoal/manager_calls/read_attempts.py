"""When a call to a manager is made again: reads alone, which change nothing."""

from collections.abc import Callable

import grpc

ANSWER_SECONDS = 10.0
"""For some manager to answer a read; longer than a manager takes to end and another one to be connected to."""
LAGGING_ATTEMPTS = 3
"""At managers that have not seen what was written; each waits for it some seconds by itself."""
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 0.5

_READS = ("Get", "List", "Stat")


def is_read(method: object) -> bool:
    """Whether a method of a stub only reads, by its name."""
    return str(getattr(method, "path", "")).rpartition("/")[2].startswith(_READS)


class ReadAttempts:
    """The attempts of one read.

    Args:
        seconds: a clock that never goes back.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._begun = seconds()
        self._lagging = 0
        self._delay = _FIRST_DELAY

    def may_repeat(self, error: grpc.RpcError, *, asked: int, reported: int | None) -> bool:
        """Whether to try again after an error.

        Args:
            asked: the revision that the call asked for.
            reported: that the error reports; None: no manager has answered.
        """
        if not isinstance(error, grpc.aio.AioRpcError) or error.code() is not grpc.StatusCode.UNAVAILABLE:
            return False
        if reported is not None:  # a manager's own words: only a lag is its own affair
            self._lagging += 1
            return reported < asked and self._lagging < LAGGING_ATTEMPTS
        return self._seconds() - self._begun < ANSWER_SECONDS

    def delay(self) -> float:
        """Seconds before the next attempt, longer each time."""
        delay, self._delay = self._delay, min(self._delay * 2, _LONGEST_DELAY)
        return delay
