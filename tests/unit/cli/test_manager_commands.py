"""`shoal manager` and `shoal cluster join-token`: filters, and completion of ids."""

from types import SimpleNamespace

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from cli.client import Client
from cli.commands.manager import list_managers
from cli.main import shoal
from shoal.api.v1.cluster_pb2 import RegisteredManager
from shoal.api.v1.control_pb2 import JoinTokenView, ListJoinTokensResponse, ListManagersResponse


class ListingClient(Client):
    """Of a cluster with two managers, one of them down, and a join token."""

    def __init__(self) -> None:
        managers = ListManagersResponse()
        managers.managers.add(manager=RegisteredManager(id="4m2k7x0q9z1ab"), alive=True, leader=True)
        managers.managers.add(manager=RegisteredManager(id="9fd1c0v5m2k8q"))
        tokens = ListJoinTokensResponse(tokens=[JoinTokenView(id="8x2k0c5v9m1qa", role="agent")])
        self.__dict__["control"] = SimpleNamespace(
            ListManagers=lambda request, timeout: managers, ListJoinTokens=lambda request, timeout: tokens
        )

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "of_context", lambda name: ListingClient())


def test_managers_are_listed_by_their_status() -> None:
    listed = CliRunner().invoke(list_managers, ["--filter", "status=down", "-q"])
    assert listed.stdout.split() == ["9fd1c0v5m2k8q"]


@pytest.mark.parametrize(
    ("words", "begun", "found"),
    [
        (("manager", "rm"), "", ["4m2k7x0q9z1ab", "9fd1c0v5m2k8q"]),
        (("manager", "inspect"), "9", ["9fd1c0v5m2k8q"]),
        (("manager", "promote"), "4m", ["4m2k7x0q9z1ab"]),
        (("manager", "ls", "--filter"), "status=d", ["status=down"]),
        (("cluster", "join-token", "rm"), "", ["8x2k0c5v9m1qa"]),
    ],
)
def test_ids_are_completed(words: tuple[str, ...], begun: str, found: list[str]) -> None:
    completed = ShellComplete(shoal, {}, "shoal", "_SHOAL_COMPLETE").get_completions([*words], begun)
    assert [each.value for each in completed] == found
