"""The session with a manager, any of them, again and again; with none in reach, everything keeps running."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import grpc
from grpc import aio

from agent.session.backoff import Backoff
from agent.session.managers import ManagerList
from agent.session.outbox import Outbox
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
from shoal.rpc.errors import to_error
from shoal.task_group import TaskGroup

WELCOME_SECONDS = 5.0
"""A manager that does not answer Hello within this time is taken for lost."""

_log = logging.getLogger(__name__)

Connect = Callable[[str], aio.Channel]
"""A channel to one manager's API, `host:port`, with this node's current identity."""

Stream = aio.StreamStreamCall[AgentMessage, ManagerMessage]


AskAgain = Callable[[], Awaitable[Sequence[ManagerAddress]]]
"""Raises ShoalError when nobody tells."""


class _Moved(Exception):
    """The manager asked this node to go on with another one."""


class Work(Protocol):
    """What a session carries assignments to; `agent.worker.worker.Worker` is one."""

    def take(self, assignments: Assignments) -> None: ...

    def in_touch(self, reached: bool) -> None: ...

    def statuses(self) -> list[TaskStatus]: ...

    def applications(self) -> AsyncGenerator[int]: ...


class Volumes(Protocol):
    """What a session tells of the host's volumes; `agent.volumes.host_volumes.HostVolumes` is one."""

    def reports(self) -> AsyncGenerator[VolumeReport]: ...


class Host(Protocol):
    """What a session tells of the host; `agent.host_description.HostDescription` is one."""

    def now(self) -> NodeDescription: ...

    def reports(self) -> AsyncGenerator[NodeDescription]: ...


class Condition(Protocol):
    """What a session tells of the host's network; `agent.network.condition.Condition` is one."""

    def reports(self) -> AsyncGenerator[NetworkCondition]: ...


