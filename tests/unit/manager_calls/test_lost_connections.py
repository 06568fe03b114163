"""What programs that run on do with calls whose connection to a manager is lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio

from shoal.errors import Timeout, Unavailable
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.replaceable_channel import ReplaceableChannel
from shoal.resumption.repeated_request import RepeatedRequest

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
