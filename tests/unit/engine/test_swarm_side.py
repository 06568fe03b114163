"""The swarm side is hidden and shown again, for all clients; the spec that clients send is kept."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from engine.cluster.home_node import HomeNode
from engine.cluster.swarm_side import SwarmSide
from engine.handlers.ping import ping_routes
from engine.handlers.swarm.swarm_guard import guarded
from engine.handlers.swarm.swarm_handlers import SwarmHandlers
from engine.protocol.errors import ApiError
from engine.protocol.versions import NEWEST
from engine.server.call import Call
from engine.server.callers import LOCAL
from engine.server.routes import Route, RouteTable
from manager.cluster.cluster_handler import ClusterHandler
from shoal.api.v1.control_pb2 import JoinTokenView, ListJoinTokensResponse, ListNodesResponse, UpdateClusterRequest
from shoal.errors import PermissionDenied, Unavailable
from shoal.manager_calls.managers import Managers
from tests.unit.manager_api.cluster.cluster_rig import cluster_handler
from tests.unit.manager_api.control_rig import ADMIN


class OneCluster:
    """The managers' calls of a cluster with a node `h1`; none responds while `away`."""

    def __init__(self, cluster: ClusterHandler) -> None:
        self.away, self.calls = False, 0
        nodes = ListNodesResponse()
        home = nodes.nodes.add().node
        home.meta.id, home.spec.identity.hostname = "n" * 13, "h1"

        async def list_nodes(_: object, __: object) -> ListNodesResponse:
            return nodes

        async def list_tokens(_: object, __: object) -> ListJoinTokensResponse:
            if not self.sees_tokens:
                raise PermissionDenied("engines have no tokens")
            return ListJoinTokensResponse(tokens=[JoinTokenView(id="t2"), JoinTokenView(id="t1")])

        self.sees_tokens = True
        self.control = SimpleNamespace(
            GetCluster=cluster.get, UpdateCluster=cluster.update, ListNodes=list_nodes, ListJoinTokens=list_tokens
        )

    async def call(self, method: Callable[..., Awaitable[Any]], request: object, *, seconds: float = 0) -> Any:
        self.calls += 1
        if self.away:
            raise Unavailable("no manager responds")
        return await method(request, ADMIN)


class SentCall(Call):
    """A request whose body is at hand."""

    async def json_object(self, *, optional: bool = False) -> dict[str, Any]:
        body: Any = self.parameters["body"]
        return dict(body or {})


