"""When a stream whose connection was lost is opened again, and for how long."""

from collections.abc import Callable
from typing import Protocol, TypeVar

Q = TypeVar("Q", covariant=True)
A = TypeVar("A")

RESUME_SECONDS = 15.0
"""For some manager to answer after a connection was lost; longer than managers need to elect a leader."""
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 1.0


class Resumption(Protocol[Q, A]):
    """The state of one stream."""

    def request(self) -> Q:
        """What to ask for; from the second time on, what follows the answers so far."""
        ...

    def unseen(self, answer: A) -> A | None:
        """What of an answer is new; None: nothing. It counts as seen from now on."""
        ...


class ResumeAttempts:
    """The attempts of one stream.

    Args:
        seconds: a clock that never goes back.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._begun = seconds()
        self._lost_at: float | None = None
        self._delay = _FIRST_DELAY

    def begin(self) -> None:
        """A call is made."""
        self._begun = self._seconds()

    def answered(self) -> None:
        """A manager has answered."""
        self._lost_at, self._delay = None, _FIRST_DELAY

    def may_repeat(self, *, lost: bool) -> bool:
        """Whether to open the stream again after an error.

        Args:
            lost: the call had reached a manager, and the connection to it was lost. Otherwise no manager answers, which
                counts only after a loss: a stream that never began fails at once.
        """
        now = self._seconds()
        if lost and now - self._begun > RESUME_SECONDS:
            self.answered()  # silent, but served
        if self._lost_at is None:
            if lost:
                self._lost_at = now
            return lost
        return now - self._lost_at < RESUME_SECONDS

    def delay(self) -> float:
        """Seconds before the next attempt, longer each time."""
        delay, self._delay = self._delay, min(self._delay * 2, _LONGEST_DELAY)
        return delay
