"""What the sessions of 100 nodes cost a manager: run `python -m tests.bench.control_plane.bench_sessions`.

The manager is real, with its etcd, in a process of its own; the agents are simulated, their streams are gRPC over
mutual TLS from another process. One network of 5,000 endpoints, all of one service, so that every change concerns every
node.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from grpc import aio

from shoal.api.v1.dispatcher_pb2 import AgentMessage, Applied, Heartbeat, Hello, ManagerMessage, StatusBatch
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherStub
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.api.v1.task_pb2 import TaskStatus
from shoal.identity.identity import Identity
from shoal.rpc.channel import MAX_STREAM_BYTES, connect_aio
from shoal.task_group import TaskGroup
from tests.bench.rig.figures import Figure, p50, p99, table
from tests.bench.rig.manager_alone import ManagerAlone, manager_alone
from tests.bench.rig.one_service import add_one, running, stop_one, write_records

NODES, TASKS, CHANGES, REPORTS = 100, 5_000, 40, 10
IDLE_SECONDS = 4.0
HEARTBEAT_SECONDS = 2.0


class SimulatedAgent:
    """Takes what it is sent and says that it has applied it.

    Attributes:
        received: when the last assignments came (CLOCK_MONOTONIC, seconds), and their size in bytes.
    """

    def __init__(self, number: int, address: str, identity: Identity) -> None:
        self.node_id = f"n{number:03}"
        self._number = number
        self._channel = connect_aio([address], identity, max_receive_bytes=MAX_STREAM_BYTES)
        self.received: list[tuple[float, int]] = []
        self.acknowledged = 0
        self._sequence = 0
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Say hello."""
        self._stream: aio.StreamStreamCall[AgentMessage, ManagerMessage] = DispatcherStub(self._channel).Session(
            wait_for_ready=True  # a hundred handshakes at once may take longer than one may take
        )
        address = f"192.0.2.{self._number}"
        description = NodeDescription(hostname=self.node_id, address=address, vtep_mac="02:56:00:00:00:01")
        await self._write(AgentMessage(hello=Hello(description=description)))

    async def run(self) -> None:
        """Until cancelled."""
        async with TaskGroup() as group:
            group.create_task(self._beat())
            while isinstance(message := await self._stream.read(), ManagerMessage):
                if message.WhichOneof("kind") == "assignments":
                    self.received.append((time.monotonic(), message.ByteSize()))
                    applied = Applied(sequence=message.assignments.sequence)
                    await self._write(AgentMessage(applied=applied))
                elif message.WhichOneof("kind") == "status_ack":
                    self.acknowledged = message.status_ack
            raise RuntimeError(f"{self.node_id}: {await self._stream.code()} {await self._stream.details()}")

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await self._write(AgentMessage(heartbeat=Heartbeat()))

    async def report(self, statuses: list[TaskStatus]) -> None:
        """Send a batch."""
        self._sequence += 1
        batch = StatusBatch(sequence=self._sequence, statuses=statuses)
        await self._write(AgentMessage(statuses=batch))

    async def _write(self, message: AgentMessage) -> None:
        async with self._writing:  # gRPC sends one message of a stream at a time
            await self._stream.write(message)

    async def close(self) -> None:
        """End the session."""
        self._stream.cancel()
        await self._channel.close()


async def until(agents: list[SimulatedAgent], messages: int) -> tuple[float, int]:
    """Wait until each has so many messages of assignments; when the last one had, and the bytes of all their last."""
    while any(len(agent.received) < messages for agent in agents):  # noqa: ASYNC110  # what others do has no event
        await asyncio.sleep(0.001)
    last = [agent.received[messages - 1] for agent in agents]
    return max(at for at, _ in last), sum(size for _, size in last)


async def call(manager: ManagerAlone, *work: object) -> object:
    """Have the manager do it, while the agents go on."""
    return await asyncio.to_thread(manager.do, *work)  # type: ignore[arg-type]


async def settle(agents: list[SimulatedAgent]) -> None:
    """Wait until nothing comes any more, and start counting again."""
    before, now = -1, 0
    while before != now:
        await asyncio.sleep(0.5)
        before, now = now, sum(len(agent.received) for agent in agents)
    for agent in agents:
        agent.received.clear()


async def processor(manager: ManagerAlone) -> float:
    """Seconds that it has used so far."""
    return (await asyncio.to_thread(manager.used)).seconds


