"""Nodes are removed by Docker's rules: none with a manager on its host."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request

from engine.cluster.home_node import HomeNode
from engine.handlers.swarm.node_handlers import NodeHandlers
from engine.protocol.errors import ApiError
from engine.protocol.versions import NEWEST
from engine.server.call import Call
from engine.server.callers import LOCAL
from shoal.api.v1.control_pb2 import ClusterView, ListManagersResponse, NodeView, RemoveNodeRequest, RemoveNodeResponse
from shoal.errors import Refused
from shoal.manager_calls.managers import Managers

NODE = "0123456789abc"


class OneNode:
    """The managers' calls of a cluster with one node.

    Attributes:
        removed: requests to remove it, with `force`.
    """

    def __init__(self, *, manager: bool = False, ready: bool = True) -> None:
        self.removed: list[bool] = []
        view = NodeView()
        view.node.meta.id = NODE
        managers = ListManagersResponse()
        managers.managers.add().manager.id = "m1"
        view.status.colocated_manager_id = "m1" if manager else ""

        async def remove(request: RemoveNodeRequest) -> RemoveNodeResponse:
            if ready and not request.force:
                raise Refused("is ready")
            self.removed.append(request.force)
            return RemoveNodeResponse(id=NODE)

        self.control = SimpleNamespace(
            GetNode=_answer(view), ListManagers=_answer(managers), GetCluster=_answer(ClusterView()), RemoveNode=remove
        )

    async def call(self, method: Callable[..., Awaitable[Any]], request: object) -> Any:
        return await method(request)


def _answer(message: object) -> Callable[..., Awaitable[object]]:
    async def answer(_: object) -> object:
        return message

    return answer


def remove(cluster: OneNode, query: str = "") -> None:
    managers = cast(Managers, cluster)
    handlers = NodeHandlers(managers, HomeNode(managers, "h1"))
    call = Call(make_mocked_request("DELETE", f"/nodes/{NODE}{query}"), NEWEST, {"id": NODE}, LOCAL)
    asyncio.run(handlers.remove(call))


@pytest.mark.parametrize("query", ["", "?force=1"])
def test_a_node_with_a_manager_stays_by_force_too(query: str) -> None:
    cluster = OneNode(manager=True, ready=False)
    with pytest.raises(ApiError, match="is a cluster manager and is a member of the raft cluster") as caught:
        remove(cluster, query)
    assert (caught.value.status, cluster.removed) == (400, [])


def test_one_that_is_ready_is_removed_by_force() -> None:
    cluster = OneNode()
    with pytest.raises(ApiError, match="FailedPrecondition"):
        remove(cluster)
    remove(cluster, "?force=1")
    assert cluster.removed == [True]
