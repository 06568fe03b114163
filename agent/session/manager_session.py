"""Keeps a session with any manager; tasks keep running while none is reachable."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, suppress

import grpc
from grpc import aio

from agent.session.backoff import Backoff
from agent.session.manager_list import ManagerList
from agent.session.session_sources import (
    AssignmentReceiver,
    HostReports,
    ImageReports,
    NetworkReports,
    VolumeReports,
)
from agent.session.status_queue import StatusQueue
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.api.v1.dispatcher_pb2 import (
    AgentMessage,
    AgentStop,
    Applied,
    Heartbeat,
    Hello,
    ManagerMessage,
    Welcome,
)
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherStub
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.errors import Busy, PermissionDenied, ShoalError, Unauthenticated, Unavailable
from shoal.metrics.instruments import Counter
from shoal.rpc.status_mapping import to_shoal_error
from shoal.rpc.stream_opening import opened
from shoal.task_group import TaskGroup

_CONNECTIONS = Counter("shoal_agent_session_connections", "Sessions with managers that were opened.")
_ENDS = Counter("shoal_agent_session_ends", "Sessions and attempts of one that ended, by reason.", ("reason",))

MISSED_ACKS = 3
"""Heartbeats that a manager has not acknowledged when it is left for another one: gRPC's core answers pings also while
the manager hangs, and then its nodes are given up after about 10 s."""
WELCOME_SECONDS = 5.0
"""A manager that does not respond to Hello within this time is considered lost."""

STOP_SECONDS = 5.0
"""So long an agent that stops waits for a manager to have stored that."""

_log = logging.getLogger(__name__)

Connect = Callable[[str], aio.Channel]
"""A channel to one manager's API, `host:port`, with this node's current identity."""

Stream = aio.StreamStreamCall[AgentMessage, ManagerMessage]


FindManagers = Callable[[], Awaitable[Sequence[ManagerAddress]]]
"""Raises ShoalError if there is no response."""


class _Redirected(Exception):
    """The manager redirected this node to another one."""


class ManagerSession:
    """Holds one stream at a time.

    Args:
        host: its description for Hello, and after each change.
        find_managers: finds the managers if no known one responds.
        jitter: a number from 0 to 1 that spreads agents' reconnections.
    Attributes:
        is_connected: a manager has answered Hello, and the session has not ended.
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
        images: ImageReports,
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
        self._images = images
        self._find_managers = find_managers
        self._jitter = jitter
        self._backoff = Backoff(jitter)
        self._write_lock = asyncio.Lock()
        self._unanswered = 0
        self._stream: Stream | None = None
        self._ended = asyncio.Event()
        self._stopping = False
        self.is_connected = False

    async def announce_stop(self, host_is_stopping: Callable[[], Awaitable[bool]]) -> None:
        """Tell the manager that this agent stops in order, and open no session any more.

        Returns when the manager has stored it, or there is none that could, after `STOP_SECONDS` at the latest.
        """
        self._stopping = True
        stream, ended = self._stream, self._ended
        if stream is None:
            return
        with suppress(TimeoutError, grpc.RpcError, asyncio.InvalidStateError):
            async with asyncio.timeout(STOP_SECONDS):
                stop = AgentStop(host_stops=await host_is_stopping())
                await self._write(stream, AgentMessage(stop=stop))
                await ended.wait()

    async def run(self) -> None:
        """Keep a session until cancelled, or until the one that is open at `announce_stop` ends."""
        now = asyncio.get_running_loop().time
        while True:
            address, started, redirected = self._managers.first(), now(), False
            try:
                await self._keep_session(address)
            except _Redirected:
                _log.info("manager %s redirected this node to another manager", address)
                redirected = True
            except ShoalError as error:
                if not self._stopping:
                    level = logging.ERROR if isinstance(error, (PermissionDenied, Unauthenticated)) else logging.WARNING
                    _log.log(level, "cannot connect to manager %s: %s", address, error)
            self.is_connected = False
            if self._stopping:
                return
            self._not_stored(self._outbox.end_session())
            self._worker.set_connected(False)
            _ENDS.add("redirected" if redirected else "lost")
            if not redirected:
                self._managers.mark_failed(address)
                await self._rediscover_managers()
            await asyncio.sleep(0.0 if redirected else self._backoff.next_delay(now() - started))

    def _not_stored(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            self._worker.not_stored(task_id)

    async def _rediscover_managers(self) -> None:
        """The last resort: ask the manager where this node joined."""
        if self._find_managers is None or not self._managers.all_failed:
            return
        try:
            self._managers.update(await self._find_managers())
        except ShoalError as error:
            _log.warning("could not discover managers: %s", error)

    async def _keep_session(self, address: str) -> None:
        """Keep one session until it fails. A busy manager says when to try again, on the same connection.

        Raises:
            ShoalError: why it failed.
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
        except Exception as error:
            reason = _reason(error, address)
            raise reason from (error if reason is not error else None)
        finally:
            self._stream = None
            self._ended.set()
            stream.cancel()

    async def _exchange(self, stream: Stream, address: str) -> None:
        description = self._host.current()
        await self._write(stream, AgentMessage(hello=Hello(description=description)))
        welcome = await self._welcome(stream, address)
        _log.info("connected to manager %s", address)
        self.is_connected = True
        _CONNECTIONS.add()
        self._worker.set_connected(True)
        self._managers.mark_reachable()
        self._managers.update(welcome.managers.managers, welcome.managers.removed)
        self._backoff.answered(welcome.reconnect_ms / 1000)
        if welcome.restart_grace_ms:
            self._stream, self._ended = stream, asyncio.Event()
        self._outbox.start_session()
        for status in self._worker.statuses():
            # The manager may be another one, or have lost uncommitted statuses; it ignores known ones.
            self._outbox.put(status)
        async with TaskGroup() as group:
            group.create_task(self._send_heartbeats(stream, welcome, address), name="heartbeats")
            group.create_task(self._send_statuses(stream), name="statuses")
            group.create_task(self._send_descriptions(stream, description), name="description")
            group.create_task(self._send_volumes(stream), name="volumes")
            group.create_task(self._send_network(stream), name="network condition")
            group.create_task(self._send_images(stream), name="images")
            group.create_task(self._send_orphans(stream), name="orphaned containers")
            group.create_task(self._receive(stream, address), name="assignments")
            group.create_task(self._send_applied(stream), name="applied")

    async def _welcome(self, stream: Stream, address: str) -> Welcome:
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                await opened(stream)
                message = await stream.read()
        except TimeoutError:
            raise Unavailable(f"no response from {address} within {WELCOME_SECONDS:g} s") from None
        if not isinstance(message, ManagerMessage) or message.WhichOneof("kind") != "welcome":
            raise Unavailable(f"unexpected response from {address} (no Welcome)")
        return message.welcome

    async def _send_heartbeats(self, stream: Stream, welcome: Welcome, address: str) -> None:
        """Raises Unavailable: the manager does not acknowledge them, or takes none, and there is another one."""
        self._unanswered = 0
        half_period = welcome.heartbeat_ms / 2000
        while True:
            await asyncio.sleep(half_period)
            leaves = welcome.acknowledges_heartbeats and len(self._managers.addresses) > 1
            if leaves and self._unanswered >= MISSED_ACKS:
                raise Unavailable(f"{address} has not acknowledged {self._unanswered} heartbeats")
            await asyncio.sleep(half_period)
            try:
                # Behind a larger message that a manager which hangs does not take, it would wait for ever.
                async with asyncio.timeout(MISSED_ACKS * 2 * half_period if leaves else None):
                    await self._write(stream, AgentMessage(heartbeat=Heartbeat()))
            except TimeoutError:
                raise Unavailable(f"{address} takes no heartbeats") from None
            self._unanswered += 1

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

    async def _send_images(self, stream: Stream) -> None:
        async with aclosing(self._images.reports()) as reports:
            async for report in reports:
                await self._write(stream, AgentMessage(images=report))

    async def _send_orphans(self, stream: Stream) -> None:
        async with aclosing(self._worker.orphan_reports()) as reports:
            async for report in reports:
                await self._write(stream, AgentMessage(orphans=report))

    async def _send_applied(self, stream: Stream) -> None:
        async with aclosing(self._worker.applied_sequences()) as sequences:
            async for sequence in sequences:
                await self._write(stream, AgentMessage(applied=Applied(sequence=sequence)))

    async def _write(self, stream: Stream, message: AgentMessage) -> None:
        async with self._write_lock:  # gRPC sends one message of a stream at a time
            await stream.write(message)

    async def _receive(self, stream: Stream, address: str) -> None:
        while isinstance(message := await stream.read(), ManagerMessage):
            self._unanswered = 0
            match message.WhichOneof("kind"):
                case "assignments":
                    self._worker.receive(message.assignments)
                case "status_ack":
                    for status in self._outbox.acknowledge(message.status_ack):
                        self._worker.stored(status)
                case "statuses_dropped":
                    self._not_stored(self._outbox.dropped())
                case "managers":
                    self._managers.update(message.managers.managers, message.managers.removed)
                case "image_repository":
                    self._images.set_cluster_repository(message.image_repository)
                case "heartbeat_ack":
                    pass
                case "redirect":
                    self._managers.prefer(message.redirect.manager_id)
                    raise _Redirected
                case other:
                    _log.debug("ignoring message of unknown kind %s", other)
        raise Unavailable(f"{address} closed the session")


def _reason(error: Exception, address: str) -> Exception:
    """Why a session failed. Several of its tasks may fail; gRPC's status, or else a ShoalError, tells the reason.

    Any other error is a bug in the agent, and is returned unchanged.
    """
    leaves = _flatten(error)
    if redirected := next((leaf for leaf in leaves if isinstance(leaf, _Redirected)), None):
        return redirected
    if not all(isinstance(leaf, (grpc.RpcError, asyncio.InvalidStateError, ShoalError)) for leaf in leaves):
        return error
    for leaf in leaves:
        if isinstance(leaf, grpc.RpcError):
            return to_shoal_error(leaf, address=address)
    known = [leaf for leaf in leaves if isinstance(leaf, ShoalError)]
    return known[0] if known else Unavailable(f"connection to {address} lost")


def _flatten(error: Exception) -> list[Exception]:
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [leaf for part in error.exceptions for leaf in _flatten(part)]