async def measure_all(manager: ManagerAlone) -> list[Figure]:
    """One cluster, from nothing to its figures."""
    agents = [
        SimulatedAgent(number, manager.address, manager.identity(f"n{number:03}")) for number in range(1, NODES + 1)
    ]
    await call(manager, write_records, [agent.node_id for agent in agents], TASKS)
    async with TaskGroup() as group:
        before, begin = await processor(manager), time.monotonic()
        await asyncio.gather(*(agent.open() for agent in agents))
        readers = [group.create_task(agent.run()) for agent in agents]
        last, size = await until(agents, 1)
        opened = last - begin
        await settle(agents)
        spent = await processor(manager) - before
        figures = [
            Figure("100 sessions of 5,000 endpoints: all have them", opened, "s", scope="manager"),
            Figure("  manager's processor time", spent, "s", scope="manager"),
            Figure("  snapshot of one node", size / NODES / 1e3, "kB", scope="manager"),
        ]
        before = await processor(manager)
        await asyncio.sleep(IDLE_SECONDS)
        idle = (await processor(manager) - before) / IDLE_SECONDS
        figures += [
            Figure("100 sessions, idle: manager's processor", idle * 100, "% of one", scope="manager"),
            Figure("  manager's memory", (await asyncio.to_thread(manager.used)).resident_bytes / 1e6, "MB"),
            *await changes(manager, agents, idle),
            *await reports(manager, agents, idle),
        ]
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*(agent.close() for agent in agents))
    return figures


async def changes(manager: ManagerAlone, agents: list[SimulatedAgent], idle: float) -> list[Figure]:
    """One task comes, again and again, and each is one record for each node."""
    await settle(agents)
    waits, sizes = [], []
    before, begin = await processor(manager), time.monotonic()
    for number in range(CHANGES):
        found = await call(manager, add_one, TASKS + number, agents[0].node_id)
        assert isinstance(found, tuple)
        at, size = await until(agents, number + 1)
        waits.append((at - found[0]) * 1e3)
        sizes.append(size / NODES)
    spent = await processor(manager) - before - idle * (time.monotonic() - begin)
    await settle(agents)
    before, begin = await processor(manager), time.monotonic()
    for number in range(CHANGES):
        await call(manager, stop_one, number)
    await settle(agents)
    burst = await processor(manager) - before - idle * (time.monotonic() - begin)
    return [
        Figure("one endpoint more, sent to 100 nodes: p50", p50(waits), "ms", scope="manager"),
        Figure("  p99 (greatest of 40)", p99(waits), "ms", scope="manager"),
        Figure("  bytes for one node", statistics.median(sizes), "B", scope="manager"),
        Figure("  manager's processor time", spent / CHANGES * 1e3, "ms", scope="manager"),
        Figure("one endpoint withdrawn, with its drain: processor", burst / CHANGES * 1e3, "ms", scope="manager"),
    ]


async def reports(manager: ManagerAlone, agents: list[SimulatedAgent], idle: float) -> list[Figure]:
    """Every node reports of each of its tasks, all at once, again and again."""
    own = {
        agent.node_id: [running(each) for each in range(TASKS) if each % NODES == place]
        for place, agent in enumerate(agents)
    }
    before, begin = await processor(manager), time.monotonic()
    for turn in range(1, REPORTS + 1):
        for statuses in own.values():
            for status in statuses:
                status.at_ms += 1
        await asyncio.gather(*(agent.report(own[agent.node_id]) for agent in agents))
        while any(agent.acknowledged < turn for agent in agents):  # noqa: ASYNC110  # as `until`
            await asyncio.sleep(0.005)
    wall = time.monotonic() - begin
    spent = await processor(manager) - before - idle * wall
    return [
        Figure("statuses written, of 100 nodes with 50 tasks each", REPORTS * TASKS / wall, "/s", scope="manager"),
        Figure("  manager's processor time for each", spent / REPORTS / TASKS * 1e6, "us", scope="manager"),
    ]


def measure() -> list[Figure]:
    """All figures."""
    with (
        tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory,
        manager_alone(Path(directory), HEARTBEAT_SECONDS) as manager,
    ):
        return asyncio.run(measure_all(manager))


if __name__ == "__main__":
    print(table(measure()))
