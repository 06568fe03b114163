"""Keeps a session with any manager; tasks keep running while none is reachable."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import grpc
from grpc import aio

from agent.session.backoff import Backoff
from agent.session.manager_list import ManagerList
from agent.session.status_queue import StatusQueue
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.api.v1.dispatcher_pb2 import (
    AgentMessage,
    Applied,
    Assignments,
    Heartbeat,
    Hello,
    ManagerMessage,
    VolumeReport,
    Welcome,
)
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherStub
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription
from shoal.api.v1.task_pb2 import TaskStatus
from shoal.errors import Busy, PermissionDenied, ShoalError, Unauthenticated, Unavailable
from shoal.rpc.status_mapping import to_shoal_error
from shoal.task_group import TaskGroup

WELCOME_SECONDS = 5.0
"""A manager that does not answer Hello within this time is taken for lost."""

_log = logging.getLogger(__name__)

Connect = Callable[[str], aio.Channel]
"""A channel to one manager's API, `host:port`, with this node's current identity."""

Stream = aio.StreamStreamCall[AgentMessage, ManagerMessage]


FindManagers = Callable[[], Awaitable[Sequence[ManagerAddress]]]
"""Raises ShoalError when nobody tells."""


class _MoveRequested(Exception):
    """The manager asked this node to go on with another one."""


class AssignmentReceiver(Protocol):
    """What a session carries assignments to; `agent.worker.worker.Worker` is one."""

    def receive(self, assignments: Assignments) -> None: ...

    def set_connected(self, connected: bool) -> None: ...

    def statuses(self) -> list[TaskStatus]: ...

    def applied_sequences(self) -> AsyncGenerator[int]: ...


class VolumeReports(Protocol):
    """What a session tells of the host's volumes; `agent.volumes.host_volumes.HostVolumes` is one."""

    def reports(self) -> AsyncGenerator[VolumeReport]: ...


class HostReports(Protocol):
    """What a session tells of the host; `agent.host.host_reporter.HostReporter` is one."""

    def current(self) -> NodeDescription: ...

    def reports(self) -> AsyncGenerator[NodeDescription]: ...


class NetworkReports(Protocol):
    """What a session tells of the host's network; `agent.network.condition_reporter.NetworkReports` is one."""

    def reports(self) -> AsyncGenerator[NetworkCondition]: ...


