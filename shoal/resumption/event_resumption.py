"""A stream of events that goes on at another manager."""

from collections import Counter, deque

from shoal.api.v1.control_pb2 import WatchEventsRequest, WatchEventsResponse
from shoal.api.v1.event_pb2 import Event

OVERLAP_MS = 5_000
"""Managers' clocks differ by less, or one of them does not lead."""
REMEMBERED = 20_000
"""Events that are compared after a loss; more do not come in the overlap."""


class EventResumption:
    """Events of which none is shown twice and none is left out, whichever manager reports them.

    Args:
        started_ms: now, by the caller's clock: where a stream without any event yet goes on.
    """

    def __init__(self, request: WatchEventsRequest, *, started_ms: int) -> None:
        self._original = request
        self._since_ms = request.since_ms or started_ms
        self._asked = False
        self._newest_ms = 0
        self._seen: deque[tuple[int, bytes]] = deque(maxlen=REMEMBERED)
        self._repeated: Counter[bytes] = Counter()

    def request(self) -> WatchEventsRequest:
        if not self._asked:
            self._asked = True
            return self._original
        self._repeated = Counter(key for _, key in self._seen)
        resumed = WatchEventsRequest()
        resumed.CopyFrom(self._original)
        resumed.since_ms = max(self._since_ms, self._newest_ms - OVERLAP_MS)
        return resumed

    def unseen(self, answer: WatchEventsResponse) -> WatchEventsResponse | None:
        if not answer.HasField("event"):
            return answer
        event, key = answer.event, _key(answer.event)
        if self._repeated[key] > 0 and event.at_ms <= self._newest_ms + OVERLAP_MS:
            self._repeated[key] -= 1
            return None
        self._newest_ms = max(self._newest_ms, event.at_ms)
        self._seen.append((event.at_ms, key))
        # Twice the overlap: another manager may have observed an event that much later or earlier than this one.
        while self._seen[0][0] < self._newest_ms - 2 * OVERLAP_MS:
            self._seen.popleft()
        return answer


def _key(event: Event) -> bytes:
    """What all managers say of an event alike."""
    same = Event()
    same.CopyFrom(event)
    same.ClearField("sequence")
    same.ClearField("at_ms")
    return same.SerializeToString(deterministic=True)
