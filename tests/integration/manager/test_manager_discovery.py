"""Agents that joined when one manager ran go on with one that came later, and find managers that moved."""

import json
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from agent.session.manager_list import ManagerList
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.api.v1.control_pb2 import (
    ListManagersRequest,
    ListNodesRequest,
    RemoveManagerRequest,
)
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.identity.identity import Identity
from shoal.rpc.join import find_managers
from tests.integration.manager.manager_process import ManagerProcess, join_token_of, until
from tests.integration.manager.test_lost_leader import agent
from tests.integration.manager.test_two_managers import with_two


async def ready_at(control: Any, manager_id: str) -> bool:
    try:
        nodes = (await control.ListNodes(ListNodesRequest(), timeout=2)).nodes
    except aio.AioRpcError:
        return False
    return any(each.status.state == NodeStatus.READY and each.status.manager_id == manager_id for each in nodes)


async def managers(control: Any) -> dict[str, bool]:
    """Whether each lives, by the address of its API."""
    views = (await control.ListManagers(ListManagersRequest())).managers
    return {view.manager.api_address: view.alive for view in views}


async def is_away(control: Any, manager: ManagerProcess) -> bool:
    return not (await managers(control))[manager.api]


async def id_of(control: Any, manager: ManagerProcess) -> str:
    views = (await control.ListManagers(ListManagersRequest())).managers
    return next(str(view.manager.id) for view in views if view.manager.api_address == manager.api)


def kept(directory: Path) -> set[str]:
    """The addresses that the agent has on disk."""
    return {each["api_address"] for each in json.loads((directory / "managers.json").read_bytes())["managers"]}


def test_a_manager_that_came_later_takes_over(tmp_path: Path) -> None:
    async def scenario(first: ManagerProcess, one: Any, second: ManagerProcess, two: Any) -> None:
        token = await join_token_of(one)
        second_id = await id_of(one, second)
        second.stop()
        await until(lambda: is_away(one, second), "the first manager knows that the second one has ended")
        # As on the day when there was one manager only.
        await one.RemoveManager(RemoveManagerRequest(manager=second_id[:8]))
        async with agent(tmp_path, token, [first]):
            first_id = await id_of(one, first)
            await until(lambda: ready_at(one, first_id), "the node is ready at the first manager")
            assert kept(tmp_path) == {first.api}
            second.start()
            two = await second.ready()

            async def reported() -> bool:
                return kept(tmp_path) == {first.api, second.api}

            await until(reported, "the node to receive the second manager while its session lasts")
            first.kill()
            await until(lambda: ready_at(two, second_id), "the node goes on with the second manager")

            async def away() -> bool:
                return await managers(two) == {first.api: False, second.api: True}

            await until(away, "the lease of the first manager ends, and it is listed still")
            assert kept(tmp_path) == {first.api, second.api}
            with pytest.raises(aio.AioRpcError) as refused:
                await two.RemoveManager(RemoveManagerRequest(manager=second_id))
            assert refused.value.code() is StatusCode.FAILED_PRECONDITION
            await two.RemoveManager(RemoveManagerRequest(manager=first_id))

            async def forgotten() -> bool:
                return kept(tmp_path) == {second.api}

            await until(forgotten, "the node forgets the manager that was removed")

    with_two(tmp_path, scenario)


def test_the_join_address_lists_managers(tmp_path: Path) -> None:
    async def scenario(first: ManagerProcess, one: Any, second: ManagerProcess, two: Any) -> None:
        root = Identity.load(first.state / "admin").ca
        found = await find_managers(second.joining, root)
        assert {each.api_address for each in found} == {first.api, second.api}
        gone = [ManagerAddress(id="gone", api_address="127.0.0.1:1")]
        known = ManagerList(tmp_path / "list.json", node_id="n1", initial=gone, join_address=second.joining)
        known.mark_failed("127.0.0.1:1")
        assert known.all_failed
        known.update(await find_managers(known.join_address, root))
        assert set(known.addresses) == {first.api, second.api}

    with_two(tmp_path, scenario)


def test_a_node_none_of_whose_managers_answers_asks_where_it_joined(tmp_path: Path) -> None:
    async def scenario(first: ManagerProcess, one: Any, second: ManagerProcess, two: Any) -> None:
        token = await join_token_of(one)
        async with agent(tmp_path, token, [first], known=["127.0.0.1:1", "127.0.0.1:2"]):

            async def anywhere() -> bool:
                ids = [await id_of(one, each) for each in (first, second)]
                return any([await ready_at(one, each) for each in ids])

            await until(anywhere, "the node has found a manager")
            assert kept(tmp_path) == {first.api, second.api}

    with_two(tmp_path, scenario)