class AgentSession:
    """Holds one stream at a time.

    Args:
        host: as it is for Hello, and again when it changes.
        ask_again: where the managers are, when none of those that are known answers.
        jitter: a number from 0 to 1 that spreads agents' reconnections.
    """

    def __init__(
        self,
        *,
        managers: ManagerList,
        connect: Connect,
        host: Host,
        outbox: Outbox,
        work: Work,
        volumes: Volumes,
        condition: Condition,
        ask_again: AskAgain | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._managers = managers
        self._connect = connect
        self._host = host
        self._outbox = outbox
        self._work = work
        self._volumes = volumes
        self._condition = condition
        self._ask_again = ask_again
        self._jitter = jitter
        self._backoff = Backoff(jitter)
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            address, began, moved = self._managers.first(), now(), False
            try:
                await self._hold(address)
            except _Moved:
                _log.info("manager %s hands this node on", address)
                moved = True
            except ShoalError as error:
                level = logging.ERROR if isinstance(error, (PermissionDenied, Unauthenticated)) else logging.WARNING
                _log.log(level, "no session with manager %s: %s", address, error)
            self._work.in_touch(False)
            if not moved:
                self._managers.failed(address)
                await self._look_for_managers()
            await asyncio.sleep(0.0 if moved else self._backoff.next(now() - began))

    async def _look_for_managers(self) -> None:
        """The last resort: ask where this node joined."""
        if self._ask_again is None or not self._managers.all_failed:
            return
        try:
            self._managers.learn(await self._ask_again())
        except ShoalError as error:
            _log.warning("nobody tells where the managers are: %s", error)

    async def _hold(self, address: str) -> None:
        """One session, until it breaks. A manager that is busy says when to come back, by the same connection.

        Raises:
            ShoalError: why it broke.
        """
        async with self._connect(address) as channel:
            while True:
                try:
                    await self._try(channel, address)
                except Busy as busy:
                    _log.info("manager %s is busy: %s", address, busy)
                    await asyncio.sleep(busy.retry_after_seconds * (1 + self._jitter() / 10))

    async def _try(self, channel: aio.Channel, address: str) -> None:
        stream: Stream = DispatcherStub(channel).Session()
        try:
            await self._converse(stream, address)
        except Exception as broken:
            reason = _reason(broken, address)
            raise reason from (broken if reason is not broken else None)
        finally:
            stream.cancel()

    async def _converse(self, stream: Stream, address: str) -> None:
        told = self._host.now()
        await self._write(stream, AgentMessage(hello=Hello(description=told)))
        welcome = await self._welcome(stream, address)
        _log.info("session with manager %s", address)
        self._work.in_touch(True)
        self._managers.answered()
        self._managers.learn(welcome.managers.managers)
        self._backoff.answered(welcome.reconnect_ms / 1000)
        self._outbox.begin()
        for status in self._work.statuses():
            # The manager may be another one, or have lost what it had not committed; it drops what it knows.
            self._outbox.put(status)
        async with TaskGroup() as group:
            group.create_task(self._beat(stream, welcome.heartbeat_ms / 1000), name="heartbeats")
            group.create_task(self._send(stream), name="statuses")
            group.create_task(self._tell_description(stream, told), name="description")
            group.create_task(self._tell_volumes(stream), name="volumes")
            group.create_task(self._tell_condition(stream), name="condition of the network")
            group.create_task(self._receive(stream, address), name="assignments")
            group.create_task(self._tell_applied(stream), name="applied")

    async def _welcome(self, stream: Stream, address: str) -> Welcome:
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                message = await stream.read()
        except TimeoutError:
            raise Unavailable(f"{address} did not answer within {WELCOME_SECONDS:g} s") from None
        if not isinstance(message, ManagerMessage) or message.WhichOneof("kind") != "welcome":
            raise Unavailable(f"{address} did not answer with a welcome")
        return message.welcome

    async def _beat(self, stream: Stream, period_seconds: float) -> None:
        while True:
            await asyncio.sleep(period_seconds)
            await self._write(stream, AgentMessage(heartbeat=Heartbeat()))

    async def _send(self, stream: Stream) -> None:
        while True:
            await self._write(stream, AgentMessage(statuses=await self._outbox.next_batch()))

    async def _tell_description(self, stream: Stream, told: NodeDescription) -> None:
        async with aclosing(self._host.reports()) as reports:
            async for description in reports:
                if description != told:
                    await self._write(stream, AgentMessage(description=description))
                    told = description

    async def _tell_volumes(self, stream: Stream) -> None:
        async with aclosing(self._volumes.reports()) as reports:
            async for report in reports:
                await self._write(stream, AgentMessage(volumes=report))

    async def _tell_condition(self, stream: Stream) -> None:
        async with aclosing(self._condition.reports()) as reports:
            async for condition in reports:
                await self._write(stream, AgentMessage(network=condition))

    async def _tell_applied(self, stream: Stream) -> None:
        async with aclosing(self._work.applications()) as applications:
            async for sequence in applications:
                await self._write(stream, AgentMessage(applied=Applied(sequence=sequence)))

    async def _write(self, stream: Stream, message: AgentMessage) -> None:
        async with self._writing:  # gRPC sends one message of a stream at a time
            await stream.write(message)

    async def _receive(self, stream: Stream, address: str) -> None:
        while isinstance(message := await stream.read(), ManagerMessage):
            match message.WhichOneof("kind"):
                case "assignments":
                    self._work.take(message.assignments)
                case "status_ack":
                    self._outbox.acknowledge(message.status_ack)
                case "managers":
                    self._managers.learn(message.managers.managers)
                case "move":
                    self._managers.prefer(message.move.manager_id)
                    raise _Moved
                case other:
                    _log.debug("a message of kind %s is not known to this version", other)
        raise Unavailable(f"{address} ended the session")


def _reason(broken: Exception, address: str) -> Exception:
    """Why a session broke. Several of its tasks may see it; the one with gRPC's status, or an error of ours, says why.

    Anything that is no word of a broken stream is a fault of ours, and is handed on as it is.
    """
    leaves = _leaves(broken)
    if moved := next((leaf for leaf in leaves if isinstance(leaf, _Moved)), None):
        return moved
    if not all(isinstance(leaf, (grpc.RpcError, asyncio.InvalidStateError, ShoalError)) for leaf in leaves):
        return broken
    for leaf in leaves:
        if isinstance(leaf, grpc.RpcError):
            return to_error(leaf, address=address)
    told = [leaf for leaf in leaves if isinstance(leaf, ShoalError)]
    return told[0] if told else Unavailable(f"the stream to {address} broke")


def _leaves(error: Exception) -> list[Exception]:
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [leaf for part in error.exceptions for leaf in _leaves(part)]
