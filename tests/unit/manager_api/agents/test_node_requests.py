"""One call to many nodes: who responds, who does not, and how many are queried at a time."""

import asyncio

from manager.agents.agent_address import AgentAddress
from manager.agents.node_requests import query_nodes
from manager.store import kinds
from manager.store.changes import Change
from manager.store.tables import Tables
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus
from shoal.errors import Unavailable


def cluster(**states: "NodeStatus.State.ValueType") -> Tables:
    tables = Tables()
    for name, state in states.items():
        about = NodeDescription(hostname=name.upper(), address="192.0.2.1", stream_port=9)
        status = NodeStatus(node_id=name, state=state, description=about)
        tables.apply([Change(kinds.NODE_STATUS, name, None, status)], tables.revision + 1)  # type: ignore[arg-type]
    return tables


def test_nodes_without_a_response_are_named_in_order() -> None:
    async def call(agent: AgentAddress, request: int) -> str:
        if agent.node_id == "c":
            raise Unavailable(f"no response from {agent.address}")
        return f"{agent.node_id}{request}"

    view = cluster(a=NodeStatus.READY, b=NodeStatus.DOWN, c=NodeStatus.READY)
    requests = {"c": 1, "a": 2, "b": 3, "gone": 4}
    responses, failures = asyncio.run(query_nodes(view, requests, call))
    assert responses == {"a": "a2"}
    assert failures == ["node C: no response from 192.0.2.1:9", "node B is not ready", "node gone is not ready"]


def test_a_few_are_queried_at_a_time() -> None:
    async def scenario() -> int:
        running = most = 0

        async def call(agent: AgentAddress, request: int) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return request

        names = [f"n{number}" for number in range(10)]
        view = cluster(**dict.fromkeys(names, NodeStatus.READY))
        responses, _ = await query_nodes(view, dict.fromkeys(names, 1), call, at_once=3)
        assert list(responses) == names
        return most

    assert asyncio.run(scenario()) == 3