class ManagerSession:
    """Holds one stream at a time.

    Args:
        host: as it is for Hello, and again when it changes.
        find_managers: where the managers are, when none of those that are known answers.
        jitter: a number from 0 to 1 that spreads agents' reconnections.
    """

    def __init__(
        self,
        *,
        managers: ManagerList,
        connect: Connect,
        host: HostReports,
        outbox: StatusQueue,
        worker: AssignmentReceiver,
        volumes: VolumeReports,
        condition: NetworkReports,
        find_managers: FindManagers | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._managers = managers
        self._connect = connect
        self._host = host
        self._outbox = outbox
        self._worker = worker
        self._volumes = volumes
        self._condition = condition
        self._find_managers = find_managers
        self._jitter = jitter
        self._backoff = Backoff(jitter)
        self._write_lock = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            address, began, moved = self._managers.first(), now(), False
            try:
                await self._keep_session(address)
            except _MoveRequested:
                _log.info("manager %s redirected this node to another manager", address)
                moved = True
            except ShoalError as error:
                level = logging.ERROR if isinstance(error, (PermissionDenied, Unauthenticated)) else logging.WARNING
                _log.log(level, "cannot connect to manager %s: %s", address, error)
            self._worker.set_connected(False)
            if not moved:
                self._managers.mark_failed(address)
                await self._rediscover_managers()
            await asyncio.sleep(0.0 if moved else self._backoff.next_delay(now() - began))

    async def _rediscover_managers(self) -> None:
        """The last resort: ask where this node joined."""
        if self._find_managers is None or not self._managers.all_failed:
            return
        try:
            self._managers.update(await self._find_managers())
        except ShoalError as error:
            _log.warning("could not discover managers: %s", error)

    async def _keep_session(self, address: str) -> None:
        """One session, until it breaks. A manager that is busy says when to come back, by the same connection.

        Raises:
            ShoalError: why it broke.
        """
        async with self._connect(address) as channel:
            while True:
                try:
                    await self._open_stream(channel, address)
                except Busy as busy:
                    _log.info("manager %s is busy: %s", address, busy)
                    await asyncio.sleep(busy.retry_after_seconds * (1 + self._jitter() / 10))

    async def _open_stream(self, channel: aio.Channel, address: str) -> None:
        stream: Stream = DispatcherStub(channel).Session()
        try:
            await self._exchange(stream, address)
        except Exception as broken:
            reason = _reason(broken, address)
            raise reason from (broken if reason is not broken else None)
        finally:
            stream.cancel()

    async def _exchange(self, stream: Stream, address: str) -> None:
        told = self._host.current()
        await self._write(stream, AgentMessage(hello=Hello(description=told)))
        welcome = await self._welcome(stream, address)
        _log.info("connected to manager %s", address)
        self._worker.set_connected(True)
        self._managers.mark_reachable()
        self._managers.update(welcome.managers.managers)
        self._backoff.answered(welcome.reconnect_ms / 1000)
        self._outbox.start_session()
        for status in self._worker.statuses():
            # The manager may be another one, or have lost what it had not committed; it drops what it knows.
            self._outbox.put(status)
        async with TaskGroup() as group:
            group.create_task(self._send_heartbeats(stream, welcome.heartbeat_ms / 1000), name="heartbeats")
            group.create_task(self._send_statuses(stream), name="statuses")
            group.create_task(self._send_descriptions(stream, told), name="description")
            group.create_task(self._send_volumes(stream), name="volumes")
            group.create_task(self._send_network(stream), name="condition of the network")
            group.create_task(self._receive(stream, address), name="assignments")
            group.create_task(self._send_applied(stream), name="applied")

    async def _welcome(self, stream: Stream, address: str) -> Welcome:
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                message = await stream.read()
        except TimeoutError:
            raise Unavailable(f"no response from {address} within {WELCOME_SECONDS:g} s") from None
        if not isinstance(message, ManagerMessage) or message.WhichOneof("kind") != "welcome":
            raise Unavailable(f"unexpected response from {address} (no Welcome)")
        return message.welcome

    async def _send_heartbeats(self, stream: Stream, period_seconds: float) -> None:
        while True:
            await asyncio.sleep(period_seconds)
            await self._write(stream, AgentMessage(heartbeat=Heartbeat()))

    async def _send_statuses(self, stream: Stream) -> None:
        while True:
            await self._write(stream, AgentMessage(statuses=await self._outbox.next_batch()))

    async def _send_descriptions(self, stream: Stream, sent: NodeDescription) -> None:
        async with aclosing(self._host.reports()) as reports:
            async for description in reports:
                if description != sent:
                    await self._write(stream, AgentMessage(description=description))
                    sent = description

    async def _send_volumes(self, stream: Stream) -> None:
        async with aclosing(self._volumes.reports()) as reports:
            async for report in reports:
                await self._write(stream, AgentMessage(volumes=report))

    async def _send_network(self, stream: Stream) -> None:
        async with aclosing(self._condition.reports()) as reports:
            async for condition in reports:
                await self._write(stream, AgentMessage(network=condition))

    async def _send_applied(self, stream: Stream) -> None:
        async with aclosing(self._worker.applied_sequences()) as applications:
            async for sequence in applications:
                await self._write(stream, AgentMessage(applied=Applied(sequence=sequence)))

    async def _write(self, stream: Stream, message: AgentMessage) -> None:
        async with self._write_lock:  # gRPC sends one message of a stream at a time
            await stream.write(message)

    async def _receive(self, stream: Stream, address: str) -> None:
        while isinstance(message := await stream.read(), ManagerMessage):
            match message.WhichOneof("kind"):
                case "assignments":
                    self._worker.receive(message.assignments)
                case "status_ack":
                    self._outbox.acknowledge(message.status_ack)
                case "managers":
                    self._managers.update(message.managers.managers)
                case "redirect":
                    self._managers.prefer(message.redirect.manager_id)
                    raise _MoveRequested
                case other:
                    _log.debug("ignoring message of unknown kind %s", other)
        raise Unavailable(f"{address} closed the session")


def _reason(error: Exception, address: str) -> Exception:
    """Why a session broke. Several of its tasks may see it; the one with gRPC's status, or an error of ours, says why.

    Anything that is no word of a broken stream is a fault of ours, and is handed on as it is.
    """
    leaves = _flatten(error)
    if moved := next((leaf for leaf in leaves if isinstance(leaf, _MoveRequested)), None):
        return moved
    if not all(isinstance(leaf, (grpc.RpcError, asyncio.InvalidStateError, ShoalError)) for leaf in leaves):
        return error
    for leaf in leaves:
        if isinstance(leaf, grpc.RpcError):
            return to_shoal_error(leaf, address=address)
    told = [leaf for leaf in leaves if isinstance(leaf, ShoalError)]
    return told[0] if told else Unavailable(f"connection to {address} lost")


def _flatten(error: Exception) -> list[Exception]:
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [leaf for part in error.exceptions for leaf in _flatten(part)]
