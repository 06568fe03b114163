"""Calls to agents use the manager's renewed certificate: a channel that is always in use would keep an expired one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

from cryptography import x509

from manager.agents.agent_address import AgentAddress
from manager.agents.agent_channels import AgentChannels
from shoal.api.v1.streams_pb2 import (
    FetchVolumeProgress,
    FetchVolumeRequest,
    ReadUsageRequest,
    ReadUsageResponse,
)
from shoal.api.v1.streams_pb2_grpc import AgentStreamsServicer, add_AgentStreamsServicer_to_server
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.access import AGENT_STREAMS
from shoal.rpc.caller import Context
from shoal.rpc.grpc_server import listen, make_server


class Agent(AgentStreamsServicer):
    """Notes with which certificate it is called."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.may_end = asyncio.Event()

    async def ReadUsage(self, request: ReadUsageRequest, context: Context) -> ReadUsageResponse:  # noqa: N802
        self._note(context)
        return ReadUsageResponse()

    async def FetchVolume(  # noqa: N802
        self, request: FetchVolumeRequest, context: Context
    ) -> AsyncGenerator[FetchVolumeProgress]:
        self._note(context)
        yield FetchVolumeProgress(bytes=1)
        await self.may_end.wait()
        yield FetchVolumeProgress(complete=True)

    def _note(self, context: Context) -> None:
        (certificate,) = context.auth_context()["x509_pem_cert"]
        self.seen.append(x509.load_pem_x509_certificate(certificate).serial_number)


@asynccontextmanager
async def serving(agent: Agent, own: Identity) -> AsyncGenerator[AgentAddress]:
    server = make_server(AGENT_STREAMS)
    add_AgentStreamsServicer_to_server(agent, server)
    port = listen(server, "127.0.0.1:0", lambda: own)
    await server.start()
    try:
        yield AgentAddress("n1", f"127.0.0.1:{port}")
    finally:
        await server.stop(0)


def test_calls_after_a_renewal_have_the_new_certificate_and_a_stream_goes_on() -> None:
    async def scenario() -> None:
        authority = Authority.create("c", datetime.now(UTC))
        own, former, renewed = (
            authority.issue(CertificateSubject(name, role, "c"), datetime.now(UTC))
            for name, role in (("n1", Role.AGENT), ("m1", Role.MANAGER), ("m1", Role.MANAGER))
        )
        without_other_methods: Any = Agent
        agent, identities = cast(Agent, without_other_methods()), [former]
        channels = AgentChannels(lambda: identities[-1])
        async with serving(agent, own) as address:
            async with aclosing(channels.fetch_volume(address, FetchVolumeRequest())) as progress:
                await anext(progress)
                await channels.read_usage(address, ReadUsageRequest())
                identities.append(renewed)
                await channels.read_usage(address, ReadUsageRequest())
                agent.may_end.set()
                assert (await anext(progress)).complete
            await channels.read_usage(address, ReadUsageRequest())
            await channels.close()
        expected = [former, former, renewed, renewed]
        assert agent.seen == [x509.load_pem_x509_certificate(each.certificate).serial_number for each in expected]

    asyncio.run(scenario())
