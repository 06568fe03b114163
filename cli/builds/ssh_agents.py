"""SSH agents of this machine, which answer commands of a build on its node."""

import socket
from collections.abc import Mapping

from shoal.api.v1.builds_pb2 import SshReply, SshRequest
from shoal.spec_parsers.ssh_messages import LENGTH_BYTES, MAX_MESSAGE_BYTES, may_send, with_length

TIMEOUT_SECONDS = 60.0
"""Of one request: somebody may have to touch a key."""


def answer(agents: Mapping[str, str], request: SshRequest) -> SshReply:
    """What an agent says; what builds may not send, and what fails, is answered with nothing. Blocking.

    Args:
        agents: sockets by id.
    """
    path = agents.get(request.id)
    if path is None or not may_send(request.message):
        return SshReply(number=request.number)
    try:
        return SshReply(number=request.number, message=_exchange(path, request.message))
    except OSError:
        return SshReply(number=request.number)


def _exchange(path: str, message: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.settimeout(TIMEOUT_SECONDS)
        agent.connect(path)
        agent.sendall(with_length(message))
        with agent.makefile("rb") as replies:
            size = int.from_bytes(replies.read(LENGTH_BYTES), "big")
            return replies.read(size) if size <= MAX_MESSAGE_BYTES else b""
