"""The agent of one host, whose process is killed and started, and what is known of the runs of its tasks."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.session.manager_list import ManagerList
from agent.session.manager_session import ManagerSession
from agent.session.status_queue import StatusQueue
from agent.worker.container_runtime import ContainerRequest, Running
from agent.worker.shared.manager_contact import GRACE_SECONDS
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from tests.fakes.runtime import FakeRuntime
from tests.unit.agent_core.worker_rig import BEHAVIOURS, Machine
from tests.unit.planner.restarts.restart_stream import Channel, Stream, StreamServer

IMAGE = "hello:1"


class _Nothing:
    """Of the host, that is of no concern here."""

    def current(self) -> NodeDescription:
        return NodeDescription()

    async def reports(self) -> AsyncGenerator[Any]:
        await asyncio.Event().wait()
        yield

    def set_cluster_repository(self, name: str) -> None:
        raise AssertionError(name)


@dataclass
class RunLog:
    """What has happened on the host.

    Attributes:
        starts: when containers were started, by task. ends: when they ended, with which code. Milliseconds.
        reported: the newest status of each task.
        decided_ms: when its node decided on each restart, by task.
    """

    starts: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    ends: defaultdict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    reported: dict[str, TaskStatus] = field(default_factory=dict)
    decided_ms: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class _Runtime(FakeRuntime):
    """Containers, of which each start is observed."""

    on_start: Callable[[str], None]

    async def start(self, request: ContainerRequest) -> Running:
        self.on_start(request.task_id)
        return await super().start(request)


class Host(Machine):
    """As `Machine`, with a session.

    Args:
        servers: managers by name.
        on_start: called before a container is started, with the task's id.
    Attributes:
        is_up: the agent's process runs.
        streams: that the agent has open.
    """

    def __init__(self, directory: Path, servers: dict[str, StreamServer], on_start: Callable[[str], None]) -> None:
        super().__init__(directory)
        self.runtime: _Runtime = _Runtime(self._exited, self.now_ms, BEHAVIOURS)
        self.runtime.on_start = self._starts
        self.images.digests[IMAGE] = f"sha256:{'a' * 64}"
        self.log = RunLog()
        self._servers, self._on_start = servers, on_start
        self._process = AsyncExitStack()
        self._session: asyncio.Task[None] | None = None
        self._outbox = StatusQueue()
        self._alone_since_ms = 0
        self.unreachable: set[str] = set()
        self.violations: list[str] = []

    @property
    def is_up(self) -> bool:
        return self._session is not None

    def running(self) -> list[str]:
        """Tasks whose containers run."""
        return [task_id for task_id, each in self.runtime.containers.items() if isinstance(each, Running)]

    async def start(self) -> None:
        """Start the agent's process."""
        self._outbox, self._alone_since_ms = StatusQueue(), self.now_ms()
        worker = await self._process.enter_async_context(self.agent(connected=False))
        idle = _Nothing()
        known = [ManagerAddress(id=name, api_address=name) for name in self._servers]
        managers = ManagerList(self.directory / "managers.json", node_id="n", initial=known)
        session = ManagerSession(
            managers=managers,
            connect=self._connect,  # type: ignore[arg-type]  # as much of a channel as it needs
            host=idle,
            outbox=self._outbox,
            worker=worker,
            volumes=idle,
            condition=idle,
            images=idle,
            jitter=lambda: 0.5,
        )
        self._session = asyncio.create_task(session.run())

    async def kill(self) -> None:
        """End the agent's process, wherever it is. Containers and the journal stay."""
        assert self._session is not None
        self._session.cancel()
        await asyncio.gather(self._session, return_exceptions=True)
        self._session = None
        await self._process.aclose()

    def check(self) -> None:
        """Raises what has ended the agent's process by itself, and what was seen that must not be."""
        for part in (self._session, self.process) if self.is_up else ():
            if part is not None and part.done():
                part.result()
        assert not self.violations, self.violations

    def end(self, task_id: str, code: int) -> None:
        """The task's program ends."""
        self.log.ends[task_id].append((self.now_ms(), code))
        self.runtime.end(task_id, code)

    def _connect(self, address: str) -> Channel:
        return Channel(_Route(self, address, self._servers[address]), self._session_ended)

    def _session_ended(self) -> None:
        self._alone_since_ms = self.now_ms()

    def _starts(self, task_id: str) -> None:
        try:
            self._on_start(task_id)
        except AssertionError as error:  # which the agent would report, as an error of the task
            self.violations.append(str(error))
            raise
        self.log.starts[task_id].append(self.now_ms())

    def _reported(self, status: TaskStatus) -> None:
        self._outbox.put(status)
        before = self.log.reported.get(status.task_id)
        self.log.reported[status.task_id] = status
        if status.restarts.count > (before.restarts.count if before is not None else 0):
            self._check_restart(status)

    def _check_restart(self, status: TaskStatus) -> None:
        """A restart is decided after a while without managers, unless an earlier process has decided on it."""
        assert status.state == TaskState.RUNNING
        decided_ms = status.restarts.at_ms[-1]
        assert len(status.restarts.at_ms) == status.restarts.count
        self.log.decided_ms[status.task_id] = list(status.restarts.at_ms)
        if decided_ms == self.now_ms():
            assert decided_ms - self._alone_since_ms >= GRACE_SECONDS * 1000, "a manager was in reach"


class _Route:
    """The way to a manager."""

    def __init__(self, host: Host, name: str, server: StreamServer) -> None:
        self._host, self._name, self._server = host, name, server

    @property
    def is_reachable(self) -> bool:
        return self._name not in self._host.unreachable and self._server.is_reachable

    def accept(self, stream: Stream) -> None:
        self._server.accept(stream)