class Client:
    """Sends requests to the routes of the swarm and to one route of its side."""

    def __init__(self, calls: OneCluster) -> None:
        self.calls = calls
        managers = cast(Managers, calls)
        self.now = 0.0
        side = SwarmSide(managers, lambda: self.now)
        tasks = [Route("GET", "/tasks", _tasks, "TaskList")]
        self._routes = RouteTable(
            [
                *SwarmHandlers(managers, HomeNode(managers, "h1"), side).routes(),
                *guarded(tasks, side),
                *ping_routes(is_swarm_active=side.was_shown),
            ]
        )

    async def answer(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        response = await self.send(method, path, body)
        return json.loads(cast(bytes, response.body)) if response.body else None

    async def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> web.Response:
        request = make_mocked_request(method, path)
        found = self._routes.find(method, request.path)
        assert found is not None
        call = SentCall(request, NEWEST, cast(Any, {"body": body}), LOCAL)
        return cast(web.Response, await found[0].handler(call))

    async def refusal(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
        with pytest.raises(ApiError) as caught:
            await self.send(method, path, body)
        return int(caught.value.status), str(caught.value)


async def _tasks(call: Call) -> web.StreamResponse:
    return call.json([])


@asynccontextmanager
async def client() -> AsyncGenerator[Client]:
    async with cluster_handler() as cluster:
        yield Client(OneCluster(cluster))


def test_a_cluster_is_a_swarm_from_the_first() -> None:
    async def run() -> None:
        async with client() as docker:
            assert await docker.answer("GET", "/tasks") == []
            status, text = await docker.refusal("POST", "/swarm/init", {"ListenAddr": "0.0.0.0:2377"})
            assert (status, text.startswith("This node is already part of a swarm.")) == (503, True)
            assert (await docker.refusal("POST", "/swarm/join"))[0] == 503

    asyncio.run(run())


def test_to_leave_takes_force_and_hides_the_side_until_init() -> None:
    async def run() -> None:
        async with client() as docker:
            status, text = await docker.refusal("POST", "/swarm/leave")
            assert (status, "`--force`" in text) == (503, True)
            assert (await docker.send("POST", "/swarm/leave?force=1")).status == 200
            for method, path in (("GET", "/tasks"), ("GET", "/swarm"), ("POST", "/swarm/update?version=1")):
                status, text = await docker.refusal(method, path, {})
                assert (status, text.startswith("This node is not a swarm manager.")) == (503, True)
            assert await docker.refusal("POST", "/swarm/leave?force=1") == (503, "This node is not part of a swarm")
            assert (await docker.refusal("POST", "/swarm/join"))[0] == 501
            assert await docker.answer("POST", "/swarm/init", {}) == "n" * 13
            assert await docker.answer("GET", "/tasks") == []

    asyncio.run(run())


def test_the_first_answer_of_all_says_whether_it_is_shown_with_and_without_managers() -> None:
    async def run() -> None:
        async with client() as docker:
            assert (await docker.send("GET", "/_ping")).headers["Swarm"] == "active/manager"
            await docker.send("POST", "/swarm/leave?force=1")
            assert (await docker.send("HEAD", "/_ping")).headers["Swarm"] == "inactive"
            docker.calls.away = True
            assert (await docker.send("GET", "/_ping")).headers["Swarm"] == "inactive"

    asyncio.run(run())


def test_a_ping_is_answered_with_what_was_known_a_moment_ago() -> None:
    async def run() -> None:
        async with client() as docker:
            hidden = UpdateClusterRequest(swarm_hidden=True)

            async def swarm() -> str:
                return (await docker.send("GET", "/_ping")).headers["Swarm"]

            assert [await swarm() for _ in range(5)] == ["active/manager"] * 5
            assert docker.calls.calls == 1
            await docker.calls.call(docker.calls.control.UpdateCluster, hidden)  # by another engine
            docker.now += 2
            assert await swarm() == "active/manager"
            await asyncio.sleep(0.01)
            assert await swarm() == "inactive"
            docker.now += 60
            docker.calls.away = True
            assert await swarm() == "inactive"
            docker.calls.away = False
            await docker.send("POST", "/swarm/init", {})  # by this one: no answer is older
            assert await swarm() == "active/manager"

    asyncio.run(run())


def test_what_was_asked_before_a_change_says_nothing_of_after_it() -> None:
    async def run() -> None:
        async with client() as docker:
            get, answered = docker.calls.control.GetCluster, asyncio.Event()

            async def late(*arguments: object) -> object:
                found = await get(*arguments)
                await answered.wait()
                return found

            await docker.send("GET", "/_ping")
            docker.now += 2
            docker.calls.control.GetCluster = late
            await docker.send("GET", "/_ping")  # asks meanwhile
            await asyncio.sleep(0)
            docker.calls.control.GetCluster = get
            await docker.send("POST", "/swarm/leave?force=1")
            answered.set()
            await asyncio.sleep(0.01)
            assert (await docker.send("GET", "/_ping")).headers["Swarm"] == "inactive"

    asyncio.run(run())


def test_the_spec_is_kept_on_top_of_the_version_that_was_read() -> None:
    async def run() -> None:
        async with client() as docker:
            first = await docker.answer("GET", "/swarm")
            spec = {**first["Spec"], "Orchestration": {"TaskHistoryRetentionLimit": 3}, "Labels": {"a": "b"}}
            version = first["Version"]["Index"]
            await docker.send("POST", f"/swarm/update?version={version}", spec)
            second = await docker.answer("GET", "/swarm")
            assert second["Spec"] == spec
            assert second["Version"]["Index"] > version
            status, text = await docker.refusal("POST", f"/swarm/update?version={version}", spec)
            assert (status, "update out of sequence" in text) == (500, True)
            await docker.send("POST", "/swarm/leave?force=true")
            await docker.send("POST", "/swarm/init", {"Spec": {"Raft": {"ElectionTick": 0, "SnapshotInterval": 7}}})
            raft = (await docker.answer("GET", "/swarm"))["Spec"]["Raft"]
            assert (raft["SnapshotInterval"], raft["ElectionTick"]) == (7, 10)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"Raft": {"SnapshotInterval": -1}}, 400),
        ({"Raft": []}, 400),
        ({"Labels": {"a": 1}}, 400),
        ({"Labels": {"a": "b" * 65_536}}, 400),
        ({"EncryptionConfig": {"AutoLockManagers": True}}, 501),
    ],
)
def test_a_spec_that_is_not_valid_is_refused(spec: dict[str, Any], status: int) -> None:
    async def run() -> None:
        async with client() as docker:
            assert (await docker.refusal("POST", "/swarm/update?version=0", spec))[0] == status
            await docker.send("POST", "/swarm/leave?force=1")
            assert (await docker.refusal("POST", "/swarm/init", {"Spec": spec}))[0] == status
            assert (await docker.refusal("POST", "/swarm/init", {"AutoLockManagers": True}))[0] == 501

    asyncio.run(run())


def test_address_pools_of_init_are_those_of_the_cluster() -> None:
    async def run() -> None:
        async with client() as docker:
            usual = await docker.answer("GET", "/swarm")
            assert (usual["DefaultAddrPool"], usual["SubnetSize"]) == (None, 24)
            await docker.send("POST", "/swarm/leave?force=1")
            await docker.send("POST", "/swarm/init", {"DefaultAddrPool": ["2.0.0.0/16"], "SubnetSize": 28})
            shown = await docker.answer("GET", "/swarm")
            assert (shown["DefaultAddrPool"], shown["SubnetSize"]) == (["2.0.0.0/16"], 28)
            await docker.send("POST", "/swarm/leave?force=1")
            await docker.send("POST", "/swarm/init", {"DefaultAddrPool": None})
            shown = await docker.answer("GET", "/swarm")
            assert (shown["DefaultAddrPool"], shown["SubnetSize"]) == (["10.0.0.0/8"], 24)
            await docker.send("POST", "/swarm/leave?force=1")
            await docker.send("POST", "/swarm/init", {"DefaultAddrPool": [], "SubnetSize": 24})
            shown = await docker.answer("GET", "/swarm")
            assert (shown["DefaultAddrPool"], shown["SubnetSize"]) == (None, 24)

    asyncio.run(run())


def test_another_data_path_port_is_refused_by_name() -> None:
    async def run() -> None:
        async with client() as docker:
            status, text = await docker.refusal("POST", "/swarm/init", {"DataPathPort": 4242})
            assert (status, "--vxlan-port" in text) == (501, True)

    asyncio.run(run())


def test_ids_of_join_tokens_stand_for_them_where_they_may_be_known() -> None:
    async def run() -> None:
        async with client() as docker:
            assert (await docker.answer("GET", "/swarm"))["JoinTokens"] == {"Worker": "t1,t2", "Manager": ""}
            docker.calls.sees_tokens = False
            assert (await docker.answer("GET", "/swarm"))["JoinTokens"] == {"Worker": "", "Manager": ""}

    asyncio.run(run())
