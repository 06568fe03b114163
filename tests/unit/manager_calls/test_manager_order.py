"""Which manager an engine asks, and what it asks again."""

from types import SimpleNamespace

import grpc
import pytest
from grpc import aio

from shoal.manager_calls.manager_order import ManagerOrder
from shoal.manager_calls.read_attempts import ANSWER_SECONDS, LAGGING_ATTEMPTS, ReadAttempts, is_read


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def error(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> aio.AioRpcError:
    return aio.AioRpcError(code, aio.Metadata(), aio.Metadata())


def test_the_next_manager_comes_first_and_all_stay() -> None:
    order = ManagerOrder(["m1:1", "m2:1", "m3:1"])
    assert order.advance()
    assert order.addresses == ["m2:1", "m3:1", "m1:1"]
    alone = ManagerOrder(["m1:1"])
    assert not alone.advance()
    assert alone.addresses == ["m1:1"]


@pytest.mark.parametrize(
    ("name", "reads"),
    [("Control/GetNode", True), ("Containers/ListContainers", True), ("Containers/StatPath", True)]
    + [(f"Control/{name}", False) for name in ("CreateVolume", "RemoveNode", "StartContainer", "UpdateNode")],
)
def test_reads_are_known_by_name(name: str, reads: bool) -> None:
    assert is_read(SimpleNamespace(path=f"/shoal.api.v1.{name}")) == reads
    assert not is_read(lambda: None)


def test_reads_are_repeated_for_a_while_when_no_manager_answers() -> None:
    clock = Clock()
    attempts = ReadAttempts(clock)
    assert attempts.may_repeat(error(), asked=5, reported=None)
    delays = [attempts.delay() for _ in range(10)]
    assert delays == sorted(delays)
    assert sum(delays) < ANSWER_SECONDS
    clock.now += ANSWER_SECONDS
    assert not attempts.may_repeat(error(), asked=5, reported=None)


def test_what_a_manager_answers_stands_unless_it_lags_behind() -> None:
    attempts = ReadAttempts(Clock())
    assert not ReadAttempts(Clock()).may_repeat(error(), asked=5, reported=5), "a node that is away"
    assert not attempts.may_repeat(error(grpc.StatusCode.NOT_FOUND), asked=5, reported=None)
    assert not attempts.may_repeat(grpc.RpcError(), asked=5, reported=None)
    answers = [attempts.may_repeat(error(), asked=5, reported=4) for _ in range(LAGGING_ATTEMPTS)]
    assert answers == [True] * (LAGGING_ATTEMPTS - 1) + [False]
