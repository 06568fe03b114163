"""Rejects calls of a leader whose term is over: it was paused between recording a call and making it."""

from shoal.errors import Refused


class LeaderTerms:
    """Remembers the newest term that this node has heard of. Terms are numbered upwards.

    In memory: after a restart of the agent the next call of the leader says again which term it is.
    """

    def __init__(self) -> None:
        self._newest = 0

    def check(self, term: int) -> None:
        """Call before a leader's call is executed.

        Args:
            term: of the call; 0: of a manager of a release without terms, which is accepted.
        Raises:
            Refused: the term is over.
        """
        if term and term < self._newest:
            raise Refused(f"this call is of a leader whose term is over ({term}, the newest is {self._newest})")
        self._newest = max(self._newest, term)
