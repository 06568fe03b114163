"""Events: what is told of which change, what is remembered, and what becomes of slow readers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import pytest

from cli.commands.events import line, request_of
from manager.events.event_builder import ObservedChange, events_of, observe
from manager.events.event_log import EventLog
from manager.events.recent_changes import RecentChanges
from manager.store import kinds
from manager.store.changes import delete, put
from manager.store.event_archive import EventArchive
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    RemoveServiceRequest,
    UpdateServiceRequest,
    WatchEventsRequest,
    WatchEventsResponse,
)
from shoal.api.v1.node_pb2 import HostListener, NetworkCondition, NetworkRepair, NodeStatus, PathFault
from shoal.api.v1.service_pb2 import AutoscaleStatus, ServiceSpec, ServiceStatus
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.errors import InvalidInput
from shoal.task_group import TaskGroup
from tests.fakes.memory_etcd import MemoryEtcd
from tests.unit.dispatcher.dispatcher_world import World
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api

NOW_MS = 1_000_000


@asynccontextmanager
async def remembering(api: Api, *, kept: int = 1000) -> AsyncGenerator[EventLog]:
    events = EventLog(
        store=api.store, now_ms=lambda: NOW_MS, archive=EventArchive(MemoryEtcd()), changes=RecentChanges(capacity=kept)
    )
    async with TaskGroup() as group:
        running = group.create_task(events.run())
        await asyncio.sleep(0)
        yield events
        running.cancel()


async def reported(events: EventLog, **filters: object) -> list[WatchEventsResponse]:
    """Everything up to now."""
    await asyncio.sleep(0)
    request = WatchEventsRequest(since_ms=1, until_ms=NOW_MS, **filters)  # type: ignore[arg-type]
    return [response async for response in events.watch(request, ADMIN)]


async def lines(events: EventLog, **filters: object) -> list[str]:
    responses = await reported(events, **filters)
    return [line(response.event).partition(" ")[2] for response in responses if response.HasField("event")]


def test_the_life_of_a_service() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        async with remembering(api) as events:
            service = (await api.services.create(CreateServiceRequest(spec=spec_of()), ADMIN)).service
            await api.put_task("t1", service.meta.id, state=TaskState.PREPARING)
            await api.put_task("t1", service.meta.id, state=TaskState.FAILED, message="exit code 3")
            changed = ServiceSpec()
            changed.CopyFrom(service.spec)
            changed.replicated.replicas = 7
            await api.services.update(
                UpdateServiceRequest(service="web", version=service.meta.version, spec=changed), ADMIN
            )
            await api.services.remove(RemoveServiceRequest(service="web"), ADMIN)
            assert await lines(events) == [
                "service create web",
                "task assigned web.1 on h1",
                "task preparing web.1 on h1",
                "task failed web.1 on h1: exit code 3",
                "service update web: revision 2: replicated.replicas",
                "service remove web",
            ]

    with_api(scenario)


def test_a_service_that_the_planner_fails_at() -> None:
    async def scenario(api: Api) -> None:
        async with remembering(api) as events:
            service = (await api.services.create(CreateServiceRequest(spec=spec_of()), ADMIN)).service
            identifier = service.meta.id
            for fault in ("it fails (KeyError)", ""):
                status = ServiceStatus(service_id=identifier, planning_error=fault, handled_rebalance_at_ms=len(fault))
                await api.store.commit([put(kinds.SERVICE_STATUS, identifier, status)])
            assert (await lines(events))[1:] == [
                "service quarantined web: it fails (KeyError)",
                "service unquarantined web",
            ]

    with_api(scenario)


def test_the_condition_of_a_nodes_network() -> None:
    async def scenario(api: Api) -> None:
        for node, host in (("n1", "h1"), ("n2", "h2"), ("n3", "h3")):
            await api.add_node(node, host)
            await change(api, node, NetworkCondition(), 1500)
        async with remembering(api) as events:
            repaired = NetworkRepair(description="the table was missing", count=1, at_ms=5)
            problems = ["80/tcp is taken by nginx on this node"]
            await change(api, "n2", NetworkCondition(problems=problems, repaired=repaired), 1500)
            repaired.MergeFrom(NetworkRepair(count=4, at_ms=70_000))
            await change(api, "n2", NetworkCondition(repaired=repaired), 1400)
            await change(api, "n2", NetworkCondition(repaired=repaired), 1400)
            short = PathFault(address="192.0.2.9", tunnel=True, mtu=1350, expected_mtu=1450)
            await change(api, "n2", NetworkCondition(repaired=repaired, paths=[short]), 1400)
            await change(api, "n2", NetworkCondition(repaired=repaired), 1400)
            assert await lines(events) == [
                "node network-repaired h2: the table was missing",
                "node problem h2: 80/tcp is taken by nginx on this node",
                "node problem h2: MTU 1400 on the interface of 127.0.0.1; 2 of 3 nodes use 1500",
                "node network-repaired h2: the table was missing (3 times since the last event)",
                "node resolved h2: 80/tcp is taken by nginx on this node",
                (
                    "node problem h2: packets larger than 1350 bytes are lost in the "
                    "tunnel to node 192.0.2.9 (expected MTU 1450)"
                ),
                (
                    "node resolved h2: packets larger than 1350 bytes are lost in "
                    "the tunnel to node 192.0.2.9 (expected MTU 1450)"
                ),
            ]

    with_api(scenario)


async def change(api: Api, node_id: str, condition: NetworkCondition, mtu: int) -> None:
    status = NodeStatus()
    status.CopyFrom(api.store.tables.node_status[node_id])
    status.network_condition.CopyFrom(condition)
    status.description.underlay_mtu = mtu
    await api.store.commit([put(kinds.NODE_STATUS, node_id, status)])


def test_a_task_that_runs_and_does_not_listen_is_told() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        async with remembering(api) as events:
            service = (await api.services.create(CreateServiceRequest(spec=spec_of()), ADMIN)).service
            await api.put_task("t1", service.meta.id)
            status = TaskStatus(task_id="t1", state=TaskState.RUNNING, at_ms=2, warning="nothing listens on 80/tcp")
            await api.store.commit([put(kinds.TASK_STATUS, "t1", status)])
            assert (await lines(events))[-1] == "task warning web.1 on h1: nothing listens on 80/tcp"

    with_api(scenario)


def test_filters() -> None:
    async def scenario(api: Api) -> None:
        async with remembering(api) as events:
            await api.add_node("node1", "h1")
            await api.add_node("node2", "h2", NodeStatus.DOWN)
            for name in ("web", "db"):
                service = (await api.services.create(CreateServiceRequest(spec=spec_of(name)), ADMIN)).service
                await api.put_task(f"t-{name}", service.meta.id, node="node1" if name == "web" else "node2")
            assert await lines(events, types=["node"], actions=["ready", "down"]) == ["node ready h1", "node down h2"]
            assert await lines(events, services=["db"], types=["task"]) == [
                "task assigned db.1 on h2",
                "task running db.1 on h2",
            ]
            assert len(await lines(events, nodes=["node1"])) == 4
            assert await lines(events, services=["nobody"]) == []

    with_api(scenario)


def test_what_is_forgotten_comes_from_the_archive_alone() -> None:
    async def scenario(api: Api) -> None:
        async with remembering(api, kept=3) as events:
            for name in ("a", "b", "c", "d"):
                await api.services.create(CreateServiceRequest(spec=spec_of(name)), ADMIN)
            responses = await reported(events)
            assert "there are no events from before" not in "".join(response.warning for response in responses)
            assert [response.event.name for response in responses] == ["b", "c", "d"]

    with_api(scenario)


def test_a_slow_reader_is_told_what_it_missed_and_goes_on() -> None:
    async def scenario(api: Api) -> None:
        async with remembering(api, kept=2) as events, aclosing(events.watch(WatchEventsRequest(), ADMIN)) as reader:
            first = asyncio.ensure_future(anext(reader))
            await asyncio.sleep(0)
            await api.services.create(CreateServiceRequest(spec=spec_of("a")), ADMIN)
            assert (await first).event.name == "a"
            for name in ("b", "c", "d", "e"):
                await api.services.create(CreateServiceRequest(spec=spec_of(name)), ADMIN)
            await asyncio.sleep(0)
            assert "2 changes are missing" in (await anext(reader)).warning
            assert (await anext(reader)).event.name == "d"
            assert (await anext(reader)).event.name == "e"

    with_api(scenario)


def test_large_changes_are_remembered_in_smaller_numbers() -> None:
    async def scenario(api: Api) -> None:
        changes = RecentChanges(max_bytes=100_000)
        events = EventLog(store=api.store, now_ms=lambda: NOW_MS, archive=EventArchive(MemoryEtcd()), changes=changes)
        async with TaskGroup() as group, aclosing(events.watch(WatchEventsRequest(), ADMIN)) as reader:
            running = group.create_task(events.run())
            first = asyncio.ensure_future(anext(reader))
            await asyncio.sleep(0)
            await api.services.create(CreateServiceRequest(spec=spec_of("a")), ADMIN)
            assert (await first).event.name == "a"
            for name in ("b", "c", "d", "e", "f"):
                large = spec_of(name)
                large.task.container.env.append("CONFIG=" + "x" * 40_000)
                await api.services.create(CreateServiceRequest(spec=large), ADMIN)
            await asyncio.sleep(0)
            assert "3 changes are missing" in (await anext(reader)).warning
            assert [(await anext(reader)).event.name for _ in range(2)] == ["e", "f"]
            found = await events.read(0, 100)
            assert [event.name for event in found.events] == ["e", "f"]
            assert (found.position, found.dropped) == (6, 4)
            running.cancel()

    with_api(scenario)


def test_the_newest_change_is_remembered_however_large() -> None:
    changes = RecentChanges(max_bytes=1_000)
    for number, length in enumerate((10, 20_000, 30, 40)):
        status = TaskStatus(task_id="t1", message="x" * length)
        changes.append(ObservedChange(number, World().put(kinds.TASK_STATUS, "t1", status), None, None))
        assert changes.read(changes.end - 1, 10)[-1][1].at_ms == number
        assert changes.begin == (0, 1, 2, 2)[number]
    assert changes.complete_since_ms == 2


def test_of_a_nodes_status_only_what_events_need_is_remembered() -> None:
    world = World()
    statuses = [NodeStatus(node_id="n1", state=state) for state in (NodeStatus.READY, NodeStatus.DOWN)]
    for status in statuses:
        status.description.devices.paths.extend(f"/dev/device-{number:04d}" for number in range(500))
        status.network_condition.listeners.extend(HostListener(port=number) for number in range(1, 200))
    seen = observe(world.put(kinds.NODE_STATUS, "n1", statuses[0]), world.tables, NOW_MS)
    assert seen is not None and seen.size() < 100 < statuses[0].ByteSize()
    seen = observe(world.put(kinds.NODE_STATUS, "n1", statuses[1]), world.tables, NOW_MS)
    assert seen is not None and seen.size() < 100
    assert [each.action for each in events_of(seen, world.tables)] == ["down"]


@pytest.mark.parametrize(
    ("filters", "reported"),
    [(["kind=task"], "unknown key"), (["type="], "must be in the form KEY=VALUE"), (["type=pod"], "must be one of")],
)
def test_bad_filters(filters: list[str], reported: str) -> None:
    with pytest.raises(InvalidInput, match=reported):
        request_of(filters, since="", until="", now_ns=0)


def test_steps_of_the_autoscaler() -> None:
    async def scenario(api: Api) -> None:
        async with remembering(api) as events:
            identifier = (await api.services.create(CreateServiceRequest(spec=spec_of()), ADMIN)).service.meta.id
            for replicas, message in ((2, ""), (3, "CPU is at 90 % of 70 %"), (3, "CPU is at 90 % of 70 %")):
                status = AutoscaleStatus(service_id=identifier, replicas=replicas, message=message)
                await api.store.commit([put(kinds.AUTOSCALE, identifier, status)])
            await api.store.commit([delete(kinds.AUTOSCALE, identifier)])
            assert await lines(events, actions=["autoscale"]) == [
                "service autoscale web: 2 to 3 replicas: CPU is at 90 % of 70 %"
            ]

    with_api(scenario)
