"""Events of a stream that goes on at another manager, whose clock and numbers are its own."""

from shoal.api.v1.control_pb2 import WatchEventsRequest, WatchEventsResponse
from shoal.api.v1.event_pb2 import Event
from shoal.resumption.event_resumption import OVERLAP_MS, EventResumption

START = 1_000_000


def event(name: str, at_ms: int, *, sequence: int = 0, action: str = "running") -> WatchEventsResponse:
    return WatchEventsResponse(event=Event(type="task", action=action, name=name, at_ms=at_ms, sequence=sequence))


def names(resumption: EventResumption, *answers: WatchEventsResponse) -> list[str]:
    return [each.event.name for each in answers if resumption.unseen(each) is not None]


def begun(request: WatchEventsRequest | None = None) -> EventResumption:
    resumption = EventResumption(request or WatchEventsRequest(), started_ms=START)
    resumption.request()
    return resumption


def test_the_first_request_is_the_callers() -> None:
    request = WatchEventsRequest(since_ms=5, types=["task"])
    assert EventResumption(request, started_ms=START).request() == request


def test_a_stream_without_events_goes_on_where_it_began() -> None:
    assert begun().request().since_ms == START
    assert begun(WatchEventsRequest(since_ms=7)).request().since_ms == 7


def test_filters_and_the_end_stay() -> None:
    request = WatchEventsRequest(types=["task"], until_ms=9_000_000)
    resumed = begun(request).request()
    assert (list(resumed.types), resumed.until_ms) == (["task"], 9_000_000)


def test_no_event_is_shown_twice_and_none_is_left_out() -> None:
    resumption = begun()
    assert names(resumption, event("a", START + 10_000, sequence=1), event("b", START + 20_000, sequence=2)) == [
        "a",
        "b",
    ]
    assert resumption.request().since_ms == START + 20_000 - OVERLAP_MS
    # The other manager's clock is 300 ms ahead; `c` came while none was connected.
    again = event("b", START + 20_300, sequence=71), event("c", START + 20_400, sequence=72)
    assert names(resumption, *again) == ["c"]


def test_an_event_that_happens_again_is_shown_again() -> None:
    resumption = begun()
    assert names(resumption, event("a", START + 1), event("a", START + 2)) == ["a", "a"]
    resumption.request()
    assert names(resumption, event("a", START + 1), event("a", START + 2), event("a", START + 3)) == ["a"]
    resumption.request()
    much_later = START + 3 + OVERLAP_MS + 1
    assert names(resumption, event("a", much_later)) == ["a"]


def test_a_manager_may_be_lost_many_times() -> None:
    resumption, history = begun(), [event(str(number), START + number * 100) for number in range(200)]
    shown = []
    for end in (50, 51, 120, 200):
        since = resumption.request().since_ms
        shown += names(resumption, *(each for each in history[:end] if each.event.at_ms >= since))
    assert shown == [str(number) for number in range(200)]


def test_warnings_are_passed_on() -> None:
    assert begun().unseen(WatchEventsResponse(warning="some are missing")) is not None
