"""What programs that run on do with calls whose connection to a manager is lost."""

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import Any

import grpc
import pytest
from grpc import aio

from shoal.errors import Timeout, Unavailable
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.replaceable_channel import ReplaceableChannel
from shoal.manager_calls.stale_reads import noting_stale_reads
from shoal.resumption.repeated_request import RepeatedRequest
from shoal.rpc.read_revisions import NOT_MADE_KEY, STALE_KEY
from shoal.rpc.status_mapping import ORIGIN_KEY

LOST = "Socket closed"
NOT_SENT = "failed to connect to all addresses; last error: UNKNOWN: ipv4:192.0.2.1:7440: Connection refused"


def failure(details: str) -> aio.AioRpcError:
    return aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), details)


async def managers() -> Managers:
    return Managers(ReplaceableChannel(aio.insecure_channel("ipv4:192.0.2.1:7440")))


class Answers:
    """Of one call: texts, and at last perhaps an error."""

    def __init__(self, *answers: str | Exception) -> None:
        self._answers = answers

    async def __aiter__(self) -> AsyncIterator[str]:
        for each in self._answers:
            if isinstance(each, Exception):
                raise each
            yield each

    async def trailing_metadata(self) -> None:
        pass

    def cancel(self) -> None:
        pass


class Method:
    """Of a stub, whose calls answer so, one after the other."""

    def __init__(self, path: str, *answers: Any) -> None:
        self.path = path
        self.calls = 0
        self._answers = answers

    def __call__(self, request: object, **_: object) -> Any:
        del request
        self.calls += 1
        answer = self._answers[self.calls - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(("details", "kind"), [(LOST, Timeout), (NOT_SENT, Unavailable)])
def test_a_change_is_made_once_and_says_if_it_may_have_been(details: str, kind: type[Exception]) -> None:
    async def scenario() -> None:
        method = Method("/shoal.api.v1.Control/CreateNetwork", failure(details))
        with pytest.raises(kind) as caught:
            await (await managers()).call(method, object())
        assert ("may have been made" in str(caught.value)) is (kind is Timeout)
        assert method.calls == 1

    asyncio.run(scenario())


class Answer:
    """Of one call, with its trailing metadata."""

    def __init__(self, *trailer: tuple[str, str]) -> None:
        self._trailer = trailer

    def __await__(self) -> Generator[Any, None, str]:
        yield from asyncio.sleep(0).__await__()
        return "answer"

    async def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._trailer


REFUSED = aio.AioRpcError(
    grpc.StatusCode.UNAVAILABLE,
    aio.Metadata(),
    aio.Metadata((ORIGIN_KEY, "1"), (NOT_MADE_KEY, "1"), (STALE_KEY, "9000")),
    "nothing was changed",
)


@pytest.mark.parametrize(
    ("others", "answers", "calls"), [(1, (REFUSED, Answer()), 2), (1, (REFUSED, REFUSED), 2), (0, (REFUSED,), 1)]
)
def test_a_change_that_one_manager_refuses_for_its_etcd_is_made_by_another_once(
    others: int, answers: tuple[Any, ...], calls: int
) -> None:
    async def scenario() -> None:
        channel = ReplaceableChannel(aio.insecure_channel("ipv4:192.0.2.1:7440"))
        method = Method("/shoal.api.v1.Control/CreateNetwork", *answers)
        made = Managers(channel, use_next=lambda: bool(others)).call(method, object())
        if answers[-1] is REFUSED:
            with pytest.raises(Unavailable, match="nothing was changed"):
                await made
        else:
            assert await made == "answer"
        assert method.calls == calls

    asyncio.run(scenario())


def test_answers_that_may_be_out_of_date_are_noted_and_their_manager_is_left() -> None:
    async def scenario() -> None:
        left: list[bool] = []
        channel = ReplaceableChannel(aio.insecure_channel("ipv4:192.0.2.1:7440"))

        def use_next() -> bool:
            left.append(True)
            return True

        managers = Managers(channel, use_next=use_next)
        stale = [Answer((STALE_KEY, str(since))) for since in (9000, 8000)]
        method = Method("/shoal.api.v1.Control/GetCluster", *stale, Answer(), Answer())
        with noting_stale_reads() as noted:
            await asyncio.gather(*(managers.call(method, object()) for _ in range(3)))
        assert noted.since_ms == 8000
        assert left == [True], "all may be disconnected: they are not tried in turn with each call"
        with noting_stale_reads() as noted:
            await managers.call(method, object())
        assert not noted.since_ms

    asyncio.run(scenario())


def test_a_stream_goes_on_at_another_manager() -> None:
    async def scenario() -> None:
        turns = Answers("a", failure(LOST)), Answers(failure(NOT_SENT)), Answers("b")
        method = Method("/shoal.api.v1.Control/WatchEvents", *turns)
        stream = (await managers()).resumed_stream(method, RepeatedRequest("all"))
        assert [each async for each in stream] == ["a", "b"]

    asyncio.run(scenario())


def test_a_stream_that_never_began_fails_at_once() -> None:
    async def scenario() -> None:
        method = Method("/shoal.api.v1.Control/WatchEvents", Answers(failure(NOT_SENT)))
        with pytest.raises(Unavailable):
            await anext((await managers()).resumed_stream(method, RepeatedRequest("all")))
        assert method.calls == 1

    asyncio.run(scenario())
