"""What an agent reports of its node's network is in the node's record, and stays there as sessions come and go."""

import asyncio
from pathlib import Path

from agent.network.condition_reporter import ConditionReporter
from manager.dispatcher.statuses.node_status_updates import MAX_PROBLEMS, with_condition
from shoal.api.v1.node_pb2 import HostListener, NetworkCondition, NodeDescription, NodeStatus
from tests.integration.session.session_rig import SessionRig, one_manager
from tests.polling import until


def test_the_condition_is_recorded_and_outlives_the_session(tmp_path: Path) -> None:
    rig = SessionRig(tmp_path)

    async def scenario() -> None:
        condition = ConditionReporter(now_ms=lambda: 7)
        condition.set_network(problems=["port 80/tcp is in use"], listeners=[HostListener(port=80)], underlay_mtu=1400)
        async with one_manager(rig, "n1") as manager:

            def status() -> NodeStatus:
                return manager.store.tables.node_status.get("n1", NodeStatus())

            async with rig.agent("n1", [manager.address], condition=condition):
                await until(lambda: list(status().network_condition.problems) == ["port 80/tcp is in use"])
                assert status().network_condition.listeners[0].port == 80
                assert status().description.underlay_mtu == 1400
                condition.record_repair(["the table was missing"])
                await until(lambda: status().network_condition.repaired.at_ms == 7)
            async with rig.agent("n1", [manager.address], condition=ConditionReporter(now_ms=lambda: 9)):
                await until(lambda: not status().network_condition.problems)
                assert status().state == NodeStatus.READY

    asyncio.run(scenario())


def test_a_record_holds_a_bounded_part_of_it() -> None:
    reported = NetworkCondition(
        problems=map(str, range(100)), listeners=[HostListener(port=each) for each in range(1000)]
    )
    kept = with_condition(NodeStatus(description=NodeDescription(underlay_mtu=1500)), reported)
    assert len(kept.network_condition.problems) == MAX_PROBLEMS
    assert len(kept.network_condition.listeners) == 256
    assert kept.description.underlay_mtu == 1500


def test_what_the_host_routes_now_takes_the_place_of_what_it_routed() -> None:
    status = NodeStatus(description=NodeDescription(host_prefixes=["10.9.0.0/16"]))
    assert with_condition(status, NetworkCondition(underlay_mtu=1500)).description.host_prefixes == ["10.9.0.0/16"]
    kept = with_condition(status, NetworkCondition(host_prefixes=[f"10.{each}.0.0/16" for each in range(255)] * 2))
    assert len(kept.description.host_prefixes) == 256
    # A description that the agent sends later, for another reason, has those of the agent's start.
    again = with_condition(status, kept.network_condition)
    assert again.description.host_prefixes == kept.description.host_prefixes
