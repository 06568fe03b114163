"""A caller that is cancelled just when a stream is refused: it ends, as at any other time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from agent.network.condition_reporter import ConditionReporter
from agent.session.manager_session import ManagerSession
from agent.session.status_queue import StatusQueue
from manager.etcd.client import Etcd
from manager.etcd.members import Member, Members
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.channel import connect_aio
from tests.fakes.csi_mounter import host_volumes
from tests.fakes.image_reports import FakeImageReports
from tests.fakes.manager_list import manager_list
from tests.integration.session.session_rig import (
    CLUSTER,
    TIMEOUT_SECONDS,
    FixedHost,
    RecordedAssignments,
    SessionRig,
    one_manager,
)


class ObservedStreams:
    """Makes a channel's streams tell when they have ended.

    Args:
        ended: called at the end of each stream, before whoever reads it knows.
    """

    def __init__(self, ended: Callable[[], object]) -> None:
        self._ended = ended

    def watch(self, channel: aio.Channel) -> aio.Channel:
        opens = channel.stream_stream

        def ended(_: object) -> None:
            self._ended()

        def watched(*arguments: Any, **options: Any) -> Callable[..., aio.StreamStreamCall[Any, Any]]:
            open_stream = opens(*arguments, **options)

            def begin(*arguments: Any, **options: Any) -> aio.StreamStreamCall[Any, Any]:
                call = open_stream(*arguments, **options)
                call.add_done_callback(ended)
                return call

            return begin

        channel.stream_stream = watched  # type: ignore[method-assign, assignment]
        return channel


async def end_of(work: asyncio.Task[Any]) -> None:
    """Wait for the end of a task that was cancelled."""
    done, _ = await asyncio.wait((work,), timeout=TIMEOUT_SECONDS)
    assert done, "the cancellation was lost"
    assert work.cancelled()


def test_an_agent_whose_manager_refuses_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1") as manager:
            identity = rig.authority.issue(CertificateSubject("unknown", Role.AGENT, CLUSTER), datetime.now(UTC))
            channels = ObservedStreams(lambda: running.cancel())  # noqa: PLW0108  # it is made below
            session = ManagerSession(
                managers=manager_list(tmp_path / "unknown.json", [manager.address], "unknown"),
                connect=lambda address: channels.watch(connect_aio([address], identity)),
                host=FixedHost("unknown"),
                outbox=StatusQueue(),
                worker=RecordedAssignments(),
                volumes=host_volumes(tmp_path / "volumes", lambda: 0),
                condition=ConditionReporter(now_ms=lambda: 0),
                images=FakeImageReports(),
            )
            running = asyncio.create_task(session.run())
            await end_of(running)

    asyncio.run(scenario())


@asynccontextmanager
async def refusing_etcd(*methods: tuple[str, str]) -> AsyncGenerator[str]:
    """The address of a server that ends these streams of etcd's API, by service and method, with an error."""

    async def refuse(
        requests: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        async for request in requests:
            if request:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "no leader")
            yield request

    server = aio.server()
    for service, method in methods:
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            method: grpc.stream_stream_rpc_method_handler(refuse)
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def watch(etcd: Etcd) -> None:
    async for _ in etcd.watch(b"/", b"0", revision=1):
        pass


async def keep_alive(etcd: Etcd) -> None:
    await etcd.keep_alive(7)


@pytest.mark.parametrize("call", [watch, keep_alive])
def test_a_manager_whose_etcd_refuses_it(call: Callable[[Etcd], Any]) -> None:
    async def scenario() -> None:
        streams = (("etcdserverpb.Watch", "Watch"), ("etcdserverpb.Lease", "LeaseKeepAlive"))
        async with refusing_etcd(*streams) as address, aio.insecure_channel(address) as channel:
            ObservedStreams(lambda: running.cancel()).watch(channel)  # noqa: PLW0108  # it is made below
            member = Member("etcd", channel)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await channel.channel_ready()
            running = asyncio.create_task(call(Etcd(members=Members([member]))))
            await end_of(running)

    asyncio.run(scenario())
