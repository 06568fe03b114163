"""Networks of the cluster for builds: made on the build's node, and nothing is left of one that is not there."""

import pytest

from manager.builds.build_network_records import BuildNetworkRecords
from shoal import ids
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.errors import InvalidInput, Refused
from tests.unit.manager_api.containers.container_rig import ContainerRig, with_rig


def networks(rig: ContainerRig) -> BuildNetworkRecords:
    return BuildNetworkRecords(store=rig.store, runs=rig.runs, now_ms=rig.clock, new_id=ids.new_id)


def test_a_network_is_a_task_on_the_builds_node_that_goes_when_it_ends() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.add_network("front", "10.9.0.0/24")
        task_id = await networks(rig).make("front", "b1", "h2")
        task = rig.store.tables.tasks[task_id]
        assert (task.node_id, [each.network_id for each in task.addresses]) == ("h2", ["front"])
        container = rig.container("build-b1")
        assert (container.definition.task.build_id, container.definition.auto_remove) == ("b1", True)
        await rig.report(TaskStatus(task_id=task_id, state=TaskState.COMPLETE))
        await rig.until(lambda: not rig.store.tables.containers and not rig.store.tables.tasks)

    with_rig(scenario)


@pytest.mark.parametrize("network", ["", "default", "none", "host"])
def test_what_nodes_have_by_themselves_needs_no_task(network: str) -> None:
    async def scenario(rig: ContainerRig) -> None:
        assert await networks(rig).make(network, "b1", "h2") == ""
        assert not rig.store.tables.containers

    with_rig(scenario)


def test_what_is_not_there_or_has_no_address_leaves_nothing() -> None:
    async def scenario(rig: ContainerRig) -> None:
        with pytest.raises(InvalidInput, match="front"):
            await networks(rig).make("front", "b1", "h2")
        assert not rig.store.tables.containers
        await rig.add_network("tiny", "10.9.0.0/24")
        rig.rejects.add("build-b2")
        with pytest.raises(Refused):
            await networks(rig).make("tiny", "b2", "h2")
        await rig.until(lambda: not rig.store.tables.containers)

    with_rig(scenario)
