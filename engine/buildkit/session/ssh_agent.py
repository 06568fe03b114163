"""SSH agents of a client, which answer commands of a build on its node."""

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc

from engine.buildkit.session.client_session import ClientSession
from engine.buildkit.v1.ssh_pb2 import BytesMessage, CheckAgentRequest
from engine.buildkit.v1.ssh_pb2_grpc import SSHStub
from shoal.api.v1.builds_pb2 import SshReply, SshRequest
from shoal.spec_parsers.builds.ssh_messages import LENGTH_BYTES, MAX_MESSAGE_BYTES, may_send, with_length

METHOD = "/moby.sshforward.v1.SSH/ForwardAgent"
TIMEOUT_SECONDS = 60.0
"""Of one request: somebody may have to touch a key."""
_ID = "buildkit.ssh.id"


async def agents_of(session: ClientSession, identifiers: Iterable[str]) -> list[str]:
    """The agents of these ids that the client has."""
    found = []
    stub: Any = SSHStub(session.channel)
    for identifier in identifiers if session.serves(METHOD) else ():
        try:
            await stub.CheckAgent(CheckAgentRequest(id=identifier), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError:
            continue
        found.append(identifier)
    return found


async def answer(session: ClientSession, request: SshRequest) -> SshReply:
    """What an agent says; what builds may not send, and what fails, is answered with nothing."""
    if not may_send(request.message):
        return SshReply(number=request.number)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return SshReply(number=request.number, message=await _exchange(session, request))
    except (grpc.RpcError, TimeoutError):
        return SshReply(number=request.number)


async def _exchange(session: ClientSession, request: SshRequest) -> bytes:
    stub: Any = SSHStub(session.channel)
    call: Any = stub.ForwardAgent(metadata=[(_ID, request.id)])
    try:
        await call.write(BytesMessage(data=with_length(request.message)))
        reply = bytearray()
        async for message in call:
            reply += message.data
            size = int.from_bytes(reply[:LENGTH_BYTES], "big")
            if size > MAX_MESSAGE_BYTES:
                return b""
            if len(reply) >= LENGTH_BYTES + size:
                return bytes(reply[LENGTH_BYTES : LENGTH_BYTES + size])
        return b""
    finally:
        call.cancel()
