"""A task that is to stop waits until every node has withdrawn it, whichever manager has their sessions."""

import asyncio
from pathlib import Path

from manager.store.changes import put
from manager.store.kinds import ALLOCATION, NETWORK, NODE, TASK_STATUS
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskState, TaskStatus
from tests.integration.session.session_rig import (
    ManagerProcess,
    RecordedAssignments,
    SessionRig,
    one_manager,
    put_task,
    task,
)
from tests.polling import until


def on_network(task_id: str, node_id: str, address: str, desired: TaskState.ValueType = TaskState.RUNNING) -> Task:
    made = task(task_id, node_id, desired)
    made.addresses.append(TaskAddress(network_id="front", address=address))
    return made


async def two_running(manager: ManagerProcess) -> None:
    network = Network(meta=Meta(id="front"), spec=NetworkSpec(name="front"))
    await manager.store.commit(
        [
            put(NETWORK, "front", network),
            put(ALLOCATION, "front", NetworkAllocation(network_id="front", subnet="10.0.0.0/24")),
        ]
    )
    await put_task(manager, on_network("t1", "n1", "10.0.0.2"), on_network("t2", "n2", "10.0.0.3"))
    running = (TaskStatus(task_id=task_id, state=TaskState.RUNNING) for task_id in ("t1", "t2"))
    await manager.store.commit([put(TASK_STATUS, each.task_id, each) for each in running])


async def stop_first(manager: ManagerProcess) -> None:
    await put_task(manager, on_network("t1", "n1", "10.0.0.2", TaskState.SHUTDOWN))


def is_ready(work: RecordedAssignments, task_id: str) -> bool:
    return task_id in work.assigned.endpoints and work.assigned.endpoints[task_id].ready


def is_drained(work: RecordedAssignments) -> bool:
    return "t1" in work.assigned.tasks and work.assigned.tasks["t1"].withdrawn


def test_the_word_comes_once_every_node_has_applied_the_withdrawal(tmp_path: Path) -> None:
    rig = SessionRig(tmp_path)

    async def scenario() -> None:
        async with (
            one_manager(rig, "n1", "n2", "n3") as manager,
            rig.agent("n1", [manager.address]) as one,
            rig.agent("n2", [manager.address]) as two,
            rig.agent("n3", [manager.address]) as stranger,
        ):
            stranger.silent = True
            await two_running(manager)
            await until(lambda: is_ready(one, "t1") and is_ready(two, "t1"))
            two.silent = True
            await stop_first(manager)
            await until(lambda: not is_ready(two, "t1") and not is_ready(one, "t1"))
            await put_task(manager, task("later"))
            await until(lambda: "later" in one.assigned.tasks)
            assert not is_drained(one)
            two.answers.put_nowait(two.messages[-1].sequence)
            await until(lambda: is_drained(one))
            assert two.assigned.endpoints["t1"].addresses[0].address == "10.0.0.2"

    asyncio.run(scenario())


def test_a_node_that_has_fallen_silent_is_waited_for_until_it_is_down(tmp_path: Path) -> None:
    rig = SessionRig(tmp_path)

    async def scenario() -> None:
        async with (
            one_manager(rig, "n1", "n2") as manager,
            rig.agent("n1", [manager.address]) as one,
            rig.frozen_agent("n2", manager.address),
        ):
            await two_running(manager)
            await until(lambda: is_ready(one, "t1"))
            await stop_first(manager)
            await until(lambda: not is_ready(one, "t1"))
            assert not is_drained(one)
            await until(lambda: manager.store.tables.node_status["n2"].state == NodeStatus.DOWN)
            await until(lambda: is_drained(one))

    asyncio.run(scenario())


def test_a_manager_that_starts_again_asks_again(tmp_path: Path) -> None:
    rig = SessionRig(tmp_path)

    async def scenario() -> None:
        async with one_manager(rig, "n1", "n2") as manager:
            await two_running(manager)
            await stop_first(manager)
        async with (
            rig.manager("m1") as again,
            rig.agent("n1", [again.address]) as one,
            rig.agent("n2", [again.address]),
        ):
            await until(lambda: is_drained(one))

    asyncio.run(scenario())


def test_nodes_of_another_manager_count_too(tmp_path: Path) -> None:
    rig = SessionRig(tmp_path)

    async def scenario() -> None:
        async with (
            one_manager(rig, "n1", "n2") as first,
            rig.manager("m2") as second,
            rig.agent("n1", [first.address]) as one,
            rig.agent("n2", [second.address]) as two,
        ):
            await first.store.commit([put(NODE, "n2", Node(meta=Meta(id="n2")))])
            await two_running(first)
            await until(lambda: is_ready(one, "t2") and is_ready(two, "t1"))
            two.silent = True
            await stop_first(first)
            await until(lambda: not is_ready(two, "t1"))
            await put_task(first, task("later"))
            await until(lambda: "later" in one.assigned.tasks)
            assert not is_drained(one)
            two.answers.put_nowait(two.messages[-1].sequence)
            await until(lambda: is_drained(one))

    asyncio.run(scenario())
