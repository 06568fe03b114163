"""Answers of a manager that is disconnected from the store say so, and the command line tells its user, once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from cli.client import Client
from cli.commands.manager import list_managers
from shoal.api.v1.cluster_pb2 import RegisteredManager
from shoal.api.v1.control_pb2 import GetClusterRequest, ListManagersResponse, ScaleServicesRequest
from shoal.errors import Unavailable
from shoal.rpc.read_revisions import (
    MIN_REVISION_KEY,
    NOT_MADE_KEY,
    REVISION_KEY,
    STALE_KEY,
    CacheBehind,
    Metadata,
    ReadRevisions,
    stale_since_ms,
)

SINCE_MS = 1_796_065_096_000


async def reached(_: int) -> None:
    pass


def test_an_answer_says_since_when_its_manager_is_disconnected() -> None:
    disconnected = ReadRevisions(newest=lambda: 7, reached=reached, stale_since_ms=lambda: SINCE_MS)
    assert stale_since_ms(disconnected.trailer()) == SINCE_MS
    assert stale_since_ms(ReadRevisions(newest=lambda: 7, reached=reached).trailer()) == 0


@pytest.mark.parametrize(("before", "now", "not_made"), [(0, 0, False), (0, 9, False), (9, 9, True), (9, 5009, False)])
def test_nothing_was_made_by_a_manager_that_was_disconnected_during_the_whole_call(
    before: int, now: int, not_made: bool
) -> None:
    revisions = ReadRevisions(newest=lambda: 7, reached=reached, stale_since_ms=lambda: now)
    assert (NOT_MADE_KEY in dict(revisions.error_trailer(before))) is not_made


def test_a_change_that_its_manager_could_not_wait_for_was_not_made() -> None:
    """So it is repeated at another manager, which may have seen what the user has read."""

    async def never(_: int) -> None:
        await asyncio.Event().wait()

    behind = ReadRevisions(newest=lambda: 5, reached=never, wait_seconds=0.01)
    with pytest.raises(CacheBehind, match="up to revision 5 only, not yet 7; try again") as raised:
        asyncio.run(behind.wait([(MIN_REVISION_KEY, "7")]))
    assert NOT_MADE_KEY in dict(behind.error_trailer(0, raised.value))
    assert NOT_MADE_KEY not in dict(behind.error_trailer(0, Unavailable("etcd is away")))


class Method:
    """Of a stub, whose answers have this trailing metadata."""

    def __init__(self, *trailer: tuple[str, str]) -> None:
        self.sent: list[Metadata] = []
        self._call = SimpleNamespace(trailing_metadata=lambda: trailer)

    def with_call(self, request: object, timeout: float | None, metadata: Metadata) -> tuple[str, Any]:
        del request, timeout
        self.sent.append(metadata)
        return "answer", self._call

    def __call__(self, request: object, timeout: float | None = None) -> str:
        raise AssertionError("without its metadata")


def asked(method: Method, times: int) -> None:
    client = Client.__new__(Client)
    for _ in range(times):
        assert client.call(method, GetClusterRequest()) == "answer"


def test_users_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    asked(Method((STALE_KEY, str(SINCE_MS))), 3)
    assert capsys.readouterr().err.count("disconnected from etcd since 20") == 1


def test_of_current_answers_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    asked(Method(("shoal-revision", "7")), 1)
    assert capsys.readouterr().err == ""


def test_a_change_asks_for_what_was_read_and_a_read_does_not() -> None:
    """Another manager may not have seen yet what a change names: the version of a service."""
    client, method = Client.__new__(Client), Method((REVISION_KEY, "7"))
    for request in (ScaleServicesRequest(), GetClusterRequest(), GetClusterRequest(), ScaleServicesRequest()):
        assert client.call(method, request) == "answer"
    assert method.sent == [(), (), (), ((MIN_REVISION_KEY, "7"),)]


class DisconnectedClient(Client):
    """Of a manager that has no majority; it lists two."""

    answers_are_stale = True

    def __init__(self) -> None:
        listed = ListManagersResponse(warning="1 of 3 managers is down")
        listed.managers.add(manager=RegisteredManager(id="m1"), alive=True, leader=True)
        listed.managers.add(manager=RegisteredManager(id="m2"), alive=False)
        self.__dict__["control"] = SimpleNamespace(ListManagers=lambda request, timeout: listed)

    def __exit__(self, *_: object) -> None:
        pass


def test_managers_of_a_stale_answer_are_neither_ready_nor_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "of_context", lambda name: DisconnectedClient())
    listed = CliRunner().invoke(list_managers, obj=None)
    assert [line.split()[:2] for line in listed.stdout.splitlines()[1:]] == [["m1", "unknown"], ["m2", "unknown"]]
    assert listed.stderr == ""
