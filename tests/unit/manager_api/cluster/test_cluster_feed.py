"""WatchCluster: everything, then what changes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from manager.cluster import cluster_feed
from manager.cluster.cluster_feed import ClusterFeed
from manager.store import kinds
from manager.store.changes import delete
from shoal.api.v1.control_pb2 import ClusterChanges, CreateServiceRequest, RemoveServiceRequest, WatchClusterRequest
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import InvalidInput
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api

Feed = AsyncGenerator[ClusterChanges, None]


def feed(api: Api) -> Feed:
    return ClusterFeed(store=api.store).watch(WatchClusterRequest(interval_ms=1), ADMIN)


async def snapshot(responses: Feed) -> ClusterChanges:
    """All parts in one."""
    found = ClusterChanges()
    async for each in responses:
        found.MergeFrom(each)
        if each.complete:
            return found
    raise AssertionError("the stream has ended")


async def following(responses: Feed) -> ClusterChanges:
    async with asyncio.timeout(60):
        return await anext(responses)


async def service(api: Api, name: str = "web") -> str:
    spec = spec_of(name)
    spec.task.reservations.nano_cpus, spec.task.reservations.memory_bytes = 500_000_000, 64 << 20
    spec.task.container.env.append("PASSWORD=x")
    return (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service.meta.id


def test_everything_that_there_is() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        identifier = await service(api)
        await api.put_task("t1", identifier, state=TaskState.FAILED, message="exit code 1")
        async with aclosing(feed(api)) as responses:
            found = await snapshot(responses)
        (node,), (status,), (web,), (task,) = found.nodes, found.node_status, found.services, found.tasks
        assert (node.meta.id, status.description.hostname) == ("node1", "h1")
        assert (web.spec.name, web.spec.replicated.replicas) == ("web", 2)
        assert (task.service_id, task.node_id, task.state) == (identifier, "node1", TaskState.FAILED)
        assert (task.message, task.reserved_nano_cpus) == ("exit code 1", 500_000_000)

    with_api(scenario)


def test_of_a_template_the_image_alone_is_sent() -> None:
    async def scenario(api: Api) -> None:
        await service(api)
        async with aclosing(feed(api)) as responses:
            (web,) = (await snapshot(responses)).services
        assert web.spec.task.container.image
        assert not web.spec.task.container.env
        (stored,) = api.store.tables.services.values()
        assert stored.spec.task.container.env  # the record itself is as it was

    with_api(scenario)


def test_what_changes_and_what_goes() -> None:
    async def scenario(api: Api) -> None:
        identifier = await service(api)
        async with aclosing(feed(api)) as responses:
            await snapshot(responses)
            await api.put_task("t1", identifier)
            appeared = await following(responses)
            assert [(each.id, each.state) for each in appeared.tasks] == [("t1", TaskState.RUNNING)]
            assert not (appeared.services or appeared.nodes)
            await api.services.remove(RemoveServiceRequest(service="web"), ADMIN)
            assert (await following(responses)).removed_services == [identifier]
            await api.store.commit([delete(kinds.TASK, "t1"), delete(kinds.TASK_STATUS, "t1")])
            assert (await following(responses)).removed_tasks == ["t1"]

    with_api(scenario)


def test_changes_while_the_client_is_slow_are_sent_once() -> None:
    async def scenario(api: Api) -> None:
        identifier = await service(api)
        async with aclosing(feed(api)) as responses:
            await snapshot(responses)
            for state in (TaskState.STARTING, TaskState.RUNNING, TaskState.FAILED):
                await api.put_task("t1", identifier, state=state)
            found = await following(responses)
        assert [each.state for each in found.tasks] == [TaskState.FAILED]

    with_api(scenario)


def test_the_first_change_comes_at_once_and_others_at_intervals() -> None:
    async def scenario(api: Api) -> None:
        identifier = await service(api)
        clock = asyncio.get_running_loop().time
        slow = WatchClusterRequest(interval_ms=400)
        async with aclosing(ClusterFeed(store=api.store).watch(slow, ADMIN)) as responses:
            await snapshot(responses)
            begin = clock()
            await api.put_task("t1", identifier)
            await following(responses)
            first = clock() - begin
            await api.put_task("t1", identifier, state=TaskState.FAILED)
            await following(responses)
            second = clock() - begin
        assert first < 0.4 <= second

    with_api(scenario)


def test_many_objects_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_feed, "OBJECTS_IN_RESPONSE", 2)

    async def scenario(api: Api) -> None:
        identifier = await service(api)
        async with aclosing(feed(api)) as responses:
            for number in range(5):
                await api.put_task(f"t{number}", identifier)
            parts = [await following(responses) for _ in range(2)]
            # Written when the snapshot is under way: as it is then, or as a change.
            await api.put_task("t4", identifier, state=TaskState.FAILED)
            parts.append(rest := await snapshot(responses))
            newest = {task.id: task.state for part in parts for task in part.tasks}
            if newest["t4"] != TaskState.FAILED:
                newest |= {task.id: task.state for task in (await following(responses)).tasks}
        assert sorted(newest) == ["t0", "t1", "t2", "t3", "t4"]
        assert newest["t4"] == TaskState.FAILED
        assert rest.complete

    with_api(scenario)


def test_an_interval_out_of_range_is_rejected() -> None:
    async def scenario(api: Api) -> None:
        responses = ClusterFeed(store=api.store).watch(WatchClusterRequest(interval_ms=10_001), ADMIN)
        with pytest.raises(InvalidInput, match="10001 is out of range"):
            await anext(responses)

    with_api(scenario)
