"""A node in the wrong hands: whatever its agent sends, the manager, its planner and the other nodes go on."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from grpc import aio

from agent.session.status_queue import StatusQueue
from manager.events.event_builder import events_of, observe
from manager.planner.loop import Planner
from manager.store import kinds
from manager.store.changes import put
from manager.store.transaction import MAX_BYTES
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.dispatcher_pb2 import AgentMessage, Hello, StatusBatch, VolumeReport
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherStub
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription
from shoal.api.v1.service_pb2 import Service, ServiceRevision, ServiceSpec
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.channel import connect_aio
from tests.fakes.any_message import any_message
from tests.integration.session.session_rig import (
    CLUSTER,
    TIMEOUT_SECONDS,
    ManagerProcess,
    SessionRig,
    one_manager,
    put_task,
    task,
)
from tests.polling import until

SESSIONS = 40
SESSION_SECONDS = 0.4
"""Of one that nothing ends before, once it is open: less than a node may be silent, else its tasks would go
elsewhere."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def own_tasks(manager: ManagerProcess) -> Sequence[str]:
    """Those of the node n2."""
    return [each for each, held in manager.store.tables.tasks.items() if held.node_id == "n2"]


async def sent(seed: int, manager: ManagerProcess) -> AsyncIterator[AgentMessage]:
    """What a session's agent sends: nearly anything, about tasks that are its own."""
    random = Random(seed)
    about = any_message(NodeDescription, seed)
    if random.random() < 0.8:  # else it comes no further than that
        about.address, about.vtep_mac, about.stream_port = "192.0.2.1", "02:56:00:00:00:01", 1
        about.hostname = random.choice(("n2", "n1", about.hostname))
        about.ClearField("overlay_keys")
        about.ClearField("csi_drivers")
    yield AgentMessage(hello=Hello(description=about))
    await until(lambda: bool(own_tasks(manager)))  # the planner places some as soon as the node is there
    tasks = own_tasks(manager)
    for number in range(10):
        kind = random.choice(("statuses", "statuses", "network", "volumes", "any"))
        each = seed * 1000 + number
        if kind == "statuses":
            states = (TaskState.PREPARING, TaskState.RUNNING, TaskState.RUNNING, TaskState.FAILED)
            statuses = [any_message(TaskStatus, each + index) for index, _ in enumerate(tasks)]
            longest = random.choice(("", "x" * 2_000_000))  # of which two are more than a message may have
            for status, task_id in zip(statuses, tasks, strict=True):
                status.task_id, status.state = task_id, random.choice(states)
                status.warning = random.choice((status.warning, longest))
            yield AgentMessage(statuses=StatusBatch(sequence=number + 1, statuses=statuses))
        elif kind == "network":
            yield AgentMessage(network=any_message(NetworkCondition, each))
        elif kind == "volumes":
            yield AgentMessage(volumes=any_message(VolumeReport, each))
        else:
            yield any_message(AgentMessage, each)
    await asyncio.sleep(0.05)


async def hold(rig: SessionRig, manager: ManagerProcess, seed: int) -> None:
    """One session of the node n2, to whatever end."""
    identity = rig.authority.issue(CertificateSubject("n2", Role.AGENT, CLUSTER), datetime.now(UTC))
    async with connect_aio([manager.address], identity) as channel:
        with suppress(aio.AioRpcError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS) as left:
                stream = DispatcherStub(channel).Session(sent(seed, manager))
                async for message in stream:
                    if message.HasField("welcome"):
                        left.reschedule(asyncio.get_running_loop().time() + SESSION_SECONDS)


async def lead(manager: ManagerProcess) -> int:
    """A service on both nodes, and the leader's key; its fence."""
    spec = ServiceSpec(name="web")
    spec.replicated.replicas = 8
    spec.task.restart.delay_ms = 1
    service = Service(meta=Meta(id="web"), spec=spec, revision=1, task_revision=1)
    revision = ServiceRevision(service_id="web", number=1, spec=spec)
    await manager.store.commit([put(kinds.SERVICE, "web", service), put(kinds.REVISION, "web/1", revision)])
    return await manager.store.commit([put(kinds.LEADER, "", Leader(manager_id="m1"))])


def check_records(manager: ManagerProcess) -> None:
    """All that came of it fits into a transaction, with room."""
    tables = manager.store.tables
    for records in (tables.node_status, tables.task_status, tables.node_volumes):
        assert all(record.ByteSize() < MAX_BYTES for record in records.values())


@pytest.mark.timeout(120)
def test_any_agent_harms_but_its_own_session(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1", "n2") as manager:
            fence = await lead(manager)
            planner = asyncio.create_task(Planner(store=manager.store, clock=now_ms).run(fence))
            got_through: set[str] = set()
            with manager.store.follow() as changes:
                for seed in range(SESSIONS):
                    await hold(rig, manager, seed)
                    got_through |= {each for each, status in manager.store.tables.task_status.items() if status.message}
                    assert not planner.done(), planner.result()
                    for change in changes.pending_changes():  # As a user's `shoal events` would have them.
                        if (seen := observe(change, manager.store.tables, now_ms())) is not None:
                            list(events_of(seen, manager.store.tables))
            check_records(manager)
            assert got_through
            await put_task(manager, task("honest", "n1"))
            outbox = StatusQueue()
            async with rig.agent("n1", [manager.address], outbox=outbox):
                outbox.put(TaskStatus(task_id="honest", state=TaskState.RUNNING, at_ms=now_ms()))
                await until(lambda: "honest" in manager.store.tables.task_status)
            planner.cancel()
            await asyncio.gather(planner, return_exceptions=True)

    asyncio.run(scenario())
