"""Resource usage is shown of containers by their names, in any of their forms."""

import pytest

from manager.agents.agent_address import AgentAddress
from manager.tasks.stats_handler import StatsHandler, selected_tasks
from shoal.api.v1.control_pb2 import StatsRequest
from shoal.api.v1.streams_pb2 import ReadUsageRequest, ReadUsageResponse, TaskUsage, UsageCounters
from shoal.container_ids import container_id
from shoal.errors import NotFound
from tests.unit.manager_api.containers.container_rig import ContainerRig, with_rig
from tests.unit.manager_api.control_rig import ADMIN


class Agents:
    at_ns = 1

    async def read_usage(self, agent: AgentAddress, request: ReadUsageRequest) -> ReadUsageResponse:
        self.at_ns += 200_000_000
        counters = UsageCounters(cpu_ns=9) if request.counters else None
        usage = [
            TaskUsage(task_id=each, at_ns=self.at_ns, memory_bytes=7, counters=counters) for each in request.task_ids
        ]
        return ReadUsageResponse(tasks=usage)


def test_by_name_and_id() -> None:
    async def scenario(rig: ContainerRig) -> None:
        view = rig.store.tables
        running = await rig.run("db")
        await rig.run("other")
        identifier = running.container.meta.id
        for reference in ("db", identifier, container_id(identifier)[:12]):
            assert [each.id for each in selected_tasks(view, StatsRequest(targets=[reference]))] == [running.task.id]
        assert len(selected_tasks(view, StatsRequest())) == 2
        with pytest.raises(NotFound):
            selected_tasks(view, StatsRequest(targets=["nobody"]))

    with_rig(scenario)


def test_rows_have_the_containers_name() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db")
        handler = StatsHandler(store=rig.store, usage_source=Agents())
        async for response in handler.watch(StatsRequest(targets=["db"], interval_ms=200), ADMIN):
            assert [(each.name, each.memory_bytes) for each in response.tasks] == [("db", 7)]
            assert not response.tasks[0].HasField("counters")
            break
        request = StatsRequest(targets=["db"], interval_ms=200, counters=True)
        async for response in handler.watch(request, ADMIN):
            assert [each.counters.cpu_ns for each in response.tasks] == [9]
            break

    with_rig(scenario)
